//! Lines that have begun and not ended.
//!
//! On Lambda one is given out as it is when the invocation ends; what it is continued with later is a record of its own. So
//! while its reader waits for more of it, a line lies where the invocation's end finds it.

use std::{
    future::poll_fn,
    io, mem,
    pin::pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    time::timeout,
};

/// How long a line waits for its end that is read when the invocation is over: its reader was late, and most lines are whole.
const LATE: Duration = Duration::from_millis(20);

/// Those of a process that takes one invocation at a time, by the pipe they are from.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    lines: Mutex<Vec<Vec<u8>>>,
    /// The last invocation has ended, and no other has begun.
    over: AtomicBool,
}

impl Unfinished {
    /// Another pipe.
    pub(super) fn pipe(&self) -> Pipe<'_> {
        let mut lines = self.lock();
        lines.push(Vec::new());
        Pipe { place: Some((self, lines.len() - 1)), given: false }
    }

    /// An invocation begins.
    pub(super) fn begin(&self) {
        self.over.store(false, Relaxed);
    }

    /// It ends: what there is. (An empty vector takes no memory, and is what there is nearly always.)
    pub(super) fn end(&self) -> Vec<Vec<u8>> {
        self.over.store(true, Relaxed);
        self.lock().iter_mut().filter(|line| !line.is_empty()).map(mem::take).collect()
    }

    fn swap(&self, pipe: usize, line: &mut Vec<u8>) {
        mem::swap(&mut self.lock()[pipe], line);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        // Nothing here is left half done.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the line of one pipe lies.
#[derive(Debug)]
pub(super) struct Pipe<'a> {
    /// None: lines only end where their writer ends them.
    place: Option<(&'a Unfinished, usize)>,
    /// The line's beginning is given out.
    given: bool,
}

impl Pipe<'_> {
    /// One whose lines no invocation ends.
    pub(super) fn apart() -> Self {
        Self { place: None, given: false }
    }

    /// Waits for more of a line, which may be given out meanwhile. False where it is to be given out as it is.
    pub(super) async fn wait(
        &mut self,
        reader: &mut BufReader<impl AsyncRead + Unpin>,
        line: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let Some((all, pipe)) = self.place else { return Ok(true) };
        let mut more = pin!(reader.fill_buf());
        // What has been written is no reason to wait: most lines are whole.
        if let Poll::Ready(more) = poll_fn(|cx| Poll::Ready(more.as_mut().poll(cx))).await {
            self.given = false;
            return more.map(|_| true);
        }
        all.swap(pipe, line);
        let waited = if all.over.load(Relaxed) { timeout(LATE, more).await } else { Ok(more.await) };
        all.swap(pipe, line);
        self.given = line.is_empty() || waited.is_err();
        match waited {
            Ok(more) => more.map(|_| true),
            Err(_) => Ok(line.is_empty()),
        }
    }

    /// Whether what comes next, which begins so, is no more than the end of what was given out.
    pub(super) fn ends(&mut self, next: &[u8]) -> bool {
        mem::take(&mut self.given) && next.first() == Some(&b'\n')
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, sync::mpsc};

    use super::*;
    use crate::{
        Logs, Record, Source,
        logs::{Stream, Tail, Writer, read},
    };

    /// The log of a pipe that `written` is written to, and its records.
    fn log() -> (Stream, tokio::io::DuplexStream, mpsc::Receiver<Record>) {
        let (sender, records) = mpsc::channel(10);
        let writer = Writer::new(&Logs::Records(sender), None, |_| None);
        let stream = Stream::new("s", writer, Tail::default());
        let (written, pipe) = tokio::io::duplex(1024);
        tokio::spawn(read::lines(pipe, Source::Function, stream.clone()));
        (stream, written, records)
    }

    fn all(records: &mut mpsc::Receiver<Record>) -> Vec<String> {
        let records = std::iter::from_fn(|| records.try_recv().ok());
        records.map(|record| String::from_utf8(record.text.to_vec()).unwrap()).collect()
    }

    #[tokio::test]
    async fn the_end_of_an_invocation_ends_its_lines() {
        let (stream, mut pipe, mut records) = log();
        for (written, read) in [
            ("one\ntwo", &["one", "two"][..]),
            ("\nthree\n", &["three"]),
            ("four", &["four"]),
            ("teen\n\n", &["teen", ""]),
        ] {
            stream.begin(false);
            pipe.write_all(written.as_bytes()).await.unwrap();
            tokio::time::sleep(LATE).await;
            stream.end();
            assert_eq!(all(&mut records), read);
        }
    }

    #[tokio::test]
    async fn what_is_read_late_is_given_out_soon() {
        let (stream, mut pipe, mut records) = log();
        stream.end();
        for (written, read) in [("late", "late"), ("\nlater", "later"), ("\nwhole\n", "whole")] {
            pipe.write_all(written.as_bytes()).await.unwrap();
            let record = records.recv().await.unwrap();
            assert_eq!(record.text, read);
        }
        assert!(all(&mut records).is_empty());
    }
}
