//! Rows in redb.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use redb::{
    Builder, Database, ReadableDatabase, ReadableTable, TableDefinition, TableError, backends::FileBackend,
};
use serde::de::DeserializeOwned;

use super::Error;
use crate::state;

/// Rows are read once, at the start.
const CACHE: usize = 4 << 20;

/// What is to be written: a row, or its end.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) kind: &'static str,
    pub(super) key: String,
    pub(super) value: Option<Vec<u8>>,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
    /// `None` after an error: redb does nothing any more until it is opened anew.
    database: Option<Database>,
}

fn table(kind: &str) -> TableDefinition<'_, &'static str, &'static [u8]> {
    TableDefinition::new(kind)
}

impl Disk {
    pub(super) fn open(path: PathBuf) -> Result<Self, Error> {
        let path = std::path::absolute(&path).unwrap_or(path);
        let database = Some(database(&path)?);
        Ok(Self { path, database })
    }

    /// Everything of a kind.
    pub(super) fn read<T: DeserializeOwned>(
        &mut self,
        kind: &'static str,
    ) -> Result<BTreeMap<String, Arc<T>>, Error> {
        let file = self.path.clone();
        let rows = self.with(|database| rows(database, kind))?;
        rows.into_iter()
            .map(|(key, value)| match serde_json::from_slice(&value) {
                Ok(item) => Ok((key, Arc::new(item))),
                Err(error) => Err(Error::Damaged { file: file.clone(), kind, key, why: error.to_string() }),
            })
            .collect()
    }

    /// Writes all rows, or none; durable when it returns.
    pub(super) fn write(&mut self, rows: &[Row]) -> Result<(), Error> {
        self.with(|database| {
            let transaction = database.begin_write()?;
            for row in rows {
                let mut table = transaction.open_table(table(row.kind))?;
                match &row.value {
                    Some(value) => table.insert(row.key.as_str(), value.as_slice())?,
                    None => table.remove(row.key.as_str())?,
                };
            }
            Ok(transaction.commit()?)
        })
    }

    fn with<T>(&mut self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => database(&self.path)?,
        };
        let done = work(&database).map_err(|error| disk(&self.path, &error))?;
        self.database = Some(database);
        Ok(done)
    }
}

fn disk(path: &Path, error: &redb::Error) -> Error {
    Error::Disk { file: path.to_owned(), why: error.to_string() }
}

fn database(path: &Path) -> Result<Database, Error> {
    let file = state::own(path)?;
    let opened = FileBackend::new(file)
        .and_then(|backend| Builder::new().set_cache_size(CACHE).create_with_backend(backend));
    opened.map_err(|error| disk(path, &error.into()))
}

fn rows(database: &Database, kind: &str) -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
    let table = match database.begin_read()?.open_table(table(kind)) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    table
        .iter()?
        .map(|row| {
            row.map(|(key, value)| (key.value().to_owned(), value.value().to_vec())).map_err(Into::into)
        })
        .collect()
}
