//! One file: what every store promises, and what is its own.

use std::{
    fs::{metadata, read, write},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use klr_contract::{
    Kind, Store,
    conformance::store::{Harness, Subject, standard},
};
use redb::{Database, TableDefinition};
use tempfile::TempDir;

use super::row;
use crate::state::{Error, open};

struct Files;

struct Directory(TempDir);

#[async_trait]
impl Harness for Files {
    async fn create(&self) -> Box<dyn Subject> {
        Box::new(Directory(TempDir::new().unwrap()))
    }
}

#[async_trait]
impl Subject for Directory {
    async fn join(&self) -> Arc<dyn Store> {
        Arc::new(open(self.0.path()).await.unwrap())
    }

    fn expiry(&self) -> Duration {
        Duration::ZERO
    }
}

#[tokio::test]
async fn conforms() {
    standard(&Files).await;
}

fn file(directory: &Path) -> std::path::PathBuf {
    directory.join("positions.redb")
}

#[tokio::test]
async fn a_directory_is_for_one_process() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path()).await.unwrap();
    let error = open(directory.path()).await.unwrap_err();
    assert!(matches!(&error, Error::InUse { directory: named } if named == directory.path()), "{error}");
    assert!(error.to_string().contains(&directory.path().display().to_string()), "{error}");
    store.close().await.unwrap();
    let next = open(directory.path()).await.unwrap();
    let closed = store.write("m", &[row("a", "1", 0)]).await.unwrap_err();
    assert_eq!((closed.code(), closed.kind()), ("state-closed", Kind::Stop));
    assert!(next.write("m", &[row("a", "1", 0)]).await.unwrap().is_empty());
}

#[tokio::test]
async fn nobody_else_may_read_it() {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("new/klr");
    let _store = open(&directory).await.unwrap();
    let mode = |path: &Path| metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&directory), mode(&file(&directory))), (0o700, 0o600));
}

#[tokio::test]
async fn a_newer_format_is_refused_by_name() {
    let directory = TempDir::new().unwrap();
    open(directory.path()).await.unwrap().close().await.unwrap();
    let database = Database::open(file(directory.path())).unwrap();
    let transaction = database.begin_write().unwrap();
    let about: TableDefinition<&str, u64> = TableDefinition::new("klr");
    transaction.open_table(about).unwrap().insert("format", 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = open(directory.path()).await.unwrap_err();
    assert!(matches!(error, Error::Newer { found: 2, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("format 2: a newer klr wrote it"), "{error}");
}

#[tokio::test]
async fn another_file_is_left_as_it_is() {
    let directory = TempDir::new().unwrap();
    for content in [b"positions: none\n".repeat(1000), b"x".to_vec()] {
        write(file(directory.path()), &content).unwrap();
        let error = open(directory.path()).await.unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert_eq!(read(file(directory.path())).unwrap(), content);
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_no_panic() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path()).await.unwrap();
    let rows: Vec<_> = (0..200).map(|n| row(&format!("shard-{n}"), "49590338", 0)).collect();
    assert!(store.write("m", &rows).await.unwrap().is_empty());
    store.close().await.unwrap();
    let sound = read(file(directory.path())).unwrap();
    // The header: both commit slots.
    let mut damaged = sound.clone();
    damaged[9..320].fill(0x5a);
    write(file(directory.path()), &damaged).unwrap();
    let error = open(directory.path()).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    // What is zero in front and has rows behind it is no file that was being made.
    let mut beheaded = sound.clone();
    beheaded[..4096].fill(0);
    write(file(directory.path()), &beheaded).unwrap();
    let error = open(directory.path()).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert_eq!(read(file(directory.path())).unwrap(), beheaded);
    write(file(directory.path()), &sound).unwrap();
    assert_eq!(open(directory.path()).await.unwrap().rows("m").await.unwrap().len(), 200);
}

/// Killed between redb's first write and its last: as long as it will be, and without its name.
#[tokio::test]
async fn a_file_that_was_being_made_is_made_anew() {
    let directory = TempDir::new().unwrap();
    let mut unfinished = vec![0; 72 << 10];
    for stage in [0, 1, 300] {
        unfinished[9..9 + stage].fill(3);
        write(file(directory.path()), &unfinished).unwrap();
        let store = open(directory.path()).await.unwrap();
        assert!(store.write("m", &[row("a", "1", 0)]).await.unwrap().is_empty());
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_row_of_an_unknown_kind_is_an_error_of_its_mapping() {
    let directory = TempDir::new().unwrap();
    open(directory.path()).await.unwrap().close().await.unwrap();
    let database = Database::open(file(directory.path())).unwrap();
    let transaction = database.begin_write().unwrap();
    let rows: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("positions");
    let newer: &[u8] = br#"{"stream":"s","mark":"halfway","at":"secret","version":1}"#;
    transaction.open_table(rows).unwrap().insert(("m", "a"), newer).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let store = open(directory.path()).await.unwrap();
    let error = store.rows("m").await.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("state-row", Kind::Stop));
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(store.rows("other").await.unwrap().is_empty());
}
