//! One file, one process.

mod disk;
mod rows;

use std::{
    panic::resume_unwind,
    path::{Path, PathBuf, absolute},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use klr_contract::{Row, Store};
use redb::Database;
use tokio::{sync::Mutex, task::spawn_blocking};
use uuid::Uuid;

#[cfg(feature = "lambda-api")]
pub(crate) use self::disk::own;
use self::rows::Trouble;
use super::Error;

const NAME: &str = "positions.redb";
/// A commit is two fsyncs. Ten a second are nothing to a disk, and a tenth of a second is soon delivered again.
const PACE: Duration = Duration::from_millis(100);

/// Opens the positions in a directory, which is made if missing (0700, the file 0600), and takes it for this process until
/// the store is closed or dropped.
pub async fn open(directory: &Path) -> Result<File, Error> {
    // Absolute: it may be opened again later, from wherever the process is then.
    let path = absolute(directory).map_err(|error| Error::disk(directory, &error))?.join(NAME);
    let opened = spawn_blocking({
        let path = path.clone();
        move || disk::database(&path)
    });
    let database = opened.await.unwrap_or_else(|error| {
        // redb trusts what it reads; on a file that others have written in it may panic.
        Err(Error::Damaged { file: path.clone(), why: error.to_string() })
    })?;
    let shelf = Shelf { path, database: Some(database), closed: false };
    Ok(File { member: Uuid::new_v4().to_string(), shelf: Arc::new(Mutex::new(shelf)) })
}

/// Positions in one file; this process is the sole member.
#[derive(Debug)]
pub struct File {
    member: String,
    /// One call at a time: there is one disk, and redb lets one write at a time anyway. Waiting here costs no thread.
    shelf: Arc<Mutex<Shelf>>,
}

#[derive(Debug)]
struct Shelf {
    path: PathBuf,
    /// `None` after an error: redb does nothing any more until it is opened anew.
    database: Option<Database>,
    closed: bool,
}

impl File {
    /// Off the runtime's workers. What has begun is finished, even if nobody waits for it any more.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Error> {
        let mut shelf = Arc::clone(&self.shelf).lock_owned().await;
        match spawn_blocking(move || shelf.with(work)).await {
            Ok(done) => done,
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            // The runtime is shutting down.
            Err(_) => Err(Error::Closed),
        }
    }
}

impl Shelf {
    fn with<T>(&mut self, work: impl FnOnce(&Database) -> Result<T, Trouble>) -> Result<T, Error> {
        if self.closed {
            return Err(Error::Closed);
        }
        let database = match self.database.take() {
            Some(database) => database,
            None => disk::database(&self.path)?,
        };
        match work(&database) {
            Ok(done) => {
                self.database = Some(database);
                Ok(done)
            }
            Err(trouble) => Err(trouble.at(&self.path)),
        }
    }
}

#[async_trait]
impl Store for File {
    fn member(&self) -> &str {
        &self.member
    }

    async fn members(&self) -> Result<Vec<String>, klr_contract::Error> {
        Ok(vec![self.member.clone()])
    }

    async fn rows(&self, mapping: &str) -> Result<Vec<Row>, klr_contract::Error> {
        let mapping = mapping.to_owned();
        Ok(self.with(move |database| rows::all(database, &mapping)).await?)
    }

    async fn write(&self, mapping: &str, rows: &[Row]) -> Result<Vec<String>, klr_contract::Error> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let (mapping, rows) = (mapping.to_owned(), rows.to_vec());
        Ok(self.with(move |database| rows::write(database, &mapping, rows)).await?)
    }

    async fn remove(&self, mapping: &str, rows: &[Row]) -> Result<(), klr_contract::Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let (mapping, rows) = (mapping.to_owned(), rows.to_vec());
        Ok(self.with(move |database| rows::remove(database, &mapping, &rows)).await?)
    }

    fn pace(&self) -> Duration {
        PACE
    }

    async fn close(&self) -> Result<(), klr_contract::Error> {
        let mut shelf = Arc::clone(&self.shelf).lock_owned().await;
        shelf.closed = true;
        // Closing writes, too. That it was closed well is a convenience for the next open; a panic here loses nothing.
        let _ = spawn_blocking(move || drop(shelf.database.take())).await;
        Ok(())
    }
}
