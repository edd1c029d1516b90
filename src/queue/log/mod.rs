//! The durable log: segments of frames, appended to, and an index in memory of where every event is.
//!
//! | word | what it is |
//! | --- | --- |
//! | segment | a file of about 64 MiB; the last one grows, the others are sealed |
//! | frame | an event with how far it has come, or word that one is settled |
//! | hint | beside a sealed segment: its frames without the events, so that opening reads a few per cent |
//! | key | an event, wherever it stands |
//!
//! Invariants: what [`Log::commit`] answers `Ok` to is on disk; a frame stands behind those it is about; only the oldest segment
//! is ever removed, once nothing in it is alive. So no frame can be missed by removing another, and a sealed segment
//! needs no tombstones of its own.
//!
//! *Compaction.* When more than half of the log is settled, events that are still alive in the oldest segment are written
//! again at the end, a little with each commit, and the segment goes. A byte is so rewritten once for each byte that is freed.
//!
//! *Why not a store off the shelf.* Measured on this job, commits of 64 events of 1 KB, each synced, on two cores at a load of
//! about twelve, where one event and one fsync made 680 to 1,350/s; ours at other moments than the others, so the order of
//! magnitude is what counts:
//!
//! | | events/s | resident | opened after a kill |
//! | --- | --- | --- | --- |
//! | redb 4.6, quick repair, 16 MiB of cache | 12,000 | 20 MB | 0.02 s, 320,000 events |
//! | fjall 3.1, 16 MiB of cache | 30,000 to 38,000 | 76 MB with 64,000 events, 147 MB with 640,000 | 0.2 to 0.6 s |
//! | this log, 64 senders that wait for their answers | 22,000 to 118,000 | 31 MB with 1,000,000 | 0.4 s, 1,000,000 events |
//!
//! redb's commits are copies of pages and two syncs; fjall writes each event into its journal and again into its tables, of
//! which nothing is ever looked up here but by place. A queue is a log already: what is here is that, an index of a few bytes
//! an event, and nothing that is written twice but what compaction moves. `make bench-queue` says what it does.

mod frame;
mod hint;
mod index;
mod op;
mod open;
mod reader;
mod seen;
mod segment;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use self::{
    index::Index,
    op::{Mark, Run},
    open::Lock,
    seen::Seen,
    segment::START,
};
use super::error::Error;

pub(super) use self::{
    index::{Key, Sum},
    op::{Body, Op},
    reader::Reader,
    seen::Label,
};

/// How large the log may become.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of a segment.
    pub segment: u64,
    /// Events that are not settled.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Limits {
    /// The part of a segment that new events do not get. What settles events fits in there even on a disk that is full,
    /// and so makes room on it.
    fn reserve(&self) -> u64 {
        self.segment / 16
    }
}

/// The log, for its one writer.
#[derive(Debug)]
pub(super) struct Log {
    directory: PathBuf,
    limits: Limits,
    index: Arc<Mutex<Index>>,
    active: Option<Active>,
    /// How far the oldest segment has been compacted.
    compacted: usize,
    /// Held as long as the log is.
    _lock: Lock,
}

/// The segment that grows.
#[derive(Debug)]
struct Active {
    file: Arc<File>,
    end: u64,
    /// Up to here there may be what is left of a write that failed.
    torn: Option<u64>,
    hint: Option<hint::Writer>,
}

impl Log {
    fn new(directory: &Path, limits: Limits, index: Index, active: Option<Active>, lock: Lock) -> Self {
        let index = Arc::new(Mutex::new(index));
        Self { directory: directory.to_owned(), limits, index, active, compacted: 0, _lock: lock }
    }

    /// Reads events, beside the writer.
    pub fn reader(&self) -> Reader {
        Reader::new(&self.directory, &self.index)
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes all of these and syncs once (once more for each segment that is filled). Answers in their order.
    pub fn commit(&mut self, ops: Vec<Op>) -> Vec<Result<Key, Error>> {
        let mut answers = Vec::with_capacity(ops.len());
        let mut run = Run::default();
        for op in ops {
            let refused = self.admit(&op, run.new).and_then(|()| {
                if self.fits(&run, &op) && run.is_new(&op) {
                    return Ok(());
                }
                self.flush(&mut run, &mut answers);
                self.room_for(&op)
            });
            match refused {
                Ok(()) => run.add(op, &self.index()),
                Err(error) => {
                    // In their order.
                    self.flush(&mut run, &mut answers);
                    answers.push(Err(error));
                }
            }
        }
        self.flush(&mut run, &mut answers);
        answers
    }

    /// Whether the queue may hold one more.
    fn admit(&self, op: &Op, coming: Sum) -> Result<(), Error> {
        let Op::Put(body) = op else { return Ok(()) };
        let live = self.index().live;
        let (events, bytes) = (live.events + coming.events, live.bytes + coming.bytes);
        if events >= self.limits.events {
            return Err(Error::Full { what: "events", held: events, limit: self.limits.events });
        }
        if bytes + body.size() > self.limits.bytes {
            return Err(Error::Full { what: "bytes", held: bytes, limit: self.limits.bytes });
        }
        Ok(())
    }

    /// Whether the segment has room for one more, behind what is about to be written.
    fn fits(&self, run: &Run, op: &Op) -> bool {
        let Some(active) = &self.active else { return false };
        let (size, limit) = match op {
            Op::Put(body) => (body.size(), self.limits.segment - self.limits.reserve()),
            // What compaction moves must not take the place of what makes room.
            Op::Replace(_, body) => (body.size(), self.limits.segment - self.limits.reserve() / 16),
            Op::Done(_) => (frame::DONE_SIZE as u64, self.limits.segment),
        };
        let empty = active.end == START && run.bytes.is_empty();
        empty || active.end + run.bytes.len() as u64 + size <= limit
    }

    /// Begins another segment, or says why none can be had.
    fn room_for(&mut self, op: &Op) -> Result<(), Error> {
        if self.fits(&Run::default(), op) {
            return Ok(());
        }
        let number = self.index().next();
        let path = segment::log(&self.directory, number);
        self.mend()?;
        let made = segment::create(&self.directory, number, self.limits.segment);
        let file = made.map_err(|error| Error::disk(&path, &error))?;
        if let Some(mut sealed) = self.active.take() {
            seal(&mut sealed);
        }
        let hint = hint::Writer::create(&segment::hint(&self.directory, number)).ok();
        let mut index = self.index();
        index.push(file, START);
        let file = index.segments.back().map(|segment| Arc::clone(&segment.file));
        drop(index);
        self.active = file.map(|file| Active { file, end: START, torn: None, hint });
        Ok(())
    }

    /// Writes a run, makes it safe, and takes it into the index.
    fn flush(&mut self, run: &mut Run, answers: &mut Vec<Result<Key, Error>>) {
        let Run { bytes, marks, .. } = std::mem::take(run);
        match self.write(&bytes) {
            Ok(start) => self.note(start, bytes.len(), marks, answers),
            Err(error) => answers.extend(marks.iter().map(|_| Err(error.clone()))),
        }
    }

    /// Where they were written.
    fn write(&mut self, bytes: &[u8]) -> Result<u64, Error> {
        self.mend()?;
        let Some(active) = &mut self.active else { return Ok(START) };
        let start = active.end;
        if bytes.is_empty() {
            return Ok(start);
        }
        let end = start + bytes.len() as u64;
        let written = active.file.write_all_at(bytes, start).and_then(|()| active.file.sync_data());
        if let Err(error) = written {
            active.torn = Some(end);
            return Err(self.failed(&error));
        }
        active.end = end;
        Ok(start)
    }

    /// Removes what a write that failed has left, before anything else is written.
    fn mend(&mut self) -> Result<(), Error> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let Some(torn) = active.torn else { return Ok(()) };
        match segment::wipe(&active.file, active.end, torn) {
            Ok(()) => {
                active.torn = None;
                Ok(())
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn failed(&self, error: &io::Error) -> Error {
        let number = self.index().next().saturating_sub(1);
        Error::disk(&segment::log(&self.directory, number), error)
    }

    fn note(&mut self, start: u64, written: usize, marks: Vec<Mark>, answers: &mut Vec<Result<Key, Error>>) {
        let Some(active) = &mut self.active else { return };
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(segment) = index.segments.back_mut() {
            segment.size = start + written as u64;
        }
        for mark in marks {
            let (key, seen) = match mark {
                Mark::Nothing(key) => (key, None),
                Mark::Done { key, place } => {
                    index.done(key);
                    (key, Some(Seen::Done(place)))
                }
                Mark::Put { offset, length, key, replaces, label } => {
                    let [offset, length] = [start + offset as u64, length as u64]
                        .map(|number| u32::try_from(number).expect("a segment is shorter than 4 GiB"));
                    let key = index.put(offset, length, key);
                    (key, Some(Seen::Put { offset, length, replaces, label }))
                }
            };
            if let (Some(seen), Some(hint)) = (seen, &mut active.hint)
                && hint.add(&seen).is_err()
            {
                active.hint = None;
            }
            answers.push(Ok(key));
        }
    }

    /// One step of compaction. `false`: there is nothing to be done.
    pub fn compact(&mut self) -> Result<bool, Error> {
        /// With each commit, beside it: a few milliseconds of a disk.
        const STEP: u64 = 1 << 20;
        let (keys, next) = {
            let index = self.index();
            let Some(oldest) = index.segments.front().filter(|_| index.segments.len() > 1) else {
                return Ok(false);
            };
            if oldest.live.events == 0 {
                drop(index);
                self.remove_oldest()?;
                return Ok(true);
            }
            let slack = 2 * self.limits.segment;
            if index.size() <= 2 * index.live.bytes + slack {
                return Ok(false);
            }
            index.oldest(self.compacted, STEP)
        };
        let reader = self.reader();
        let moved = keys.into_iter().filter_map(|key| match reader.read(key) {
            Ok(stored) => stored.map(|stored| Ok(Op::Replace(key, Body::of(&stored)))),
            Err(error) => Some(Err(error)),
        });
        let moved = moved.collect::<Result<Vec<_>, _>>()?;
        for answer in self.commit(moved) {
            answer?;
        }
        self.compacted = next;
        Ok(true)
    }

    fn remove_oldest(&mut self) -> Result<(), Error> {
        let number = self.index().first();
        let path = segment::log(&self.directory, number);
        // Until it is gone for good, the next oldest stays: it may hold the word that what is in here was settled.
        let removed = remove(&path).and_then(|()| segment::sync(&self.directory));
        removed.map_err(|error| Error::disk(&path, &error))?;
        let _ = fs::remove_file(segment::hint(&self.directory, number));
        self.index().pop();
        self.compacted = 0;
        Ok(())
    }
}

/// Idempotent: the removal may have been done, and the sync after it failed.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// No more is written to it.
fn seal(active: &mut Active) {
    // Room it took and does not need. If it keeps it, zeros are at its end, and read as such.
    let _ = active.file.set_len(active.end);
    if let Some(hint) = active.hint.take() {
        let _ = hint.finish();
    }
}
