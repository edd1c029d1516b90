//! Events read back, by anyone, beside the one who writes.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    index::{Index, Key, Sum},
    segment,
};
use crate::queue::{error::Error, event::Stored};

/// Reads events. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::queue) struct Reader {
    directory: PathBuf,
    index: Arc<Mutex<Index>>,
}

impl Reader {
    pub(super) fn new(directory: &Path, index: &Arc<Mutex<Index>>) -> Self {
        Self { directory: directory.to_owned(), index: Arc::clone(index) }
    }

    /// Reads an event; it blocks on the disk. `None`: it is settled.
    pub fn read(&self, key: Key) -> Result<Option<Stored>, Error> {
        let located = self.index.lock().unwrap_or_else(PoisonError::into_inner).locate(key);
        let Some((file, number, offset, length)) = located else { return Ok(None) };
        // A segment that is removed meanwhile can be read as long as it is held.
        segment::read(&file, &segment::log(&self.directory, number), offset, length).map(Some)
    }

    /// Bytes an event takes; 0 when it is settled.
    pub fn size(&self, key: Key) -> u32 {
        let located = self.index.lock().unwrap_or_else(PoisonError::into_inner).locate(key);
        located.map_or(0, |(_, _, _, length)| length)
    }

    /// What is not settled.
    pub fn live(&self) -> Sum {
        self.index.lock().unwrap_or_else(PoisonError::into_inner).live
    }

    /// Bytes of the log on disk, settled or not.
    pub fn disk(&self) -> u64 {
        self.index.lock().unwrap_or_else(PoisonError::into_inner).size()
    }
}
