//! What functions write, and what is said of them: kept for a while, followed by `klr logs`, delivered to CloudWatch Logs.
//!
//! One event a record, as on Lambda: a traceback is one. Each function has its last records in memory and, across restarts, in
//! a file; both are bounded, and the oldest go first.

#[cfg(feature = "cloudwatch-logs")]
mod cloudwatch;
mod delivery;
mod file;
mod log;
mod serve;

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use klr_host::{Record, Source};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

#[cfg(feature = "cloudwatch-logs")]
pub use self::cloudwatch::cloudwatch;
pub use self::{
    delivery::{Delivery, Failure, Service},
    log::Log,
    serve::router,
};
use super::spec::Spec;

/// Records that are taken over at once.
const AT_ONCE: usize = 256;
/// What all files together may take; it is looked at when they are opened.
const LARGEST: u64 = 256 * 1024 * 1024;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was written.
    pub at: Timestamp,
    /// The log group.
    pub group: String,
    /// The log stream: one an execution environment.
    pub stream: String,
    /// Who wrote it.
    pub source: Writer,
    /// Without a newline at its end.
    pub text: String,
}

/// Who writes to a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Writer {
    /// `START`, `END`, `REPORT` and their kin.
    Platform,
    /// The function.
    Function,
    /// An extension of it.
    Extension,
}

impl Entry {
    fn new(record: &Record, group: &str) -> Self {
        Self {
            at: Timestamp::try_from(record.at).unwrap_or_default(),
            group: group.to_owned(),
            stream: record.stream.to_string(),
            source: match record.source {
                Source::Platform => Writer::Platform,
                Source::Function => Writer::Function,
                Source::Extension => Writer::Extension,
            },
            text: String::from_utf8_lossy(&record.text).into_owned(),
        }
    }

    /// What it takes in memory, about.
    fn cost(&self) -> usize {
        self.text.len() + self.group.len() + self.stream.len() + size_of::<Self>()
    }
}

/// The logs of all functions.
pub struct Logs {
    directory: PathBuf,
    all: Mutex<HashMap<String, Arc<Log>>>,
    collecting: TaskTracker,
    delivery: Option<Delivery>,
}

impl Logs {
    /// Keeps them in `logs` below the directory, and hands them to `delivery` as well.
    pub fn open(directory: &Path, delivery: Option<Delivery>) -> io::Result<Arc<Self>> {
        let directory = directory.join("logs");
        std::fs::create_dir_all(&directory)?;
        file::prune(&directory, LARGEST)?;
        Ok(Arc::new(Self { directory, all: Mutex::default(), collecting: TaskTracker::new(), delivery }))
    }

    /// A function's, whether it has written yet or not.
    pub async fn of(&self, function: &str) -> Arc<Log> {
        let known = self.all.lock().unwrap_or_else(PoisonError::into_inner).get(function).cloned();
        if let Some(known) = known {
            return known;
        }
        let opened = Log::open(self.directory.join(format!("{function}.ndjson"))).await;
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have been faster.
        Arc::clone(all.entry(function.to_owned()).or_insert_with(|| Arc::new(opened)))
    }

    /// Takes over what a version's processes write, until they are gone.
    pub(super) fn collect(self: &Arc<Self>, spec: Arc<Spec>, records: mpsc::Receiver<Record>) {
        let logs = Arc::clone(self);
        self.collecting.spawn(async move { logs.take(&spec, records).await });
    }

    async fn take(&self, spec: &Spec, mut records: mpsc::Receiver<Record>) {
        let log = self.of(&spec.function).await;
        let mut taken = Vec::with_capacity(AT_ONCE);
        while records.recv_many(&mut taken, AT_ONCE).await > 0 {
            let entries = taken.drain(..).map(|record| Arc::new(Entry::new(&record, &spec.logging.group)));
            let entries: Vec<_> = entries.collect();
            if let Some(delivery) = &self.delivery {
                entries.iter().for_each(|entry| delivery.offer(entry));
            }
            log.append(&entries).await;
        }
    }

    /// What is in memory of logs nobody reads or writes goes; the files stay, as log groups stay on AWS.
    pub(super) fn forget_unused(&self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, log| Arc::strong_count(log) > 1);
    }

    /// Waits until what was written is kept and delivered, for at most `within`; nothing runs any more.
    pub async fn flush(&self, within: Duration) {
        self.collecting.close();
        let flushed = async {
            // A process that could not be ended costs only what it wrote itself.
            let _ = tokio::time::timeout(within / 2, self.collecting.wait()).await;
            if let Some(delivery) = &self.delivery {
                delivery.idle().await;
            }
        };
        let _ = tokio::time::timeout(within, flushed).await;
    }
}
