//! Is it a zip that may be unpacked: every byte is looked at, nothing is written.

use std::io::{self, Cursor, Read};

use zip::{ZipArchive, read::ZipFile};

use super::super::error::Error;

/// What a function's code must stay below, unpacked.
pub(in super::super) const UNPACKED: u64 = 262_144_000;
/// A link's text.
const LINK: u64 = 4096;

/// How many bytes it is, unpacked: everything is, into nothing. Counted as it comes out: what a zip says of its sizes is not believed.
pub(super) fn check(zip: &[u8]) -> Result<u64, Error> {
    if zip.is_empty() {
        return Err(empty());
    }
    let mut archive = ZipArchive::new(Cursor::new(zip)).map_err(|_| broken())?;
    if archive.is_empty() {
        return Err(empty());
    }
    let mut left = UNPACKED - 1;
    let mut names = Vec::with_capacity(archive.len());
    let mut links = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|_| broken())?;
        let name = entry.name().map_err(|_| broken())?.trim_end_matches('/').to_owned();
        if !stays(&name) || entry.encrypted() {
            return Err(broken());
        }
        let unpacked = if entry.is_symlink() {
            let length = link(&mut entry, &name)?;
            links.push(format!("{name}/"));
            length
        } else {
            io::copy(&mut entry.take(left + 1), &mut io::sink()).map_err(|_| broken())?
        };
        left = left.checked_sub(unpacked).ok_or_else(too_large)?;
        names.push(name);
    }
    // Through a link one could climb out of the folder, whatever the names say.
    if names.iter().any(|name| links.iter().any(|link| name.starts_with(link.as_str()))) {
        return Err(broken());
    }
    Ok(UNPACKED - 1 - left)
}

/// Below the folder it is unpacked in.
fn stays(name: &str) -> bool {
    let path = !name.starts_with('/') && !name.contains(['\\', '\0']);
    !name.is_empty() && path && name.split('/').all(|part| part != "..")
}

/// A link may lead up as far as its own depth, and down again: never up after down, since what is down there may be a link,
/// too.
fn link<R: Read>(entry: &mut ZipFile<'_, R>, name: &str) -> Result<u64, Error> {
    let mut target = Vec::new();
    entry.take(LINK).read_to_end(&mut target).map_err(|_| broken())?;
    let target = std::str::from_utf8(&target).map_err(|_| broken())?;
    let depth = name.split('/').count() - 1;
    let ups =
        target.split('/').take_while(|part| matches!(*part, ".." | ".")).filter(|part| *part == "..").count();
    let all = target.split('/').filter(|part| *part == "..").count();
    if target.is_empty() || target.starts_with('/') || target.contains('\0') || all != ups || ups > depth {
        return Err(broken());
    }
    Ok(target.len() as u64)
}

fn broken() -> Error {
    Error::invalid("Could not unzip uploaded file. Please check your file, then try to upload again.")
}

fn empty() -> Error {
    Error::invalid("Uploaded file must be a non-empty zip")
}

fn too_large() -> Error {
    Error::invalid(format!("Unzipped size must be smaller than {UNPACKED} bytes"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    fn zipped(fill: impl FnOnce(&mut ZipWriter<Cursor<Vec<u8>>>)) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        fill(&mut writer);
        writer.finish().unwrap().into_inner()
    }

    fn files(names: &[&str]) -> Vec<u8> {
        zipped(|zip| {
            for name in names {
                zip.start_file(*name, SimpleFileOptions::default()).unwrap();
                zip.write_all(b"def handler(): pass").unwrap();
            }
        })
    }

    fn said(zip: &[u8]) -> String {
        check(zip).unwrap_err().message().to_owned()
    }

    const BROKEN: &str = "Could not unzip uploaded file. Please check your file, then try to upload again.";

    #[test]
    fn a_zip_is_taken_apart_to_the_last_byte() {
        assert_eq!(check(&files(&["app.py", "lib/a.py"])), Ok(38));
        assert_eq!(said(b""), "Uploaded file must be a non-empty zip");
        assert_eq!(said(&zipped(|_| {})), "Uploaded file must be a non-empty zip");
        assert_eq!(said(b"not a zip"), BROKEN);
        let mut torn = files(&["app.py"]);
        torn[40] ^= 0xff;
        assert_eq!(said(&torn), BROKEN);
        torn.truncate(50);
        assert_eq!(said(&torn), BROKEN);
    }

    #[test]
    fn nothing_climbs_out() {
        for name in ["../app.py", "/etc/passwd", "a/../../b", "a\\..\\b"] {
            assert_eq!(said(&files(&[name])), BROKEN, "{name}");
        }
        let linked = |name: &str, target: &str, more: Option<&str>| {
            zipped(|zip| {
                zip.add_symlink(name, target, SimpleFileOptions::default()).unwrap();
                if let Some(more) = more {
                    zip.start_file(more, SimpleFileOptions::default()).unwrap();
                }
            })
        };
        for (name, target, more) in [
            ("a", "/etc", None),
            ("a", "..", None),
            ("a/b", "../..", None),
            ("a/b", "c/../../..", None),
            ("a", "b", Some("a/x")),
        ] {
            assert_eq!(said(&linked(name, target, more)), BROKEN, "{name} -> {target}");
        }
        check(&linked("node_modules/.bin/x", "../x/cli.js", None)).unwrap();
        check(&linked("lib/libx.so", "libx.so.1", Some("lib/libx.so.1"))).unwrap();
    }

    #[test]
    fn what_comes_out_is_counted() {
        let large = zipped(|zip| {
            zip.start_file("zeros", SimpleFileOptions::default()).unwrap();
            let zeros = vec![0; 1 << 20];
            for _ in 0..250 {
                zip.write_all(&zeros).unwrap();
            }
        });
        assert!(large.len() < 1 << 20);
        assert_eq!(said(&large), "Unzipped size must be smaller than 262144000 bytes");
    }
}
