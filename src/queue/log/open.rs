//! From a directory to a log: segments are read in order, by their hints where those are whole.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
};

use super::{
    Active, Key, Label, Limits, Log, hint,
    index::Index,
    seen::{Names, Seen},
    segment,
};
use crate::queue::error::Error;

/// The events that were in the log when it was opened: by their keys, with holes.
#[derive(Debug, Default)]
pub(in crate::queue) struct Left(Vec<Option<Label>>);

impl Left {
    fn put(&mut self, key: Key, label: Label) {
        let at = key.0 as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, None);
        }
        self.0[at] = Some(label);
    }

    fn done(&mut self, key: Key) {
        self.0[key.0 as usize] = None;
    }

    /// Each, the oldest first.
    pub fn oldest_first(&self) -> impl Iterator<Item = (Key, &Label)> {
        let label = |key: Key| self.0.get(key.0 as usize)?.as_ref();
        let keys = (0..u32::try_from(self.0.len()).unwrap_or(u32::MAX)).map(Key);
        // There may be millions: only what is compared is copied.
        let mut order: Vec<_> = keys.filter_map(|key| Some((label(key)?.accepted, key))).collect();
        order.sort_unstable();
        order.into_iter().filter_map(move |(_, key)| Some((key, label(key)?)))
    }
}

impl Log {
    /// Opens the log of a directory, which is made if missing (0700), and takes it for this process.
    pub fn open(directory: &Path, limits: Limits) -> Result<(Self, Left), Error> {
        let lock = own(directory)?;
        let numbers = numbers(directory)?;
        let mut index = Index::starting_at(numbers.first().copied().unwrap_or(1));
        let (mut names, mut left) = (Names::default(), Left::default());
        for number in &numbers {
            if index.next() != *number {
                let file = segment::log(directory, index.next());
                return Err(Error::Damaged { file, why: "it is missing".to_owned() });
            }
            let last = Some(number) == numbers.last();
            let known = if last { None } else { hint::read(&segment::hint(directory, *number), &mut names) };
            let found = match known {
                Some(seen) => segment::known(directory, *number, seen)?,
                None => segment::open(directory, *number, last, &mut names)?,
            };
            let end = found.end;
            index.push(found.file, end);
            let hint = if last { rewritten(directory, *number, &found.seen) } else { None };
            restore(&mut index, found.seen, &mut left);
            if last {
                let file = index.segments.back().map(|segment| Arc::clone(&segment.file));
                let active = file.map(|file| Active { file, end, torn: None, hint });
                return Ok((Self::new(directory, limits, index, active, lock), left));
            }
        }
        Ok((Self::new(directory, limits, index, None, lock), left))
    }
}

/// The hint of a segment that goes on growing.
fn rewritten(directory: &Path, number: u32, seen: &[Seen]) -> Option<hint::Writer> {
    let mut hint = hint::Writer::create(&segment::hint(directory, number)).ok()?;
    seen.iter().try_for_each(|seen| hint.add(seen)).ok()?;
    Some(hint)
}

/// Takes what was seen in a segment into the index.
fn restore(index: &mut Index, seen: Vec<Seen>, left: &mut Left) {
    for seen in seen {
        match seen {
            Seen::Put { offset, length, replaces, label } => {
                let key = index.at(replaces);
                left.put(index.put(offset, length, key), label);
            }
            Seen::Done(place) => {
                // Unknown: it was in a segment that is gone.
                if let Some(key) = index.at(place) {
                    index.done(key);
                    left.done(key);
                }
            }
        }
    }
}

/// That a directory is this process's own, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    /// Said, not left to the closing of the file: a child that another thread is just starting has the file open, too, until it
    /// executes its program, and the lock would last as long.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Makes the directory, durably, and locks it.
fn own(directory: &Path) -> Result<Lock, Error> {
    let failed = |error: io::Error| Error::disk(directory, &error);
    let made =
        directory.ancestors().take_while(|part| !part.as_os_str().is_empty() && !part.exists()).count();
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(directory.join("lock")).map_err(failed)?;
    let lock = match file.try_lock() {
        Ok(()) => Lock(file),
        Err(TryLockError::WouldBlock) => return Err(Error::InUse { directory: directory.to_owned() }),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    };
    for part in directory.ancestors().take(made + 1).filter(|part| !part.as_os_str().is_empty()) {
        segment::sync(part).map_err(|error| Error::disk(part, &error))?;
    }
    Ok(lock)
}

/// The segments there are, in order.
fn numbers(directory: &Path) -> Result<Vec<u32>, Error> {
    let failed = |error: io::Error| Error::disk(directory, &error);
    let mut numbers = BTreeSet::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.strip_suffix(".log")?.parse::<u32>().ok()));
    }
    Ok(numbers.into_iter().collect())
}
