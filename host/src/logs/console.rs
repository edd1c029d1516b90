//! Our standard output, shared by every environment.
//!
//! Records are collected for a moment and written together: at thousands of invocations a second, each with its lines, a
//! write for every line would cost more than the invocations do. No record is split by another.

use std::{
    io::Write,
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::sync::Notify;

/// How long a record may wait for others.
const LINGER: Duration = Duration::from_millis(10);
/// What a function may have waiting while nobody reads our output; there is as much room again for what does not wait.
const MOST: usize = 1024 * 1024;

/// A handle on the output.
#[derive(Debug, Clone)]
pub(crate) struct Console(Arc<Handle>);

/// Dropped, it lets the writer write what is left and go.
#[derive(Debug)]
struct Handle(Arc<Output>);

#[derive(Debug, Default)]
struct Output {
    pending: Mutex<Pending>,
    /// For the writer: there is something to do.
    filled: Condvar,
    /// For everybody else: the writer is done with what there was.
    written: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    text: Vec<u8>,
    writing: bool,
    /// Somebody waits for the end of what there is.
    flush: bool,
    ended: bool,
    /// Platform records there was no room for.
    dropped: u64,
}

impl Console {
    /// Our standard output, written by a thread: it may block for as long as nobody reads it.
    pub(crate) fn stdout() -> Self {
        let output = Arc::new(Output::default());
        let writer = Arc::clone(&output);
        let spawned = thread::Builder::new().name("klr-logs".to_owned()).spawn(move || writer.run());
        if let Err(error) = spawned {
            tracing::error!(%error, "cannot start the thread that writes the log: it is lost");
            output.lock().ended = true;
        }
        Self(Arc::new(Handle(output)))
    }

    /// Writes a record of the function's, waiting for room: like any program, it is held up by an output nobody reads.
    pub(crate) async fn write(&self, record: &[u8]) {
        let Handle(output) = &*self.0;
        loop {
            let written = output.written.notified();
            if output.push(record, MOST) {
                return;
            }
            written.await;
        }
    }

    /// Writes a record of the platform's, or drops it where there is no room: an invocation does not wait for its log.
    pub(crate) fn try_write(&self, record: &[u8]) {
        let Handle(output) = &*self.0;
        if !output.push(record, 2 * MOST) {
            output.lock().dropped += 1;
        }
    }

    /// Waits until everything is written.
    pub(crate) async fn flush(&self) {
        let Handle(output) = &*self.0;
        loop {
            let written = output.written.notified();
            {
                let mut pending = output.lock();
                if pending.ended || pending.text.is_empty() && !pending.writing {
                    return;
                }
                pending.flush = true;
            }
            output.filled.notify_one();
            written.await;
        }
    }
}

impl Output {
    /// Whether there was room; an end without a writer takes all and keeps nothing.
    fn push(&self, record: &[u8], most: usize) -> bool {
        let mut pending = self.lock();
        if pending.ended {
            return true;
        }
        if pending.text.len() >= most {
            return false;
        }
        let first = pending.text.is_empty();
        pending.text.extend_from_slice(record);
        pending.text.push(b'\n');
        drop(pending);
        if first {
            self.filled.notify_one();
        }
        true
    }

    fn run(&self) {
        let mut text = Vec::new();
        while self.take(&mut text) {
            // Our output being gone is no reason to stop taking: functions would block on a full pipe.
            let mut stdout = std::io::stdout().lock();
            let _ = stdout.write_all(&text).and_then(|()| stdout.flush());
            drop(stdout);
            text.clear();
            self.lock().writing = false;
            self.written.notify_waiters();
        }
    }

    /// Swaps what there is for the empty `text`. False at the end.
    fn take(&self, text: &mut Vec<u8>) -> bool {
        let mut pending = self.lock();
        while pending.text.is_empty() {
            if pending.ended {
                return false;
            }
            pending = self.filled.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        let hurried = |pending: &Pending| pending.flush || pending.ended;
        if !hurried(&pending) {
            let waited = self.filled.wait_timeout_while(pending, LINGER, |pending| !hurried(pending));
            pending = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        pending.flush = false;
        pending.writing = true;
        mem::swap(&mut pending.text, text);
        let dropped = mem::take(&mut pending.dropped);
        drop(pending);
        if dropped > 0 {
            tracing::warn!(dropped, "the log is not read fast enough: platform records were dropped");
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        // Each change of it is complete in itself.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.filled.notify_one();
    }
}
