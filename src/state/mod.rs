//! Where positions are kept for sources that cannot keep them (design.md §9): one row per partition, written by
//! compare-and-swap.
//!
//! Two [stores](klr_contract::Store):
//!
//! * [`File`], one file on this machine, its process the only member. Durable when a write returns; a process that tries
//!   to be the second on a directory is refused.
//! * [`Table`], a DynamoDB table shared by any number of processes. Members are items whose heartbeat goes on counting; who
//!   stops counting is taken for dead, by everybody's own watch, so no two clocks need agree.
//!
//! Invariants of both: a row moves only over the version its writer has read, and its version goes up by one each time; a row
//! is written whole or not at all, whatever becomes of the rows beside it.

use std::path::PathBuf;

#[cfg(feature = "state")]
mod file;
mod row;
#[cfg(feature = "table")]
mod table;
#[cfg(test)]
mod tests;

#[cfg(feature = "lambda-api")]
pub(crate) use file::own;
#[cfg(feature = "state")]
pub use file::{File, open};
#[cfg(feature = "table")]
pub use table::{Table, TableConfig};

/// Why positions cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two processes, one directory.
    #[error("expected the state directory {} for this process alone, another klr uses it: give each its own", directory.display())]
    InUse {
        /// The one that is taken.
        directory: PathBuf,
    },
    /// A downgrade.
    #[error(
        "expected {} in format {known} or older, found format {found}: a newer klr wrote it, run that one or give this one \
         a directory of its own",
        file.display()
    )]
    Newer {
        /// What was to be opened.
        file: PathBuf,
        /// The format it has.
        found: u64,
        /// The newest format this klr reads.
        known: u64,
    },
    /// Not what we wrote.
    #[error(
        "expected klr's positions in {}, found something else ({why}): bring back a copy, or move it away and every stream \
         begins at its mapping's starting position",
        file.display()
    )]
    Damaged {
        /// What was to be read.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The disk is full, or broken, or not ours to write. Nothing was half-written.
    #[error("{}: {why}", file.display())]
    Disk {
        /// What was to be read or written.
        file: PathBuf,
        /// What the system says.
        why: String,
    },
    /// A row that cannot be read.
    #[error(
        "expected a position in the row of mapping {mapping}, partition {partition}, found {found}: did a newer klr write it?"
    )]
    Row {
        /// Whose row.
        mapping: String,
        /// Which row.
        partition: String,
        /// What is wrong with it; never its content.
        found: &'static str,
    },
    /// Used after it was closed.
    #[error("expected an open store of positions, this one is closed")]
    Closed,
    /// The table is missing, and we may not create it.
    #[error(
        "expected the DynamoDB table {table} in {region}, found none and could not create it ({why}): have it created with `{command}`"
    )]
    NoTable {
        /// Its name.
        table: String,
        /// Where it was looked for.
        region: String,
        /// Why we could not.
        why: String,
        /// What somebody with the permission runs.
        command: String,
    },
    /// Neither the configuration nor the AWS chain names a region.
    #[error("expected the region of the DynamoDB table {table}, found none: set it, or AWS_REGION")]
    NoRegion {
        /// The table's name.
        table: String,
    },
    /// A call to AWS failed.
    #[error(transparent)]
    Aws(#[from] klr_contract::Error),
}

impl Error {
    #[cfg(feature = "state")]
    fn disk(file: impl Into<PathBuf>, error: &std::io::Error) -> Self {
        Self::Disk { file: file.into(), why: error.to_string() }
    }

    /// Short and stable.
    fn code(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "state-in-use",
            Self::Newer { .. } => "state-newer",
            Self::Damaged { .. } => "state-damaged",
            Self::Disk { .. } => "state-disk",
            Self::Row { .. } => "state-row",
            Self::Closed => "state-closed",
            Self::NoTable { .. } => "state-no-table",
            Self::NoRegion { .. } => "state-no-region",
            Self::Aws(error) => error.code(),
        }
    }
}

impl From<Error> for klr_contract::Error {
    fn from(error: Error) -> Self {
        let code = error.code();
        match error {
            Error::Aws(error) => error,
            // Room is made, a disk comes back, another process ends.
            Error::InUse { .. } | Error::Disk { .. } | Error::NoTable { .. } => {
                Self::retry(code, error.to_string())
            }
            Error::Newer { .. }
            | Error::Damaged { .. }
            | Error::Row { .. }
            | Error::Closed
            | Error::NoRegion { .. } => Self::stop(code, error.to_string()),
        }
    }
}
