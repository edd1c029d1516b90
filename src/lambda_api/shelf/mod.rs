//! Resources, durable and at hand: one file, `lambda.redb`, one table a kind, read from memory.
//!
//! Every [`Change`] is made under one lock, so that an operation is *check → change → commit* with nobody in between. A
//! commit returns when what it changed, on any number of shelves, is on disk; then, and only then, is it seen by readers.
//! A commit that has begun is finished even if nobody waits for it any more. redb as shipped takes up to a gigabyte of
//! cache; here everything is in memory already, so it gets four megabytes.

mod disk;

use std::{
    collections::BTreeMap,
    ops::Bound,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    task::{JoinError, spawn_blocking},
};

use self::disk::{Disk, Row};

/// Why resources cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory is not ours, or not to be had.
    #[error(transparent)]
    Directory(#[from] crate::state::Error),
    /// The disk is full, or broken. Nothing was half-written.
    #[error("expected to keep resources in {}: {why}", file.display())]
    Disk {
        /// The file.
        file: PathBuf,
        /// What redb or the system says.
        why: String,
    },
    /// Not what we wrote.
    #[error("expected a {kind} under {key} in {}, found something else ({why}): did a newer klr write it?", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The shelf.
        kind: &'static str,
        /// The row.
        key: String,
        /// What is wrong, never the content.
        why: String,
    },
    /// The process is ending.
    #[error("expected to keep resources, the process is ending")]
    Ending,
}

impl From<JoinError> for Error {
    fn from(error: JoinError) -> Self {
        tracing::debug!(%error, "a change was not waited for");
        Self::Ending
    }
}

/// The file all shelves are in.
#[derive(Debug, Clone)]
pub struct Store {
    disk: Arc<Mutex<Disk>>,
}

impl Store {
    /// Opens `lambda.redb` in a directory, which is made if missing, for this process alone.
    pub async fn open(directory: &Path) -> Result<Self, Error> {
        let path = directory.join("lambda.redb");
        let disk = spawn_blocking(move || Disk::open(path)).await??;
        Ok(Self { disk: Arc::new(Mutex::new(disk)) })
    }

    /// The shelf of one kind, with everything on it.
    pub async fn shelf<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
        kind: &'static str,
    ) -> Result<Shelf<T>, Error> {
        let mut disk = Arc::clone(&self.disk).lock_owned().await;
        let items = spawn_blocking(move || disk.read(kind)).await??;
        Ok(Shelf { kind, items: Arc::new(RwLock::new(items)) })
    }

    /// Waits until all other changes are made, and begins one.
    pub async fn change(&self) -> Change {
        Change { disk: Arc::clone(&self.disk).lock_owned().await, rows: Vec::new(), then: Vec::new() }
    }
}

/// What is on a shelf, by key.
type Items<T> = Arc<RwLock<BTreeMap<String, Arc<T>>>>;

/// All resources of one kind.
#[derive(Debug)]
pub struct Shelf<T> {
    kind: &'static str,
    items: Items<T>,
}

impl<T> Shelf<T> {
    fn read<R>(&self, look: impl FnOnce(&BTreeMap<String, Arc<T>>) -> R) -> R {
        look(&self.items.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// One of them.
    pub fn get(&self, key: &str) -> Option<Arc<T>> {
        self.read(|items| items.get(key).cloned())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.read(BTreeMap::len)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in the order of their keys.
    pub fn all(&self) -> Vec<(String, Arc<T>)> {
        self.under("")
    }

    /// The first that is as asked for, with its key.
    pub fn find(&self, is: impl Fn(&T) -> bool) -> Option<(String, Arc<T>)> {
        self.read(|items| {
            items.iter().find(|(_, item)| is(item)).map(|(key, item)| (key.clone(), Arc::clone(item)))
        })
    }

    /// Those whose keys begin so, in order.
    pub fn under(&self, prefix: &str) -> Vec<(String, Arc<T>)> {
        self.read(|items| {
            let from = (Bound::Included(prefix), Bound::Unbounded);
            let begins = items.range::<str, _>(from).take_while(|(key, _)| key.starts_with(prefix));
            begins.map(|(key, item)| (key.clone(), Arc::clone(item))).collect()
        })
    }
}

/// A change of any number of resources: all of it is made, or nothing. Dropped, it is not made.
#[must_use = "a change is made when it is committed"]
pub struct Change {
    disk: OwnedMutexGuard<Disk>,
    rows: Vec<Row>,
    /// What readers see once the rows are on disk.
    then: Vec<Box<dyn FnOnce() + Send>>,
}

impl Change {
    /// Puts something on a shelf, in the place of what was there.
    pub fn put<T: Serialize + Send + Sync + 'static>(
        &mut self,
        shelf: &Shelf<T>,
        key: impl Into<String>,
        item: T,
    ) -> Arc<T> {
        let (key, item) = (key.into(), Arc::new(item));
        let bytes = serde_json::to_vec(&*item).expect("a resource is a struct of plain members");
        self.rows.push(Row { kind: shelf.kind, key: key.clone(), value: Some(bytes) });
        let (items, shown) = (Arc::clone(&shelf.items), Arc::clone(&item));
        self.then.push(Box::new(move || {
            items.write().unwrap_or_else(PoisonError::into_inner).insert(key, shown);
        }));
        item
    }

    /// Takes something off a shelf, if it is there.
    pub fn remove<T: Send + Sync + 'static>(&mut self, shelf: &Shelf<T>, key: impl Into<String>) {
        let key = key.into();
        self.rows.push(Row { kind: shelf.kind, key: key.clone(), value: None });
        let items = Arc::clone(&shelf.items);
        self.then.push(Box::new(move || {
            items.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
        }));
    }

    /// Takes off everything whose key begins so.
    pub fn remove_under<T: Send + Sync + 'static>(&mut self, shelf: &Shelf<T>, prefix: &str) {
        for (key, _) in shelf.under(prefix) {
            self.remove(shelf, key);
        }
    }

    /// Makes the change; it is durable when this returns.
    pub async fn commit(mut self) -> Result<(), Error> {
        if self.rows.is_empty() {
            return Ok(());
        }
        // What has begun is finished, the lock held and memory brought along, even if the caller went away.
        let made = spawn_blocking(move || {
            self.disk.write(&self.rows)?;
            self.then.into_iter().for_each(|then| then());
            Ok(())
        });
        made.await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_committed_is_there_again() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).await.unwrap();
        let names: Shelf<String> = store.shelf("names").await.unwrap();
        let sizes: Shelf<u64> = store.shelf("sizes").await.unwrap();
        let mut change = store.change().await;
        change.put(&names, "a:1", "one".to_owned());
        change.put(&names, "a:2", "two".to_owned());
        change.put(&names, "b:1", "three".to_owned());
        change.put(&sizes, "a", 7);
        assert!(names.is_empty(), "nothing is seen before it is durable");
        change.commit().await.unwrap();
        assert_eq!(names.under("a:").len(), 2);
        let mut change = store.change().await;
        change.remove_under(&names, "a:");
        drop(change);
        assert_eq!(names.len(), 3, "what was not committed did not happen");
        let mut change = store.change().await;
        change.remove(&names, "a:1");
        change.commit().await.unwrap();
        assert!(Store::open(directory.path()).await.is_err(), "one process, one directory");
        drop((store, names, sizes));
        let store = Store::open(directory.path()).await.unwrap();
        let names: Shelf<String> = store.shelf("names").await.unwrap();
        let keys: Vec<_> = names.all().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["a:2", "b:1"]);
        assert_eq!(store.shelf::<u64>("sizes").await.unwrap().get("a").as_deref(), Some(&7));
        assert!(store.shelf::<u64>("names").await.is_err(), "another kind of thing");
    }
}
