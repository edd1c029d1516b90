//! Unpacking: what is in a zip, and nowhere but in its folder.
//!
//! A zip may come from anybody. No entry leaves the folder, by its name or by a link: a link is relative, climbs no further
//! than the folder it stands in is deep, climbs at its beginning only, and nothing is ever written through one. What comes
//! out is counted as it comes out, whatever the zip says of itself.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, BufReader, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    path::{Component, Path, PathBuf},
};

use zip::{ZipArchive, read::ZipFile, result::ZipError};

/// What Lambda lets a function and its layers take, unpacked.
pub const LARGEST: u64 = 262_144_000;
/// A link's target is no longer.
const LONGEST_LINK: u64 = 4096;
/// Of a file whose zip says nothing of modes.
const MODE: u32 = 0o644;

/// Why a zip was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is none, or is damaged.
    #[error("not a zip that can be read: {0}")]
    Broken(#[from] ZipError),
    /// An entry would land elsewhere.
    #[error("entry {entry:?} leads out of the archive's folder")]
    Climbs {
        /// As the zip spells it.
        entry: String,
    },
    /// More than is allowed.
    #[error("unpacked it is larger than {limit} bytes")]
    TooLarge {
        /// The most.
        limit: u64,
    },
    /// The file system said no.
    #[error("cannot unpack to {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Unpacks zips into one folder, one over the other: what a later one has wins. Together they may take `LARGEST`.
#[derive(Debug)]
pub struct Unpacking<'a> {
    root: &'a Path,
    left: u64,
}

impl<'a> Unpacking<'a> {
    /// Into a folder that is there.
    pub fn into(root: &'a Path) -> Self {
        Self { root, left: LARGEST }
    }

    /// Unpacks one zip. It blocks.
    pub fn add(&mut self, zip: &Path) -> Result<(), Error> {
        let file = File::open(zip).map_err(io_at(zip))?;
        let mut archive = ZipArchive::new(BufReader::new(file))?;
        let mut links = Vec::new();
        for place in 0..archive.len() {
            let mut entry = archive.by_index(place)?;
            let name = inside(&entry.name()?)?;
            if entry.is_dir() {
                self.folder(&name)?;
            } else if entry.is_symlink() {
                links.push((name, target(&mut entry)?));
            } else {
                self.file(&name, &mut entry)?;
            }
        }
        // Last, so that no entry of this zip is written through one.
        links.into_iter().try_for_each(|(name, target)| self.link(&name, &target))
    }

    /// A folder and those above it. What stands there and is none, a link of an earlier zip above all, makes way.
    fn folder(&self, name: &Path) -> Result<PathBuf, Error> {
        let mut path = self.root.to_owned();
        for part in name.components() {
            path.push(part);
            let stands = path.symlink_metadata();
            if stands.as_ref().is_ok_and(fs::Metadata::is_dir) {
                continue;
            }
            if stands.is_ok() {
                fs::remove_file(&path).map_err(io_at(&path))?;
            }
            fs::create_dir(&path).map_err(io_at(&path))?;
        }
        Ok(path)
    }

    fn file(&mut self, name: &Path, entry: &mut ZipFile<'_, impl Read>) -> Result<(), Error> {
        let path = self.free(name)?;
        // Zips made by other systems have no modes; some tools write a mode of nothing.
        let mode = entry.unix_mode().map(|mode| mode & 0o777).filter(|mode| *mode != 0).unwrap_or(MODE);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode | 0o600)
            .open(&path)
            .map_err(io_at(&path))?;
        let copied = copy(entry, &mut file, self.left).map_err(io_at(&path))?;
        self.left = self.left.checked_sub(copied).ok_or(Error::TooLarge { limit: LARGEST })?;
        // Again: a mask of ours may have taken something off.
        fs::set_permissions(&path, Permissions::from_mode(mode | 0o400)).map_err(io_at(&path))
    }

    fn link(&self, name: &Path, target: &str) -> Result<(), Error> {
        let depth = name.components().count() - 1;
        if !stays(Path::new(target), depth) {
            return Err(Error::Climbs { entry: name.display().to_string() });
        }
        let path = self.free(name)?;
        symlink(target, &path).map_err(io_at(&path))
    }

    /// The path for a file, its folder made, and nothing there.
    fn free(&self, name: &Path) -> Result<PathBuf, Error> {
        let path =
            self.folder(name.parent().unwrap_or(Path::new("")))?.join(name.file_name().unwrap_or_default());
        match path.symlink_metadata() {
            Ok(stands) if stands.is_dir() => fs::remove_dir_all(&path).map_err(io_at(&path))?,
            Ok(_) => fs::remove_file(&path).map_err(io_at(&path))?,
            Err(_) => {}
        }
        Ok(path)
    }
}

/// Copies what there is, but no more than a byte beyond `most`: that byte says that it was too much.
fn copy(from: &mut impl Read, to: &mut impl Write, most: u64) -> io::Result<u64> {
    io::copy(&mut from.take(most.saturating_add(1)), to)
}

/// The name, if it is one below the folder.
fn inside(name: &str) -> Result<PathBuf, Error> {
    let climbs = || Error::Climbs { entry: name.to_owned() };
    let mut path = PathBuf::new();
    for part in Path::new(name).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => return Err(climbs()),
        }
    }
    if path.as_os_str().is_empty() && !name.ends_with('/') || name.contains('\0') {
        return Err(climbs());
    }
    Ok(path)
}

fn target(entry: &mut ZipFile<'_, impl Read>) -> Result<String, Error> {
    let mut target = String::new();
    let read = entry.take(LONGEST_LINK).read_to_string(&mut target);
    match read {
        Ok(_) if !target.is_empty() && !target.contains('\0') => Ok(target),
        _ => Err(Error::Climbs { entry: entry.name()?.into_owned() }),
    }
}

/// Whether a link that stands `depth` folders deep leads below the top: up first, and no further, then only down.
fn stays(target: &Path, depth: usize) -> bool {
    let mut up = 0;
    let mut down = false;
    for part in target.components() {
        match part {
            Component::ParentDir if !down => up += 1,
            Component::Normal(_) => down = true,
            Component::CurDir => {}
            _ => return false,
        }
    }
    up <= depth
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.file_name().map_or_else(PathBuf::new, |name: &OsStr| name.into());
    move |source| Error::Io { path, source }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    enum Entry<'a> {
        File(&'a str, &'a [u8], u32),
        Link(&'a str, &'a str),
    }
    use Entry::{File as F, Link as L};

    fn zip(folder: &Path, name: &str, entries: &[Entry<'_>]) -> PathBuf {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for entry in entries {
            match entry {
                F(name, content, mode) => {
                    writer.start_file(*name, SimpleFileOptions::default().unix_permissions(*mode)).unwrap();
                    writer.write_all(content).unwrap();
                }
                L(name, target) => writer.add_symlink(*name, *target, SimpleFileOptions::default()).unwrap(),
            }
        }
        let path = folder.join(name);
        fs::write(&path, writer.finish().unwrap().into_inner()).unwrap();
        path
    }

    /// Unpacks one after the other into `out`.
    fn unpack(zips: &[&[Entry<'_>]]) -> (tempfile::TempDir, Result<(), Error>) {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        fs::create_dir(&out).unwrap();
        let mut unpacking = Unpacking::into(&out);
        let result = zips
            .iter()
            .enumerate()
            .try_for_each(|(n, entries)| unpacking.add(&zip(folder.path(), &format!("{n}.zip"), entries)));
        (folder, result)
    }

    #[test]
    fn files_keep_their_modes_and_links_lead_where_they_led() {
        let (folder, result) = unpack(&[&[
            F("bin/run", b"#!", 0o755),
            F("secret", b"s", 0o600),
            F("nothing", b"n", 0),
            L("bin/also", "run"),
            L("bin/up", "../secret"),
        ]]);
        result.unwrap();
        let out = folder.path().join("out");
        let mode = |name: &str| out.join(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("bin/run"), mode("secret"), mode("nothing")), (0o755, 0o600, 0o644));
        assert_eq!(fs::read(out.join("bin/also")).unwrap(), b"#!");
        assert_eq!(fs::read(out.join("bin/up")).unwrap(), b"s");
    }

    #[test]
    fn a_later_zip_wins() {
        let (folder, result) = unpack(&[
            &[F("a", b"1", 0o644), F("d/x", b"1", 0o644), L("l", "d"), F("both/first", b"1", 0o644)],
            &[
                F("a", b"2", 0o644),
                F("d", b"file", 0o644),
                F("l/y", b"2", 0o644),
                F("both/second", b"2", 0o644),
            ],
        ]);
        result.unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join("out").join(name)).unwrap();
        assert_eq!((read("a"), read("d"), read("l/y")), ("2".into(), "file".into(), "2".into()));
        assert_eq!((read("both/first"), read("both/second")), ("1".into(), "2".into()));
    }

    #[test]
    fn nothing_climbs_out() {
        let cases: [&[Entry<'_>]; 9] = [
            &[F("../out2", b"x", 0o644)],
            &[F("a/../../x", b"x", 0o644)],
            &[F("/etc/x", b"x", 0o644)],
            &[L("l", "/etc")],
            &[L("l", "..")],
            &[L("d/l", "../..")],
            // Each leads to the top, and the second one step further, if a link is taken for a folder.
            &[L("d/e/l", "../.."), L("k", "d/e/l/..")],
            &[L("l", "")],
            &[F("d/x", b"", 0o644), L("d/l", "a/../../..")],
        ];
        for entries in cases {
            let (folder, result) = unpack(&[entries]);
            assert!(matches!(result, Err(Error::Climbs { .. })), "{result:?}");
            assert!(!folder.path().join("x").exists() && !folder.path().join("out2").exists());
        }
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        // The link comes first, and names a folder beside: the file must not land there.
        let (folder, result) =
            unpack(&[&[F("real/keep", b"", 0o644), L("l", "real")], &[F("l/f", b"2", 0o644)]]);
        result.unwrap();
        assert!(!folder.path().join("out/real/f").exists());
        let (_folder, result) = unpack(&[&[L("l", "real"), F("l/f", b"1", 0o644), F("real/k", b"", 0o644)]]);
        result.unwrap();
    }

    #[test]
    fn what_comes_out_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path =
            zip(folder.path(), "z", &[F("zeros", &vec![0; 5000], 0o644), F("more", &vec![0; 5000], 0o644)]);
        let out = folder.path().join("out");
        fs::create_dir(&out).unwrap();
        let mut unpacking = Unpacking { root: &out, left: 9_999 };
        assert!(matches!(unpacking.add(&path), Err(Error::TooLarge { .. })));
        assert!(out.join("more").metadata().unwrap().len() <= 5000, "it stopped there");
    }

    #[test]
    fn what_is_no_zip_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("z");
        fs::write(&path, b"hello").unwrap();
        assert!(matches!(Unpacking::into(folder.path()).add(&path), Err(Error::Broken(_))));
    }
}
