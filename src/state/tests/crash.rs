//! A writer that is killed at any moment: no accepted write is lost, and the file opens at once.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write, stdout},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use klr_contract::{Mark, Store};
use klr_test_support::random::Random;
use tempfile::TempDir;

use super::{
    again::{again, told},
    row,
};
use crate::state::{Error, open};

const ROUNDS: u32 = 24;
/// Killed at the latest so many milliseconds after its start: some die before the file is there, most while they write.
const LONGEST_LIFE: u64 = 400;
const MAPPINGS: [&str; 3] = ["a", "b", "c"];
/// A second, and a loaded machine's allowance.
const SOON: Duration = Duration::from_secs(5);

/// By mapping and partition.
type Versions = BTreeMap<(String, String), u64>;

/// Writes until it is killed, and says what was accepted.
#[tokio::test]
async fn writer() {
    let Some(directory) = told() else { return };
    let store = match open(&directory).await {
        // The intruder was first.
        Err(Error::InUse { .. }) => return,
        opened => opened.unwrap(),
    };
    let write = async |mapping: &str| {
        let mut known = store.rows(mapping).await.unwrap();
        if known.is_empty() {
            known = (0..20).map(|n| row(&format!("shard-{n}"), "0", 0)).collect();
        }
        loop {
            // Enough that a commit is more than a page.
            for row in &mut known {
                row.mark = Mark::After(format!("{:0>200}", row.version + 1));
            }
            assert!(store.write(mapping, &known).await.unwrap().is_empty());
            let mut said = String::new();
            for row in &mut known {
                row.version += 1;
                said.push_str(&format!("ACCEPTED {mapping} {} {}\n", row.partition, row.version));
            }
            stdout().lock().write_all(said.as_bytes()).unwrap();
        }
    };
    tokio::join!(write(MAPPINGS[0]), write(MAPPINGS[1]), write(MAPPINGS[2]));
}

#[tokio::test]
async fn nothing_accepted_is_lost_when_a_writer_is_killed() {
    let random = Random::new();
    let mut directory = TempDir::new().unwrap();
    let mut accepted = Versions::new();
    let (mut slowest, mut writes) = (Duration::ZERO, 0);
    for round in 0..ROUNDS {
        if round % 4 == 0 {
            directory = TempDir::new().unwrap();
            accepted.clear();
        }
        let life = Duration::from_millis(random.below(LONGEST_LIFE));
        let said = live_and_die(directory.path(), life, round % 2 == 1).await;
        writes += said.len();
        accepted.extend(said);
        let start = Instant::now();
        let store = open(directory.path()).await.unwrap();
        let stored = stored(&store).await;
        slowest = slowest.max(start.elapsed());
        for (key, version) in &accepted {
            let found = stored.get(key).copied().unwrap_or_default();
            // One write of a mapping at a time was under way.
            assert!((*version..=version + 1).contains(&found), "round {round}, {key:?}: {version}, {found}");
        }
        // Rows written in one call were all written or none.
        for mapping in MAPPINGS {
            let versions: Vec<_> = stored.iter().filter(|((of, _), _)| of == mapping).collect();
            assert!(versions.windows(2).all(|pair| pair[0].1 == pair[1].1), "round {round}: {versions:?}");
        }
        accepted = stored;
    }
    eprintln!("{ROUNDS} kills, {writes} rows accepted, slowest open {slowest:?}");
    assert!(slowest < SOON, "the file opens at once: {slowest:?}");
    assert!(writes > 0, "some writers lived long enough to write");
}

/// What the writer said before it died.
async fn live_and_die(directory: &Path, life: Duration, intrude: bool) -> Vec<((String, String), u64)> {
    let mut child = again("crash::writer", directory).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reading = tokio::task::spawn_blocking(move || {
        // The last line may be cut off.
        lines.map_while(Result::ok).filter_map(|line| accepted(&line)).collect()
    });
    tokio::time::sleep(life).await;
    if intrude {
        // Too early for the writer, or refused: never two.
        let refused = open(directory).await.err();
        assert!(refused.is_none_or(|error| matches!(error, Error::InUse { .. })));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    reading.await.unwrap()
}

fn accepted(line: &str) -> Option<((String, String), u64)> {
    // The test's name stands before the first.
    let mut words = line.split_once("ACCEPTED ")?.1.split(' ');
    let key = (words.next()?.to_owned(), words.next()?.to_owned());
    Some((key, words.next()?.parse().ok()?))
}

async fn stored(store: &impl Store) -> Versions {
    let mut versions = Versions::new();
    for mapping in MAPPINGS {
        for row in store.rows(mapping).await.unwrap() {
            versions.insert((mapping.to_owned(), row.partition), row.version);
        }
    }
    versions
}
