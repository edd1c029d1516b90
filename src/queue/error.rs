//! Why the queue cannot be opened, and why it does not take an event.

use std::{io, path::Path, path::PathBuf};

/// What can go wrong with the log on disk.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Another process has the directory.
    #[error("{} is in use by another klr: one queue, one process", directory.display())]
    InUse {
        /// Which.
        directory: PathBuf,
    },
    /// Written by a later version.
    #[error("{} has format {found}: a newer klr wrote it (this one reads {known})", file.display())]
    Newer {
        /// Which file.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// The newest this one reads.
        known: u32,
    },
    /// Not what was written.
    #[error("{} is damaged: {why}; move the directory away to start with an empty queue", file.display())]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// What was found, and where.
        why: String,
    },
    /// The disk is full, or gone, or not ours.
    #[error("{}: {why}", file.display())]
    Disk {
        /// Which file.
        file: PathBuf,
        /// The system's words.
        why: String,
    },
    /// As many events, or bytes of them, as the queue may hold.
    #[error("the queue is full: it holds {held} of {limit} {what}")]
    Full {
        /// Events or bytes.
        what: &'static str,
        /// What is there.
        held: u64,
        /// What may be there.
        limit: u64,
    },
    /// Larger than AWS takes.
    #[error("an event of {size} bytes is more than the {limit} an asynchronous invocation may have")]
    TooLarge {
        /// Its payload.
        size: usize,
        /// What it may be.
        limit: usize,
    },
    /// The queue was closed.
    #[error("the queue is closed: the process is ending")]
    Closed,
}

impl Error {
    pub(super) fn disk(file: &Path, error: &io::Error) -> Self {
        Self::Disk { file: file.to_owned(), why: error.to_string() }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "queue-in-use",
            Self::Newer { .. } => "queue-newer",
            Self::Damaged { .. } => "queue-damaged",
            Self::Disk { .. } => "queue-disk",
            Self::Full { .. } => "queue-full",
            Self::TooLarge { .. } => "queue-too-large",
            Self::Closed => "queue-closed",
        }
    }
}
