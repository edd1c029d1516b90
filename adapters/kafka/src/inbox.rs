//! What came, on its way from the consumer's thread to the engine: ownership changes first, records bounded.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use klr_contract::{Arrival, Error, Kind, Partition, Place};
use tokio::sync::Notify;

use crate::error::UNREACHABLE;

/// Bytes of fragments held before the thread has to wait. One chunk may go over it.
const BYTES: usize = 4 << 20;
/// The same for small records.
const RECORDS: usize = 10_000;
/// The same trouble is told at most this often.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How long the engine is to leave us alone after trouble. Its own back-off grows to a minute, and nothing here waits to be
/// asked: when the brokers are back, records and a rebalance that wants an answer lie here until then.
const AGAIN: Duration = Duration::from_millis(100);

/// The meeting point. One reader (the engine), one writer (the thread).
#[derive(Default)]
pub(crate) struct Inbox {
    inner: Mutex<Inner>,
    /// Something to read.
    ready: Notify,
    /// Room to write, or closed.
    room: Condvar,
}

#[derive(Default)]
struct Inner {
    /// Bounded by what is owned: at most a gain and its end for each partition, see `over`.
    ownership: VecDeque<Arrival>,
    chunks: VecDeque<Chunk>,
    records: usize,
    bytes: usize,
    /// Epochs whose arrivals may still be handed over.
    live: Vec<Partition>,
    trouble: Option<Error>,
    told: Option<(&'static str, Instant)>,
    /// The group has nothing (more) for us, or the brokers are back, and the engine was not told yet.
    reached: bool,
    closed: bool,
}

/// What was pushed together. It is handed over as it came where the engine has room for all of it: records are moved often
/// enough.
struct Chunk {
    arrivals: Vec<Arrival>,
    records: usize,
    bytes: usize,
}

impl Chunk {
    fn new(arrivals: Vec<Arrival>) -> Self {
        let lengths = arrivals.iter().filter_map(|arrival| match arrival {
            Arrival::Record(record) => Some(record.len()),
            _ => None,
        });
        let (records, bytes) = lengths.fold((0, 0), |(records, bytes), length| (records + 1, bytes + length));
        Self { arrivals, records, bytes }
    }

    /// Cuts it before the record after so many.
    fn split(self, records: usize) -> (Self, Self) {
        let mut first = self.arrivals;
        let is_record = |(_, arrival): &(usize, &Arrival)| matches!(arrival, Arrival::Record(_));
        let cut = first.iter().enumerate().filter(is_record).nth(records).map(|(at, _)| at);
        let rest = first.split_off(cut.unwrap_or(first.len()));
        (Self::new(first), Self::new(rest))
    }
}

impl Inbox {
    /// See `Log::next`.
    pub(crate) async fn next(&self, want: usize) -> Result<Vec<Arrival>, Error> {
        loop {
            // Nothing is taken before the wait is over, so a dropped future loses nothing.
            if let Some(out) = self.lock().take(want)? {
                self.room.notify_all();
                return Ok(out);
            }
            self.ready.notified().await;
        }
    }

    /// Hands a chunk over, whole, as soon as there is room; gives it back when there was none for so long. What belongs to
    /// an epoch that is over is left out.
    pub(crate) fn push(&self, mut chunk: Vec<Arrival>, wait: Duration) -> Result<(), Vec<Arrival>> {
        let inner = self.lock();
        let full = |inner: &mut Inner| !inner.closed && (inner.bytes >= BYTES || inner.records >= RECORDS);
        let (mut inner, timeout) =
            self.room.wait_timeout_while(inner, wait, full).unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() && full(&mut inner) {
            return Err(chunk);
        }
        chunk.retain(|arrival| partition(arrival).is_some_and(|partition| inner.live.contains(&partition)));
        inner.put(Chunk::new(chunk));
        drop(inner);
        self.ready.notify_one();
        Ok(())
    }

    /// A partition is ours: its arrivals may be handed over.
    pub(crate) fn gained(&self, partition: Partition) {
        let mut inner = self.lock();
        inner.live.push(partition);
        inner.ownership.push_back(Arrival::Gained(partition));
        drop(inner);
        self.ready.notify_one();
    }

    /// We are a member, and were given nothing (more).
    pub(crate) fn reached(&self) {
        self.lock().reached = true;
        self.ready.notify_one();
    }

    /// A broker answers: that none does is over, and an engine that has nothing to read hears of it.
    pub(crate) fn answered(&self) {
        let mut inner = self.lock();
        if inner.told.take_if(|(code, _)| *code == UNREACHABLE).is_some() {
            inner.trouble.take_if(|trouble| trouble.code() == UNREACHABLE);
            inner.reached = true;
            self.ready.notify_one();
        }
    }

    /// A partition is to be let go or gone (`how`): nothing more of it is handed over. False if the engine never heard of
    /// it, and so never will.
    pub(crate) fn over(&self, partition: Partition, how: Arrival) -> bool {
        let mut inner = self.lock();
        inner.forget(partition);
        let told = !inner.ownership.iter().any(|a| matches!(a, Arrival::Gained(p) if *p == partition));
        if told {
            // An unread `Losing` is overtaken by `Lost`.
            inner.ownership.retain(|a| !matches!(a, Arrival::Losing(p) if *p == partition));
            inner.ownership.push_back(how);
        } else {
            inner.ownership.retain(|a| !matches!(a, Arrival::Gained(p) if *p == partition));
        }
        drop(inner);
        self.room.notify_all();
        self.ready.notify_one();
        told
    }

    /// Drops what is held of a partition, without a word to the engine (which released it).
    pub(crate) fn drop_records(&self, partition: Partition) {
        self.lock().forget(partition);
        self.room.notify_all();
    }

    /// Something is wrong. What only a person can cure is said again and again, the rest once, at a bounded rate.
    pub(crate) fn trouble(&self, error: Error) {
        let mut inner = self.lock();
        let stopped = inner.trouble.as_ref().is_some_and(|known| known.kind() == Kind::Stop);
        let early = inner.told.is_some_and(|(code, at)| code == error.code() && at.elapsed() < TELL_EVERY);
        if stopped || (early && error.kind() != Kind::Stop) {
            return;
        }
        inner.trouble = Some(error);
        drop(inner);
        self.ready.notify_one();
    }

    /// No one will read any more; the writer does not wait.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.chunks.clear();
        drop(inner);
        self.room.notify_all();
        self.ready.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn take(&mut self, want: usize) -> Result<Option<Vec<Arrival>>, Error> {
        let mut out: Vec<_> = self.ownership.drain(..).collect();
        if want > 0 {
            self.take_records(want, &mut out);
        }
        if !out.is_empty() || std::mem::take(&mut self.reached) {
            return Ok(Some(out));
        }
        if self.closed {
            return Err(Error::stop(
                "kafka.closed",
                "the kafka source was closed: nothing can be read from it",
            ));
        }
        match &self.trouble {
            Some(error) if error.kind() == Kind::Stop => Err(error.clone()),
            Some(error) => {
                self.told = Some((error.code(), Instant::now()));
                Err(self.trouble.take().expect("it was there a line ago").after(AGAIN))
            }
            None => Ok(None),
        }
    }

    fn take_records(&mut self, want: usize, out: &mut Vec<Arrival>) {
        let mut left = want;
        while left > 0
            && let Some(mut chunk) = self.chunks.pop_front()
        {
            self.records -= chunk.records;
            self.bytes -= chunk.bytes;
            if chunk.records > left {
                let (first, rest) = chunk.split(left);
                self.records += rest.records;
                self.bytes += rest.bytes;
                self.chunks.push_front(rest);
                chunk = first;
            }
            left -= chunk.records;
            match out.is_empty() {
                true => *out = chunk.arrivals,
                false => out.append(&mut chunk.arrivals),
            }
        }
    }

    fn put(&mut self, chunk: Chunk) {
        if !chunk.arrivals.is_empty() {
            self.records += chunk.records;
            self.bytes += chunk.bytes;
            self.chunks.push_back(chunk);
        }
    }

    fn forget(&mut self, gone: Partition) {
        self.live.retain(|live| *live != gone);
        (self.records, self.bytes) = (0, 0);
        for mut chunk in std::mem::take(&mut self.chunks) {
            chunk.arrivals.retain(|arrival| partition(arrival) != Some(gone));
            self.put(Chunk::new(chunk.arrivals));
        }
    }
}

fn partition(arrival: &Arrival) -> Option<Partition> {
    match arrival {
        Arrival::Record(record) => match &record.place {
            Place::At { partition, .. } => Some(*partition),
            Place::Item { .. } => None,
        },
        Arrival::Passed(partition, ..)
        | Arrival::Gained(partition)
        | Arrival::Losing(partition)
        | Arrival::Lost(partition)
        | Arrival::Ended(partition) => Some(*partition),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use klr_contract::{Position, Record};

    use super::*;

    const P: Partition = Partition { index: 0, epoch: 1 };
    const Q: Partition = Partition { index: 1, epoch: 2 };

    fn record(partition: Partition, bytes: usize) -> Arrival {
        let place = Place::At { partition, position: Position::Offset(0), key: 0 };
        Arrival::Record(Record {
            json: Ok(vec![b'x'; bytes].into()),
            place,
            at: Timestamp::UNIX_EPOCH,
            trace: None,
        })
    }

    fn counts(arrivals: &[Arrival]) -> (usize, usize) {
        let records = arrivals.iter().filter(|arrival| matches!(arrival, Arrival::Record(_))).count();
        (arrivals.len() - records, records)
    }

    #[tokio::test]
    async fn ownership_first_and_never_more_than_wanted() {
        let inbox = Inbox::default();
        inbox.gained(P);
        inbox.push(vec![record(P, 1), record(P, 1), Arrival::Ended(P)], Duration::ZERO).unwrap();
        inbox.gained(Q);
        assert_eq!(counts(&inbox.next(0).await.unwrap()), (2, 0));
        assert_eq!(counts(&inbox.next(1).await.unwrap()), (0, 1));
        assert_eq!(counts(&inbox.next(9).await.unwrap()), (1, 1));
    }

    #[tokio::test]
    async fn nothing_of_an_epoch_that_is_over() {
        let inbox = Inbox::default();
        inbox.gained(P);
        inbox.gained(Q);
        inbox.push(vec![record(P, 1), record(Q, 1)], Duration::ZERO).unwrap();
        inbox.next(0).await.unwrap();
        assert!(inbox.over(P, Arrival::Losing(P)));
        inbox.push(vec![record(P, 1), record(Q, 1)], Duration::ZERO).unwrap();
        assert_eq!(counts(&inbox.next(9).await.unwrap()), (1, 2));
    }

    #[tokio::test]
    async fn what_the_engine_never_heard_of_ends_in_silence() {
        let inbox = Inbox::default();
        inbox.gained(P);
        assert!(!inbox.over(P, Arrival::Losing(P)));
        inbox.gained(Q);
        assert_eq!(counts(&inbox.next(9).await.unwrap()), (1, 0));
    }

    #[test]
    fn full_gives_the_chunk_back() {
        let inbox = Inbox::default();
        inbox.gained(P);
        inbox.push(vec![record(P, BYTES)], Duration::ZERO).unwrap();
        let back = inbox.push(vec![record(P, 1)], Duration::from_millis(10)).unwrap_err();
        assert_eq!(back.len(), 1);
        inbox.close();
        assert!(inbox.push(back, Duration::from_secs(60)).is_ok(), "no one waits for a reader that is gone");
    }

    #[tokio::test]
    async fn a_member_without_a_partition_has_reached_its_group() {
        let inbox = Inbox::default();
        inbox.reached();
        assert!(inbox.next(9).await.unwrap().is_empty());
        assert!(tokio::time::timeout(Duration::from_millis(10), inbox.next(9)).await.is_err(), "told once");
    }

    #[tokio::test]
    async fn an_engine_with_nothing_to_read_hears_that_brokers_are_back() {
        let inbox = Inbox::default();
        inbox.answered();
        inbox.trouble(Error::retry(UNREACHABLE, "nobody"));
        inbox.next(1).await.unwrap_err();
        inbox.answered();
        assert!(inbox.next(1).await.unwrap().is_empty());
        inbox.answered();
        assert!(tokio::time::timeout(Duration::from_millis(10), inbox.next(1)).await.is_err(), "told once");
    }

    #[tokio::test]
    async fn after_trouble_the_engine_comes_back_soon() {
        let inbox = Inbox::default();
        inbox.trouble(Error::retry("a", "a"));
        assert_eq!(inbox.next(1).await.unwrap_err().kind(), Kind::Retry { after: Some(AGAIN) });
    }

    #[tokio::test]
    async fn trouble_is_told_at_a_bounded_rate_and_a_stop_for_ever() {
        let inbox = Inbox::default();
        inbox.trouble(Error::retry("a", "a"));
        assert_eq!(inbox.next(1).await.unwrap_err().code(), "a");
        inbox.trouble(Error::retry("a", "again, too soon"));
        inbox.trouble(Error::stop("b", "b"));
        inbox.trouble(Error::retry("c", "c"));
        for _ in 0..3 {
            assert_eq!(inbox.next(1).await.unwrap_err().code(), "b");
        }
    }
}
