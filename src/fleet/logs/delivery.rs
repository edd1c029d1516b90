//! Records on their way to a log service: bounded, in order, as soon as may be.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::{StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::Entry;

/// What may be on its way. What comes beyond is dropped: functions do not wait for a service that is down.
const LARGEST: usize = 16 * 1024 * 1024;
/// The same in records.
const MOST: usize = 20_000;
/// How long a record waits for others to go with it.
const LINGER: Duration = Duration::from_millis(200);
/// Streams that are written to at once.
const STREAMS: usize = 8;
/// Between two attempts: at first, and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));
/// Attempts before a batch is given up.
const ATTEMPTS: u32 = 20;

/// The entry of a delivery.
#[derive(Debug)]
pub struct Delivery {
    entries: mpsc::Sender<Offered>,
    room: Arc<Semaphore>,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Offered {
    entry: Arc<Entry>,
    /// Given up when it is delivered.
    _room: OwnedSemaphorePermit,
}

/// Why a batch was not taken.
#[derive(Debug)]
pub enum Failure {
    /// It may be, later.
    Again(String),
    /// It never will be.
    Never(String),
}

/// Where records go.
pub trait Service: Send + Sync + 'static {
    /// How many of the records one call takes, from the first on; at least one.
    fn fitting(&self, entries: &[Arc<Entry>]) -> usize;

    /// Writes records of one stream that fit, the oldest first: all or none.
    fn put(&self, batch: &[Arc<Entry>]) -> impl Future<Output = Result<(), Failure>> + Send;
}

impl Delivery {
    /// Begins delivering.
    pub fn to(service: impl Service) -> Self {
        let (entries, taken) = mpsc::channel(MOST);
        tokio::spawn(deliver(service, taken));
        Self { entries, room: Arc::new(Semaphore::new(LARGEST)), dropped: AtomicU64::new(0) }
    }

    /// Takes a record, or drops it where there is no room.
    pub(super) fn offer(&self, entry: &Arc<Entry>) {
        let size = u32::try_from(entry.cost()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(size);
        let offered =
            room.map(|room| self.entries.try_send(Offered { entry: Arc::clone(entry), _room: room }));
        if matches!(offered, Ok(Ok(()))) {
            return;
        }
        let dropped = self.dropped.fetch_add(1, Relaxed) + 1;
        if dropped.is_power_of_two() {
            tracing::warn!(dropped, "log records are dropped: the log service takes them too slowly");
        }
    }

    /// Waits until nothing is on its way.
    pub(super) async fn idle(&self) {
        let all = u32::try_from(LARGEST).expect("a few megabytes");
        let _ = self.room.acquire_many(all).await;
    }
}

async fn deliver(service: impl Service, mut taken: mpsc::Receiver<Offered>) {
    let (mut offered, mut lost) = (Vec::new(), Lost::default());
    while taken.recv_many(&mut offered, MOST).await > 0 {
        tokio::time::sleep(LINGER).await;
        // What came meanwhile.
        while let Ok(more) = taken.try_recv() {
            offered.push(more);
        }
        let mut streams: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for Offered { entry, _room } in offered.drain(..) {
            let key = (entry.group.clone(), entry.stream.clone());
            streams.entry(key).or_default().push((entry, _room));
        }
        let service = &service;
        let mut puts = stream::iter(streams.into_values())
            .map(|entries| async move {
                let (mut entries, _rooms): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
                // Stable: what has one time keeps its order. Services want them so.
                entries.sort_by_key(|entry| entry.at);
                put_all(service, &entries).await
            })
            .buffer_unordered(STREAMS);
        while let Some(put) = puts.next().await {
            if let Err((records, why)) = put {
                lost.add(records, &why);
            }
        }
    }
}

/// Batch after batch: what was taken is not sent again. How many were lost, and why the last of them, if any were.
async fn put_all(service: &impl Service, entries: &[Arc<Entry>]) -> Result<(), (usize, String)> {
    let (mut rest, mut lost, mut result) = (entries, 0, Ok(()));
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(service.fitting(rest));
        match put(service, batch).await {
            Ok(()) => {}
            Err(Failure::Never(why)) => {
                lost += batch.len();
                result = Err((lost, why));
            }
            // It is down: the others would wait as long, and as vainly.
            Err(Failure::Again(why)) => return Err((lost + rest.len(), why)),
        }
        rest = after;
    }
    result
}

/// Tries until a batch is taken, or will not be; why not, then.
async fn put(service: &impl Service, batch: &[Arc<Entry>]) -> Result<(), Failure> {
    let (mut pause, mut attempt) = (BACK_OFF.0, 1);
    loop {
        let why = match service.put(batch).await {
            Err(Failure::Again(why)) if attempt < ATTEMPTS => why,
            over => return over,
        };
        tracing::debug!(why, "the log service is tried again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(BACK_OFF.1);
        attempt += 1;
    }
}

/// Records that were not delivered: told each time they have doubled, for there may be thousands.
#[derive(Debug, Default)]
struct Lost {
    all: usize,
    told: usize,
}

impl Lost {
    fn add(&mut self, records: usize, why: &str) {
        self.all += records;
        if self.all >= 2 * self.told {
            self.told = self.all;
            tracing::warn!(lost = self.all, why, "log records are lost: the log service does not take them");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{ops::Range, sync::Mutex};

    use super::{super::Writer, *};

    /// Takes two at a time. Fails during some calls, and never takes what is refused; keeps what it was given.
    #[derive(Default, Clone)]
    struct Kept {
        taken: Arc<Mutex<Vec<(String, String)>>>,
        down: Range<u64>,
        calls: Arc<AtomicU64>,
    }

    impl Kept {
        fn down(calls: Range<u64>) -> Self {
            Self { down: calls, ..Self::default() }
        }
    }

    impl Service for Kept {
        fn fitting(&self, entries: &[Arc<Entry>]) -> usize {
            entries.len().min(2)
        }

        async fn put(&self, batch: &[Arc<Entry>]) -> Result<(), Failure> {
            if self.down.contains(&self.calls.fetch_add(1, Relaxed)) {
                return Err(Failure::Again("down".to_owned()));
            }
            if batch.iter().any(|entry| entry.text == "refused") {
                return Err(Failure::Never("refused".to_owned()));
            }
            let taken = batch.iter().map(|entry| (entry.stream.to_string(), entry.text.clone()));
            self.taken.lock().unwrap().extend(taken);
            Ok(())
        }
    }

    fn entry(stream: &str, second: i64, text: &str) -> Arc<Entry> {
        Arc::new(Entry {
            at: jiff::Timestamp::from_second(second).unwrap(),
            group: "g".into(),
            stream: stream.into(),
            source: Writer::Function,
            text: text.to_owned(),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn records_come_in_order_through_failures() {
        let kept = Kept::down(0..3);
        let delivery = Delivery::to(kept.clone());
        for (stream, second, text) in [("a", 2, "2"), ("b", 1, "1"), ("a", 2, "2 too"), ("a", 1, "1")] {
            delivery.offer(&entry(stream, second, text));
        }
        delivery.idle().await;
        let taken = kept.taken.lock().unwrap().clone();
        let of = |stream: &str| -> Vec<_> {
            taken.iter().filter(|(of, _)| of == stream).map(|(_, text)| text.as_str()).collect()
        };
        assert_eq!((of("a"), of("b")), (vec!["1", "2", "2 too"], vec!["1"]));
    }

    #[tokio::test(start_paused = true)]
    async fn each_batch_is_taken_once_or_lost_by_itself() {
        let entries = ["1", "2", "3", "refused", "5", "6", "7"].map(|text| entry("a", 1, text));
        // Down after the first batch.
        let kept = Kept::down(1..3);
        assert_eq!(put_all(&kept, &entries).await, Err((2, "refused".to_owned())));
        let taken: Vec<_> = kept.taken.lock().unwrap().iter().map(|(_, text)| text.clone()).collect();
        assert_eq!(taken, ["1", "2", "5", "6", "7"]);
        let kept = Kept::down(1..u64::MAX);
        assert_eq!(put_all(&kept, &entries).await, Err((5, "down".to_owned())));
    }

    #[tokio::test(start_paused = true)]
    async fn what_there_is_no_room_for_is_dropped() {
        let kept = Kept::down(0..3);
        let delivery = Delivery::to(kept.clone());
        let long = "x".repeat(1024 * 1024);
        for _ in 0..40 {
            delivery.offer(&entry("a", 1, &long));
        }
        assert!(delivery.dropped.load(Relaxed) >= 25);
        delivery.idle().await;
        assert_eq!(kept.taken.lock().unwrap().len() as u64, 40 - delivery.dropped.load(Relaxed));
    }
}
