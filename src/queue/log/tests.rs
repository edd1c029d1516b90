//! The log on a real disk: what it promises when it is closed in the middle of anything.

use std::{
    collections::BTreeMap,
    fs::{self, metadata, read, write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use jiff::Timestamp;
use klr_test_support::random::Random;
use tempfile::TempDir;
use uuid::Uuid;

use super::{open::Left, *};
use crate::queue::event::{Event, Stage, Stored};

const SMALL: Limits = Limits { segment: 16 << 10, events: 1_000_000, bytes: 1 << 30 };

fn event(number: u64, size: usize) -> Stored {
    let event = Event {
        id: Uuid::from_u128(number.into()),
        target: format!("function-{}", number % 3).into(),
        payload: Bytes::from(vec![b'x'; size]),
        accepted: Timestamp::from_millisecond(i64::try_from(number).unwrap()).unwrap(),
        trace: None,
    };
    Stored { event, stage: Stage::default() }
}

fn again(mut stored: Stored, attempts: u32) -> Stored {
    let due = Some(Timestamp::from_millisecond(77).unwrap());
    stored.stage = Stage::Waiting { attempts, due, last: None };
    stored
}

fn attempts(stored: &Stored) -> u32 {
    match stored.stage {
        Stage::Waiting { attempts, .. } => attempts,
        _ => panic!("nothing else is written here"),
    }
}

fn one(log: &mut Log, op: Op) -> Result<Key, Error> {
    log.commit(vec![op]).pop().unwrap()
}

fn put(log: &mut Log, stored: &Stored) -> Key {
    one(log, Op::Put(Body::of(stored))).unwrap()
}

/// Number and attempts of all that is there.
fn all(log: &Log, keys: &[(Key, Label)]) -> BTreeMap<u64, u32> {
    let reader = log.reader();
    let stored = keys.iter().map(|(key, label)| {
        let stored = reader.read(*key).unwrap().unwrap();
        assert_eq!(*label, Label::of(&stored));
        (u64::try_from(stored.event.id.as_u128()).unwrap(), attempts(&stored))
    });
    stored.collect()
}

fn open(directory: &Path) -> (Log, Vec<(Key, Label)>) {
    let (log, left) = Log::open(directory, SMALL).unwrap();
    (log, sorted(&left))
}

fn sorted(left: &Left) -> Vec<(Key, Label)> {
    left.oldest_first().map(|(key, label)| (key, label.clone())).collect()
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|kind| kind == "log")).collect();
    files.sort();
    files
}

fn compact(log: &mut Log) {
    while log.compact().unwrap() {}
}

#[test]
fn what_was_answered_is_there_again() {
    let directory = TempDir::new().unwrap();
    let (mut log, left) = open(directory.path());
    assert!(left.is_empty());
    let keys: Vec<_> = (0..50).map(|n| put(&mut log, &event(n, 1000))).collect();
    one(&mut log, Op::Done(keys[7])).unwrap();
    one(&mut log, Op::Replace(keys[8], Body::of(&again(event(8, 1000), 1)))).unwrap();
    // Twice is once.
    one(&mut log, Op::Done(keys[7])).unwrap();
    assert!(segments(directory.path()).len() > 3);
    let mut expected: BTreeMap<u64, u32> = (0..50).map(|n| (n, u32::from(n == 8))).collect();
    expected.remove(&7);
    drop(log);
    let (mut log, left) = open(directory.path());
    assert_eq!(all(&log, &left), expected);
    assert_eq!(log.reader().live().events, 49);
    put(&mut log, &event(50, 10));
    expected.insert(50, 0);
    drop(log);
    // The hints say the same as the segments.
    for hint in fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()) {
        if hint.extension().is_some_and(|kind| kind == "hint") {
            fs::remove_file(hint).unwrap();
        }
    }
    let (log, left) = open(directory.path());
    assert_eq!(all(&log, &left), expected);
}

#[test]
fn several_things_about_one_event_in_one_commit_are_done_in_order() {
    let directory = TempDir::new().unwrap();
    let (mut log, _) = open(directory.path());
    let keys: Vec<_> = (0..3).map(|n| put(&mut log, &event(n, 10))).collect();
    let replace = |key, n, attempts| Op::Replace(key, Body::of(&again(event(n, 10), attempts)));
    let answers = log.commit(vec![
        replace(keys[0], 0, 1),
        Op::Done(keys[0]),
        Op::Done(keys[1]),
        replace(keys[1], 1, 1),
        replace(keys[2], 2, 1),
        replace(keys[2], 2, 2),
    ]);
    assert!(answers.iter().all(Result::is_ok));
    drop(log);
    let (log, left) = open(directory.path());
    assert_eq!(all(&log, &left), BTreeMap::from([(2, 2)]));
}

#[test]
fn a_log_cut_off_at_any_byte_of_its_last_frame_has_all_before_it() {
    let directory = TempDir::new().unwrap();
    let (mut log, _) = open(directory.path());
    let first = put(&mut log, &event(1, 100));
    put(&mut log, &event(2, 100));
    let file = segments(directory.path()).pop().unwrap();
    let written = |file: &Path| {
        let bytes = read(file).unwrap();
        bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count()
    };
    let before = read(&file).unwrap();
    let start = written(&file);
    put(&mut log, &event(3, 100));
    one(&mut log, Op::Done(first)).unwrap();
    let (whole, end) = (read(&file).unwrap(), written(&file));
    drop(log);
    for cut in start..end {
        // As a file system may leave it: cut off, zeros, or something else.
        for rest in [None, Some(0), Some(0x5a)] {
            let mut torn = whole[..cut].to_vec();
            if let Some(byte) = rest {
                torn.resize(end, byte);
                torn.resize(before.len(), 0);
            }
            write(&file, &torn).unwrap();
            let (mut log, left) = open(directory.path());
            let found = all(&log, &left);
            // The word that the first is settled is the last frame. (Its place ends in zeros: those need not be written.)
            assert!(found.contains_key(&2), "cut at {cut}");
            let third = found.contains_key(&3);
            assert!(third || found.contains_key(&1), "cut at {cut}: {found:?}");
            // And it goes on from there, without what was cut off coming back.
            put(&mut log, &event(4, 1));
            drop(log);
            let (log, left) = open(directory.path());
            let mut more = found.clone();
            more.insert(4, 0);
            assert_eq!(all(&log, &left), more, "cut at {cut}");
        }
    }
}

#[test]
fn compaction_keeps_what_is_alive_and_half_of_the_rest() {
    let directory = TempDir::new().unwrap();
    let (mut log, _) = open(directory.path());
    // One that stays for ever, at the bottom of it all.
    let first = put(&mut log, &event(0, 3000));
    for n in 1..2000 {
        let key = put(&mut log, &event(n, 500));
        log.compact().unwrap();
        one(&mut log, Op::Done(key)).unwrap();
        log.compact().unwrap();
    }
    compact(&mut log);
    let reader = log.reader();
    assert_eq!(reader.live().events, 1);
    assert!(reader.disk() <= 3 * SMALL.segment, "{} bytes", reader.disk());
    assert!(segments(directory.path()).len() <= 4);
    assert_eq!(reader.read(first).unwrap().unwrap().event.payload.len(), 3000, "the key is still the key");
    drop(log);
    let (log, left) = open(directory.path());
    assert_eq!(all(&log, &left), BTreeMap::from([(0, 0)]));
}

/// Any sequence of things to do, the log closed and opened between any two: it says what a map says.
#[test]
fn it_is_a_map_whatever_happens() {
    let random = Random::new();
    for _ in 0..8 {
        let directory = TempDir::new().unwrap();
        let (mut log, _) = open(directory.path());
        let (mut model, mut keys) = (BTreeMap::new(), BTreeMap::new());
        for n in 0..400 {
            let some = |random: &Random, keys: &BTreeMap<u64, Key>| {
                let at = random.below(keys.len().max(1) as u64);
                keys.iter().nth(usize::try_from(at).unwrap()).map(|(n, key)| (*n, *key))
            };
            match random.below(10) {
                0..4 => {
                    let size = usize::try_from(random.below(2000)).unwrap();
                    keys.insert(n, put(&mut log, &event(n, size)));
                    model.insert(n, 0);
                }
                4..6 => {
                    let Some((n, key)) = some(&random, &keys) else { continue };
                    let attempts = model[&n] + 1;
                    one(&mut log, Op::Replace(key, Body::of(&again(event(n, 300), attempts)))).unwrap();
                    model.insert(n, attempts);
                }
                6..8 => {
                    let Some((n, key)) = some(&random, &keys) else { continue };
                    one(&mut log, Op::Done(key)).unwrap();
                    keys.remove(&n);
                    model.remove(&n);
                }
                8 => drop(log.compact().unwrap()),
                _ => {
                    drop(log);
                    let (opened, left) = open(directory.path());
                    log = opened;
                    assert_eq!(all(&log, &left), model);
                    let reader = log.reader();
                    let number = |key: &Key| reader.read(*key).unwrap().unwrap().event.id.as_u128();
                    keys = left.iter().map(|(key, _)| (u64::try_from(number(key)).unwrap(), *key)).collect();
                }
            }
            assert_eq!(log.reader().live().events, model.len() as u64);
        }
    }
}

#[test]
fn a_directory_is_for_one_process_and_for_its_owner() {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("new/queue");
    let (mut log, _) = open(&directory);
    put(&mut log, &event(1, 1));
    let mode = |path: &Path| metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&directory), mode(&segments(&directory)[0])), (0o700, 0o600));
    let error = Log::open(&directory, SMALL).unwrap_err();
    assert!(matches!(&error, Error::InUse { directory: named } if *named == directory), "{error}");
}

#[test]
fn damage_is_refused_by_name() {
    let directory = TempDir::new().unwrap();
    let (mut log, _) = open(directory.path());
    for n in 0..50 {
        put(&mut log, &event(n, 1000));
    }
    drop(log);
    let files = segments(directory.path());
    let sound = read(&files[1]).unwrap();
    fs::remove_file(files[1].with_extension("hint")).unwrap();
    let mut other = sound.clone();
    other[500] ^= 1;
    write(&files[1], &other).unwrap();
    let error = Log::open(directory.path(), SMALL).unwrap_err();
    assert!(error.to_string().contains("0000000002.log is damaged: no frame begins at byte 16"), "{error}");
    other[..16].copy_from_slice(b"klr-queue\0\0\0\x02\0\0\0");
    write(&files[1], &other).unwrap();
    let error = Log::open(directory.path(), SMALL).unwrap_err();
    assert!(matches!(error, Error::Newer { found: 2, known: 1, .. }), "{error}");
    write(&files[1], b"something else").unwrap();
    assert!(matches!(Log::open(directory.path(), SMALL), Err(Error::Damaged { .. })));
    fs::remove_file(&files[1]).unwrap();
    let error = Log::open(directory.path(), SMALL).unwrap_err();
    assert!(error.to_string().contains("0000000002.log is damaged: it is missing"), "{error}");
    write(&files[1], sound).unwrap();
    assert_eq!(open(directory.path()).1.len(), 50);
}

/// On a disk that is full there is no next segment, and what settles events is all that makes room.
#[test]
fn what_is_written_again_leaves_room_for_what_is_settled() {
    let directory = TempDir::new().unwrap();
    let (mut log, _) = open(directory.path());
    let stored = event(1, 10);
    let key = put(&mut log, &stored);
    let mut end = 0;
    while segments(directory.path()).len() == 1 {
        end = log.active.as_ref().unwrap().end;
        one(&mut log, Op::Replace(key, Body::of(&stored))).unwrap();
    }
    let left = SMALL.segment - end;
    assert!((SMALL.reserve() / 16..SMALL.reserve()).contains(&left), "{left}");
    assert!(left >= frame::DONE_SIZE as u64);
}

#[test]
fn it_takes_no_more_than_it_may_hold() {
    let directory = TempDir::new().unwrap();
    let limits = Limits { events: 3, ..SMALL };
    let (mut log, _) = Log::open(directory.path(), limits).unwrap();
    let answers = log.commit((0..4).map(|n| Op::Put(Body::of(&event(n, 10)))).collect());
    let [Ok(first), Ok(_), Ok(_), Err(error)] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(error.to_string(), "the queue is full: it holds 3 of 3 events");
    one(&mut log, Op::Done(*first)).unwrap();
    one(&mut log, Op::Put(Body::of(&event(4, 10)))).unwrap();
    drop(log);
    let limits = Limits { bytes: 1000, ..SMALL };
    let (mut log, left) = Log::open(directory.path(), limits).unwrap();
    assert_eq!(sorted(&left).len(), 3);
    let error = one(&mut log, Op::Put(Body::of(&event(5, 1000)))).unwrap_err();
    assert!(matches!(error, Error::Full { what: "bytes", limit: 1000, .. }), "{error}");
}

/// An event larger than a segment has one of its own.
#[test]
fn size_is_no_obstacle() {
    let directory = TempDir::new().unwrap();
    let (mut log, _) = open(directory.path());
    for n in 0..3 {
        put(&mut log, &event(n, 100_000));
        put(&mut log, &event(n + 10, 10));
    }
    drop(log);
    let (mut log, left) = open(directory.path());
    assert_eq!(left.len(), 6);
    for (key, _) in left {
        one(&mut log, Op::Done(key)).unwrap();
    }
    compact(&mut log);
    assert_eq!(segments(directory.path()).len(), 1);
}
