//! The queue as others see it: events go in, and what becomes of them can be looked at.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::{sync::Notify, task::spawn_blocking};

use super::{
    error::Error,
    event::{Event, Stage, Stored},
    held::Held,
    log::{Key, Label, Limits, Log, Reader},
    metrics::Metrics,
    next::Delays,
    schedule::{Schedule, Widths},
    writer::Writer,
};

/// AWS: the largest payload of an asynchronous invocation.
pub const LARGEST: usize = 1 << 20;

/// How the queue is built.
#[derive(Clone)]
pub struct Options {
    /// How long is waited.
    pub delays: Delays,
    /// Bytes of one file of the log.
    pub segment: u64,
    /// Events it holds, at most.
    pub events: u64,
    /// Bytes of events it holds, at most. On disk there may be twice as many.
    pub bytes: u64,
    /// Events of one function that are attended to at a time.
    pub per_function: usize,
    /// Events of all functions that are.
    pub at_once: usize,
    /// Bytes of events that are held in memory for that.
    pub held: usize,
    /// Events that failed for good and went nowhere, kept to be looked at.
    pub kept: usize,
    /// What time it is.
    pub clock: Clock,
}

/// How much a queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Events that are not settled.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of its log.
    pub disk: u64,
}

/// What time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

impl Default for Options {
    fn default() -> Self {
        Self {
            delays: Delays::default(),
            segment: 64 << 20,
            events: 2_000_000,
            bytes: 8 << 30,
            per_function: 100,
            at_once: 1000,
            held: 64 << 20,
            kept: 10_000,
            clock: Arc::new(Timestamp::now),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("events", &self.events)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// The asynchronous queue of a process. [`Queue::run`] gives its events to their functions; without it they wait.
#[derive(Debug)]
pub struct Queue {
    pub(super) writer: Writer,
    pub(super) reader: Reader,
    pub(super) agenda: Arc<Agenda>,
    pub(super) options: Options,
    pub(super) held: Held,
    pub(super) metrics: Metrics,
}

/// The schedule, and a bell for the one who follows it.
#[derive(Debug)]
pub(super) struct Agenda {
    schedule: Mutex<Schedule>,
    pub bell: Notify,
}

impl Agenda {
    pub fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, key: Key, label: &Label) {
        self.schedule().add(key, label);
        self.bell.notify_one();
    }
}

impl Queue {
    /// Opens the queue of a directory, which is made if missing, and takes it for this process. It accepts at once.
    pub async fn open(directory: &Path, options: Options, metrics: Metrics) -> Result<Arc<Self>, Error> {
        let Options { segment, events, bytes, delays, .. } = options;
        let limits = Limits { segment, events, bytes };
        let widths = Widths { lane: options.per_function, all: options.at_once, shelf: options.kept };
        let path = directory.to_owned();
        let opened = spawn_blocking(move || {
            let (log, left) = Log::open(&path, limits)?;
            let mut schedule = Schedule::new(widths, delays);
            left.oldest_first().for_each(|(key, label)| schedule.add(key, label));
            drop(left);
            let reader = log.reader();
            let agenda = Arc::new(Agenda { schedule: Mutex::new(schedule), bell: Notify::new() });
            let told = Arc::clone(&agenda);
            let writer = Writer::start(log, &path, Box::new(move |key, label| told.add(key, label)))?;
            Ok((reader, agenda, writer))
        });
        // A panic there is one here.
        let (reader, agenda, writer) = opened.await.map_err(|_| Error::Closed)??;
        let held = Held::new(options.held);
        Ok(Arc::new(Self { writer, reader, agenda, options, held, metrics }))
    }

    /// Takes an event. `Ok`: it is on disk, and its function will get it, or its destination hear of it.
    pub async fn accept(&self, event: Event) -> Result<(), Error> {
        if event.payload.len() > LARGEST {
            return Err(Error::TooLarge { size: event.payload.len(), limit: LARGEST });
        }
        let event = Event { accepted: self.now(), ..event };
        let stored = Stored { event, stage: Stage::default() };
        self.writer.put(&stored).await?;
        self.metrics.received(&stored.event.target);
        Ok(())
    }

    /// How much it holds.
    pub fn size(&self) -> Size {
        let live = self.reader.live();
        Size { events: live.events, bytes: live.bytes, disk: self.reader.disk() }
    }

    /// Ends the writing. What waits is there when the directory is opened again.
    pub async fn close(&self) {
        self.writer.close().await;
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.options.clock)()
    }

    /// Reads an event, off the runtime's workers.
    pub(super) async fn read(&self, key: Key) -> Result<Option<Stored>, Error> {
        let reader = self.reader.clone();
        spawn_blocking(move || reader.read(key)).await.map_err(|_| Error::Closed)?
    }

    /// An event that was taken out of the schedule is back.
    pub(super) fn again(&self, key: Key, label: &Label) {
        self.agenda.add(key, label);
    }
}
