use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{Entry, file::File};

/// What one function's records may take in memory.
const LARGEST: usize = 1024 * 1024;

/// The log of one function: its last records, each with a number.
#[derive(Debug)]
pub struct Log {
    kept: Mutex<Kept>,
    /// The number the next record gets.
    next: watch::Sender<u64>,
    file: tokio::sync::Mutex<File>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    /// The number of the first.
    first: u64,
}

impl Kept {
    fn push(&mut self, entry: Arc<Entry>) {
        self.bytes += entry.cost();
        self.entries.push_back(entry);
        while self.bytes > LARGEST {
            let Some(gone) = self.entries.pop_front() else { return };
            self.bytes -= gone.cost();
            self.first += 1;
        }
    }

    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }
}

impl Log {
    /// With what its file has.
    pub(super) async fn open(path: PathBuf) -> Self {
        let (file, entries) = File::open(path, LARGEST).await;
        let mut kept = Kept::default();
        entries.into_iter().for_each(|entry| kept.push(Arc::new(entry)));
        Self { next: watch::Sender::new(kept.end()), kept: Mutex::new(kept), file: file.into() }
    }

    /// Adds records, in this order.
    pub(super) async fn append(&self, entries: &[Arc<Entry>]) {
        // Over both, so that memory and file have one order.
        let mut file = self.file.lock().await;
        let end = {
            let mut kept = self.lock();
            entries.iter().for_each(|entry| kept.push(Arc::clone(entry)));
            kept.end()
        };
        self.next.send_replace(end);
        file.append(entries).await;
    }

    /// The records from number `from` on that are still there, and the number after the last.
    pub fn from(&self, from: u64) -> (Vec<Arc<Entry>>, u64) {
        let kept = self.lock();
        let skip = usize::try_from(from.saturating_sub(kept.first)).unwrap_or(usize::MAX);
        (kept.entries.iter().skip(skip).cloned().collect(), kept.end())
    }

    /// The number of the record that is `count` before the end.
    pub fn back(&self, count: usize) -> u64 {
        let kept = self.lock();
        kept.end().saturating_sub(count as u64).max(kept.first)
    }

    /// Waits until there is a record of that number or later.
    pub async fn reaches(&self, number: u64) {
        // The sender is ours.
        let _ = self.next.subscribe().wait_for(|next| *next > number).await;
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Each change of it is complete in itself.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Writer, *};

    fn entry(text: &str) -> Arc<Entry> {
        Arc::new(Entry {
            at: "2026-11-23T03:15:00.123456Z".parse().unwrap(),
            group: "/aws/lambda/f".into(),
            stream: "2026/11/23/[$LATEST]0".into(),
            source: Writer::Function,
            text: text.to_owned(),
        })
    }

    fn texts(log: &Log, from: u64) -> Vec<String> {
        log.from(from).0.iter().map(|entry| entry.text.clone()).collect()
    }

    #[tokio::test]
    async fn the_last_records_are_kept_across_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.ndjson");
        let log = Log::open(path.clone()).await;
        log.append(&[entry("one"), entry("two\n  lines")]).await;
        assert_eq!(texts(&log, 0), ["one", "two\n  lines"]);
        assert_eq!(log.back(1), 1);
        drop(log);
        // The process died while it wrote.
        let mut half = std::fs::read(&path).unwrap();
        half.extend_from_slice(b"{\"at\":\"2026-11-");
        std::fs::write(&path, half).unwrap();
        let log = Log::open(path).await;
        assert_eq!(texts(&log, 0), ["one", "two\n  lines"]);
        log.append(&[entry("three")]).await;
        assert_eq!(texts(&log, 2), ["three"]);
        log.reaches(2).await;
    }

    #[tokio::test]
    async fn memory_and_files_are_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let log = Log::open(directory.path().join("f.ndjson")).await;
        let long = "x".repeat(64 * 1024);
        for _ in 0..400 {
            log.append(&[entry(&long)]).await;
        }
        let (entries, end) = log.from(0);
        assert_eq!(end, 400);
        assert!(entries.len() < 20, "{}", entries.len());
        assert_eq!(log.from(end - 1).0.len(), 1);
        let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().flatten().collect();
        let size: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
        assert!(files.len() == 2 && size < 20 * 1024 * 1024, "{size}");
    }
}
