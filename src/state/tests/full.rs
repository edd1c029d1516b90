//! A disk that is full, and then has room again: a real one, of a megabyte, mounted for one process.

use std::{fs, path::Path, process::Command};

use klr_contract::{Kind, Row, Store};
use klr_test_support::servers::unavailable;
use tempfile::TempDir;

use super::{
    again::{again, told},
    row,
};
use crate::state::open;

#[test]
fn a_full_disk_is_an_error_and_no_more() {
    let directory = TempDir::new().unwrap();
    let inner = again("full::on_a_small_disk", directory.path());
    let mut outer = Command::new("unshare");
    let mount = "mount -t tmpfs -o size=1m tmpfs \"$0\" || exit 77; exec \"$@\"";
    outer.args(["--map-root-user", "--mount", "sh", "-c", mount]).arg(directory.path());
    outer.arg(inner.get_program()).args(inner.get_args());
    outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = outer.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || said.contains("unshare failed") {
        return unavailable("a small disk", &said);
    }
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stdout));
}

/// Where everything but `KLR_TEST_STATE` is as usual, and that is a disk of a megabyte.
#[tokio::test]
async fn on_a_small_disk() {
    let Some(directory) = told() else { return };
    let store = open(&directory).await.unwrap();
    let mut known: Vec<Row> = (0..20).map(|n| row(&format!("shard-{n}"), "begin", 0)).collect();
    assert!(store.write("m", &known).await.unwrap().is_empty());
    known.iter_mut().for_each(|row| row.version = 1);
    for round in 0..5 {
        fill(&directory.join("filler"));
        let more = refused(&store, &mut known, round).await;
        assert_eq!(sorted(&store).await, known, "round {round}: nothing is half-written");
        fs::remove_file(directory.join("filler")).unwrap();
        assert!(store.write("m", &more).await.unwrap().is_empty(), "round {round}: it works again");
        known.extend(more.into_iter().map(|row| Row { version: 1, ..row }));
        known.sort_by(|a, b| a.partition.cmp(&b.partition));
        assert_eq!(sorted(&store).await, known);
        store.remove("m", &known[known.len() - 10..]).await.unwrap();
        known.truncate(known.len() - 10);
    }
    drop(store);
    assert_eq!(sorted(&open(&directory).await.unwrap()).await, known);
}

/// Writes until the disk is full; what was refused.
async fn refused(store: &impl Store, known: &mut Vec<Row>, round: usize) -> Vec<Row> {
    known.sort_by(|a, b| a.partition.cmp(&b.partition));
    for n in 0..200 {
        let more: Vec<Row> =
            (0..10).map(|k| row(&format!("shard-{round}-{n:03}-{k}"), &"x".repeat(2000), 0)).collect();
        match store.write("m", &more).await {
            Ok(refused) => {
                assert!(refused.is_empty());
                known.extend(more.into_iter().map(|row| Row { version: 1, ..row }));
                known.sort_by(|a, b| a.partition.cmp(&b.partition));
            }
            Err(error) => {
                assert_eq!(
                    (error.code(), error.kind()),
                    ("state-disk", Kind::Retry { after: None }),
                    "{error}"
                );
                assert!(error.to_string().contains("No space left"), "{error}");
                return more;
            }
        }
    }
    panic!("the disk never was full");
}

/// All that fits is written before the system says that no more does.
fn fill(path: &Path) {
    fs::write(path, vec![0; 2 << 20]).unwrap_err();
}

async fn sorted(store: &impl Store) -> Vec<Row> {
    let mut rows = store.rows("m").await.unwrap();
    rows.sort_by(|a, b| a.partition.cmp(&b.partition));
    rows
}
