//! Unpacked code and layers: a folder for each, for as long as a function uses it.
//!
//! Zips are kept by whoever owns the functions; what is unpacked of them is a cache. A folder goes when the last function that
//! uses it does, and all of them at the start: nothing here has to survive anything.

use std::{
    collections::HashMap,
    fs, io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use klr_host::Folder;

use super::archive::{self, Unpacking};

/// Makes folders, each once while it is in use.
#[derive(Debug)]
pub(super) struct Folders {
    root: PathBuf,
    made: AtomicU64,
    live: Mutex<HashMap<String, Arc<Slot>>>,
}

/// Locked while its folder is made: who comes second waits for it.
type Slot = tokio::sync::Mutex<Weak<Folder>>;

impl Folders {
    /// Under `root`, which is emptied.
    pub(super) fn new(root: PathBuf) -> io::Result<Self> {
        match fs::remove_dir_all(&root) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&root)?,
        }
        Ok(Self { root: root.canonicalize()?, made: AtomicU64::new(0), live: Mutex::default() })
    }

    /// Where environments have the folders of their temporary files, which go with them, and at the latest at the next start.
    pub(super) fn temporary(&self) -> PathBuf {
        self.root.clone()
    }

    /// The folder with these zips in it, one over the other. `key` says what they are: equal means the same content.
    pub(super) async fn of(&self, key: &str, zips: Vec<PathBuf>) -> Result<Arc<Folder>, archive::Error> {
        let slot = self.slot(key);
        let mut live = slot.lock().await;
        if let Some(folder) = live.upgrade() {
            return Ok(folder);
        }
        // Never a name used before: an older one may still be on its way out.
        let folder = Folder::at(self.root.join(self.made.fetch_add(1, Relaxed).to_string()));
        let unpacked = tokio::task::spawn_blocking(move || {
            fs::create_dir(folder.path())
                .map_err(|source| archive::Error::Io { path: folder.path().to_owned(), source })?;
            let mut unpacking = Unpacking::into(folder.path());
            zips.iter().try_for_each(|zip| unpacking.add(zip))?;
            Ok(folder)
        });
        let unpacked: Result<Folder, archive::Error> = unpacked.await.unwrap_or_else(|error| {
            Err(archive::Error::Io { path: self.root.clone(), source: io::Error::other(error) })
        });
        let folder = Arc::new(unpacked?);
        *live = Arc::downgrade(&folder);
        Ok(folder)
    }

    fn slot(&self, key: &str) -> Arc<Slot> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        // Those nobody holds: neither a folder, nor anybody who waits for one.
        live.retain(|_, slot| {
            Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|folder| folder.strong_count() > 0)
        });
        Arc::clone(live.entry(key.to_owned()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn a_folder_is_made_once_and_goes_with_its_last_user() {
        let directory = tempfile::tempdir().unwrap();
        let zip = directory.path().join("z");
        let mut writer = zip::ZipWriter::new(fs::File::create(&zip).unwrap());
        writer.start_file("f", zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(b"1").unwrap();
        writer.finish().unwrap();
        let root = directory.path().join("folders");
        fs::create_dir_all(root.join("left/behind")).unwrap();
        let folders = Folders::new(root.clone()).unwrap();
        assert!(!root.join("left").exists());
        let (one, two) = tokio::join!(folders.of("k", vec![zip.clone()]), folders.of("k", vec![zip.clone()]));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!(one.path(), two.path());
        assert_eq!(fs::read(one.path().join("f")).unwrap(), b"1");
        let path = one.path().to_owned();
        drop((one, two));
        eventually(|| !path.exists()).await;
        let again = folders.of("k", vec![zip]).await.unwrap();
        assert!(again.path().join("f").exists());
        assert!(folders.of("broken", vec![directory.path().join("none")]).await.is_err());
        // What was not finished is not left.
        eventually(|| fs::read_dir(&root).unwrap().count() == 1).await;
    }

    async fn eventually(holds: impl Fn() -> bool) {
        for _ in 0..1000 {
            if holds() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("not within 10 s");
    }
}
