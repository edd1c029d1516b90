//! Rows in redb: what stands in the file.

use std::{io::ErrorKind, path::Path};

use klr_contract::Row;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::super::{
    Error,
    row::{read, spell},
};

/// The newest format we read, and the one we write.
pub(super) const FORMAT: u64 = 1;

/// What the file says about itself.
const ABOUT: TableDefinition<&str, u64> = TableDefinition::new("klr");
/// (mapping, partition) → [`Stored`] as JSON: redb's own `Option` is spelled otherwise from its version 5 on.
const ROWS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("positions");

#[derive(Serialize, Deserialize)]
struct Stored {
    stream: String,
    mark: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    version: u64,
}

/// What can go wrong inside the file, before it is known which file.
#[derive(Debug)]
pub(super) enum Trouble {
    Redb(redb::Error),
    Row(Error),
}

impl<E: Into<redb::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

impl Trouble {
    /// It was this file.
    pub(super) fn at(self, path: &Path) -> Error {
        let file = path.to_owned();
        match self {
            Self::Row(error) => error,
            Self::Redb(redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch) => {
                Error::InUse { directory: path.parent().unwrap_or(path).to_owned() }
            }
            Self::Redb(redb::Error::Io(error)) if error.kind() != ErrorKind::InvalidData => {
                Error::disk(file, &error)
            }
            Self::Redb(error @ redb::Error::PreviousIo) => Error::Disk { file, why: error.to_string() },
            Self::Redb(error) => Error::Damaged { file, why: error.to_string() },
        }
    }
}

/// The file's format; a new file is given ours.
pub(super) fn format(database: &Database) -> Result<u64, Trouble> {
    match database.begin_read()?.open_table(ABOUT) {
        Ok(about) => return Ok(about.get("format")?.map_or(FORMAT, |found| found.value())),
        Err(TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let transaction = begin(database)?;
    transaction.open_table(ABOUT)?.insert("format", FORMAT)?;
    transaction.open_table(ROWS)?;
    transaction.commit()?;
    Ok(FORMAT)
}

/// All rows of a mapping.
pub(super) fn all(database: &Database, mapping: &str) -> Result<Vec<Row>, Trouble> {
    let table = database.begin_read()?.open_table(ROWS)?;
    let mut rows = Vec::new();
    for entry in table.range((mapping, "")..)? {
        let (key, value) = entry?;
        let (of, partition) = key.value();
        if of != mapping {
            break;
        }
        rows.push(decode(mapping, partition, value.value())?);
    }
    Ok(rows)
}

/// Compare and swap, all in one commit: two fsyncs, however many rows. Answers what was refused.
pub(super) fn write(database: &Database, mapping: &str, rows: Vec<Row>) -> Result<Vec<String>, Trouble> {
    let transaction = begin(database)?;
    let count = rows.len();
    let mut refused = Vec::new();
    {
        let mut table = transaction.open_table(ROWS)?;
        for row in rows {
            let key = (mapping, row.partition.as_str());
            if version(&table, key)? == row.version {
                table.insert(key, encode(&row).as_slice())?;
            } else {
                refused.push(row.partition);
            }
        }
    }
    if refused.len() < count {
        transaction.commit()?;
    } else {
        transaction.abort()?;
    }
    Ok(refused)
}

/// Removes those that are at their versions.
pub(super) fn remove(database: &Database, mapping: &str, rows: &[Row]) -> Result<(), Trouble> {
    let transaction = begin(database)?;
    {
        let mut table = transaction.open_table(ROWS)?;
        for row in rows {
            let key = (mapping, row.partition.as_str());
            if row.version > 0 && version(&table, key)? == row.version {
                table.remove(key)?;
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

fn begin(database: &Database) -> Result<WriteTransaction, Trouble> {
    let mut transaction = database.begin_write()?;
    // Without it redb walks the whole file after a crash, and decides by checksums which of two commits is whole. With it
    // the allocator's state is part of each commit, and a second fsync says which is the last: open at once after a kill.
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// The version a row is stored with; 0: it is not.
fn version(
    table: &impl ReadableTable<(&'static str, &'static str), &'static [u8]>,
    key: (&str, &str),
) -> Result<u64, Trouble> {
    let Some(value) = table.get(key)? else { return Ok(0) };
    Ok(decode(key.0, key.1, value.value())?.version)
}

/// The row as it is stored once it is written.
fn encode(row: &Row) -> Vec<u8> {
    let (mark, at) = spell(&row.mark);
    let stored = Stored {
        stream: row.stream.clone(),
        mark: mark.to_owned(),
        at,
        owner: row.owner.clone(),
        version: row.version + 1,
    };
    serde_json::to_vec(&stored).expect("strings and a number")
}

fn decode(mapping: &str, partition: &str, bytes: &[u8]) -> Result<Row, Trouble> {
    let wrong = |found| {
        Trouble::Row(Error::Row { mapping: mapping.to_owned(), partition: partition.to_owned(), found })
    };
    let stored: Stored = serde_json::from_slice(bytes).map_err(|_| wrong("something else"))?;
    let mark = read(&stored.mark, stored.at.as_deref()).map_err(wrong)?;
    let Stored { stream, owner, version, .. } = stored;
    Ok(Row { partition: partition.to_owned(), stream, mark, owner, version })
}
