//! Zips on disk, by their digest.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use axum::body::Bytes;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::{
    super::{
        error::{Code, Error},
        function::Archive,
    },
    link::Links,
    zip,
};
use crate::hex::hex;

/// Zips in a directory.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    links: Links,
    held: Held,
}

/// How often each file is held.
type Held = Arc<Mutex<HashMap<String, usize>>>;

/// A zip that is kept as long as this is there, or as long as something names it.
#[derive(Debug)]
pub struct Kept {
    /// What to name it by.
    pub archive: Archive,
    file: String,
    held: Held,
}

impl Kept {
    fn hold(archive: Archive, held: &Held) -> Self {
        let file = archive.file();
        *held.lock().unwrap_or_else(PoisonError::into_inner).entry(file.clone()).or_default() += 1;
        Self { archive, file, held: Arc::clone(held) }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.file) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.file);
            }
        }
    }
}

impl Archive {
    /// The name of its file.
    pub fn file(&self) -> String {
        let digest = base64_simd::STANDARD.decode_to_vec(&self.sha256).unwrap_or_default();
        format!("{}.zip", hex(&digest))
    }
}

impl Store {
    /// In a directory, which is made if missing (0700).
    pub fn open(directory: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        Ok(Self { directory, links: Links::new(), held: Held::default() })
    }

    /// Where the files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where a zip is.
    pub fn path(&self, archive: &Archive) -> PathBuf {
        self.directory.join(archive.file())
    }

    pub(super) fn links(&self) -> &Links {
        &self.links
    }

    /// A link to a zip, from its file's name on.
    pub(in super::super) fn link(&self, archive: &Archive, now: jiff::Timestamp) -> String {
        self.links.make(&archive.file(), now)
    }

    /// Checks a zip and keeps it; it is on disk, whole, when this returns.
    pub async fn keep(&self, zip: Bytes) -> Result<Kept, Error> {
        let (directory, held) = (self.directory.clone(), Arc::clone(&self.held));
        let kept = spawn_blocking(move || {
            let unpacked = zip::check(&zip)?;
            let archive = Archive {
                sha256: base64_simd::STANDARD.encode_to_string(Sha256::digest(&zip)),
                size: zip.len() as u64,
                unpacked,
            };
            // Held before it is looked for: it may be just about to be thrown away.
            let kept = Kept::hold(archive, &held);
            write(&directory, &kept.file, &zip).map_err(|error| full(&directory, &error))?;
            Ok(kept)
        });
        kept.await.map_err(|_| Error::new(Code::Service, "The service is shutting down."))?
    }

    /// Throws away what nothing holds and is not in use; what was begun by a process that is gone, too.
    pub async fn sweep(&self, in_use: HashSet<String>) {
        let (directory, held) = (self.directory.clone(), Arc::clone(&self.held));
        let swept = spawn_blocking(move || -> io::Result<()> {
            for entry in fs::read_dir(&directory)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                // Held while it goes: a zip that comes in now waits, and is written anew.
                let held = held.lock().unwrap_or_else(PoisonError::into_inner);
                let begun = name.starts_with('.') && held.is_empty();
                let unused = name.ends_with(".zip") && !held.contains_key(&name) && !in_use.contains(&name);
                if begun || unused {
                    fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        });
        if let Ok(Err(error)) = swept.await {
            tracing::warn!(%error, directory = %self.directory.display(), "code nobody needs was not thrown away");
        }
    }
}

/// Durable by renaming: under its own name a file is whole.
fn write(directory: &Path, file: &str, zip: &[u8]) -> io::Result<()> {
    let path = directory.join(file);
    if fs::metadata(&path).is_ok_and(|found| found.len() == zip.len() as u64) {
        return Ok(());
    }
    let begun = directory.join(format!(".{}", Uuid::new_v4()));
    let written = (|| {
        let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&begun)?;
        new.write_all(zip)?;
        new.sync_all()?;
        fs::rename(&begun, &path)?;
        File::open(directory)?.sync_all()
    })();
    if written.is_err() {
        // It may not be there at all.
        let _ = fs::remove_file(&begun);
    }
    written
}

fn full(directory: &Path, error: &io::Error) -> Error {
    tracing::error!(%error, directory = %directory.display(), "code was not kept");
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Error::new(Code::CodeStorageExceeded, "Code storage limit exceeded.")
        }
        _ => Error::new(Code::Service, "An error occurred and the request cannot be processed."),
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Cursor, os::unix::fs::PermissionsExt};

    use ::zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    fn zip(content: &[u8]) -> Bytes {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        writer.start_file("app.py", SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
        writer.finish().unwrap().into_inner().into()
    }

    fn files(store: &Store) -> usize {
        fs::read_dir(store.directory()).unwrap().count()
    }

    #[tokio::test]
    async fn kept_while_held_or_named() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("code")).unwrap();
        let one = store.keep(zip(b"1")).await.unwrap();
        let again = store.keep(zip(b"1")).await.unwrap();
        let two = store.keep(zip(b"2")).await.unwrap();
        assert_eq!(one.archive, again.archive);
        assert_eq!(files(&store), 2);
        let mode = fs::metadata(store.path(&one.archive)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(store.directory().join(".begun"), b"half").unwrap();
        drop(one);
        store.sweep(HashSet::new()).await;
        assert_eq!(files(&store), 3, "all are held, and something may be on its way");
        let named = again.archive.file();
        drop((again, two));
        store.sweep(HashSet::from([named])).await;
        assert_eq!(files(&store), 1);
        store.sweep(HashSet::new()).await;
        assert_eq!(files(&store), 0);
    }

    #[tokio::test]
    async fn a_broken_zip_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().to_owned()).unwrap();
        assert!(store.keep(Bytes::from_static(b"no")).await.is_err());
        assert_eq!(files(&store), 0);
    }
}
