//! The one who writes: a thread of its own, since it waits for the disk. Whatever has come meanwhile shares its next sync.

use std::{
    io,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    error::Error,
    event::Stored,
    log::{Body, Key, Log, Op},
};

/// Writes that wait for their turn, and bytes of them.
const WAITING: usize = 1024;
const WAITING_KB: usize = 32 << 10;
/// Of one commit.
const BATCH_BYTES: u64 = 8 << 20;
/// After an error of its disk, compaction rests for so long.
const REST: Duration = Duration::from_secs(5);

/// A handle on the writer. When the last one is dropped, the thread ends.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
}

#[derive(Debug)]
struct Job {
    /// Without one, the writer ends.
    op: Option<Op>,
    /// Says so once it is safe; before that, a new event is shown to the schedule.
    answer: oneshot::Sender<Result<Key, Error>>,
}

/// Told of new events, on the writer's thread: it must not wait for anything.
pub(super) type Added = Box<dyn Fn(Key, &super::log::Label) + Send>;

impl Writer {
    /// Takes the log; `added` is told of every new event.
    pub fn start(log: Log, directory: &Path, added: Added) -> Result<Self, Error> {
        let (jobs, queue) = mpsc::channel(WAITING);
        let thread = thread::Builder::new().name("klr-queue".to_owned());
        let failed = |error: io::Error| Error::disk(directory, &error);
        thread.spawn(move || write(log, queue, &added)).map_err(failed)?;
        Ok(Self { jobs, room: Arc::new(Semaphore::new(WAITING_KB)) })
    }

    /// A new event. `Ok`: it is safe.
    pub async fn put(&self, stored: &Stored) -> Result<Key, Error> {
        self.write(Op::Put(Body::of(stored))).await
    }

    /// An event has come further.
    pub async fn replace(&self, key: Key, stored: &Stored) -> Result<(), Error> {
        self.write(Op::Replace(key, Body::of(stored))).await.map(drop)
    }

    /// An event is settled.
    pub async fn done(&self, key: Key) -> Result<(), Error> {
        self.write(Op::Done(key)).await.map(drop)
    }

    /// What was sent is written, and the directory is free for another.
    pub async fn close(&self) {
        let (answer, answered) = oneshot::channel();
        if self.jobs.send(Job { op: None, answer }).await.is_ok() {
            let _ = answered.await;
        }
    }

    async fn write(&self, op: Op) -> Result<Key, Error> {
        let kilobytes = match &op {
            Op::Put(body) | Op::Replace(_, body) => body.size().div_ceil(1024).min(WAITING_KB as u64),
            Op::Done(_) => 0,
        };
        let kilobytes = u32::try_from(kilobytes).expect("no more than there are");
        let _room = self.room.acquire_many(kilobytes).await.map_err(|_| Error::Closed)?;
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job { op: Some(op), answer }).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }
}

fn write(mut log: Log, mut queue: mpsc::Receiver<Job>, added: &Added) {
    let mut last = 0;
    let mut sync = Duration::ZERO;
    let mut resting = None;
    while let Some(first) = queue.blocking_recv() {
        let jobs = gather(first, &mut queue, last, sync);
        last = jobs.len();
        let began = Instant::now();
        let end = commit(&mut log, jobs, added);
        if let Some(end) = end {
            drop(log);
            let _ = end.send(Err(Error::Closed));
            return;
        }
        sync = began.elapsed();
        compact(&mut log, &queue, &mut resting);
    }
}

/// What is there, and what those bring who were answered a moment ago: without waiting for them every other sync would be
/// for the one or two that were quickest. As many as last time, or a tenth of what a sync takes.
fn gather(first: Job, queue: &mut mpsc::Receiver<Job>, last: usize, sync: Duration) -> Vec<Job> {
    let mut bytes = size(&first);
    let mut jobs = vec![first];
    let until = Instant::now() + sync / 10;
    while bytes < BATCH_BYTES && jobs.len() < WAITING {
        match queue.try_recv() {
            Ok(job) => {
                bytes += size(&job);
                jobs.push(job);
            }
            Err(_) if jobs.len() >= last || Instant::now() >= until => break,
            Err(_) => thread::yield_now(),
        }
    }
    jobs
}

fn size(job: &Job) -> u64 {
    match &job.op {
        Some(Op::Put(body) | Op::Replace(_, body)) => body.size(),
        Some(Op::Done(_)) | None => 0,
    }
}

/// Writes and answers. Whoever wants the writer to end is answered after that.
fn commit(log: &mut Log, jobs: Vec<Job>, added: &Added) -> Option<oneshot::Sender<Result<Key, Error>>> {
    let mut end = None;
    let (mut ops, mut askers) = (Vec::with_capacity(jobs.len()), Vec::with_capacity(jobs.len()));
    for Job { op, answer } in jobs {
        let Some(op) = op else {
            end = Some(answer);
            continue;
        };
        let label = match &op {
            Op::Put(body) => Some(body.label.clone()),
            _ => None,
        };
        ops.push(op);
        askers.push((label, answer));
    }
    for ((label, asker), answer) in askers.into_iter().zip(log.commit(ops)) {
        if let (Some(label), Ok(key)) = (label, &answer) {
            added(*key, &label);
        }
        // Who does not wait any more has an event that was accepted all the same.
        let _ = asker.send(answer);
    }
    end
}

/// One step beside each commit; as many as there are while nobody waits.
fn compact(log: &mut Log, queue: &mpsc::Receiver<Job>, resting: &mut Option<Instant>) {
    if resting.is_some_and(|until| Instant::now() < until) {
        return;
    }
    *resting = None;
    loop {
        match log.compact() {
            Ok(true) if queue.is_empty() => {}
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(code = error.code(), "the queue's log cannot be compacted: {error}");
                *resting = Some(Instant::now() + REST);
                return;
            }
        }
    }
}
