//! A folder that goes with the value that stands for it.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A folder of ours, with everything in it. Dropped, it is removed.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The one at this path, made already or not yet.
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.0);
        // There may be gigabytes in it, and what holds it ends on a runtime's thread.
        let remove = move || {
            if let Err(error) = fs::remove_dir_all(&path) {
                tracing::warn!(path = %path.display(), %error, "a function's folder stays behind until the next start");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}
