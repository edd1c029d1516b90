//! The function's output: passed on line by line, its end kept for callers who ask for it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

use crate::Logs;

/// What a line is cut at, so that a function that never ends one cannot fill our memory. Lambda's limit too.
const LONGEST_LINE: usize = 256 * 1024;
/// What the Invoke API gives of a log.
const TAIL: usize = 4096;

/// The last 4 KB of what a function wrote.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<u8>>>);

impl Tail {
    pub(crate) fn push(&self, line: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = &line[line.len().saturating_sub(TAIL)..];
        let over = (kept.len() + line.len()).saturating_sub(TAIL);
        kept.drain(..over);
        kept.extend(line);
    }

    /// Takes what is there, leaving nothing.
    pub(crate) fn take(&self) -> Vec<u8> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.drain(..).collect()
    }
}

/// Which of the two streams is read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream {
    Output,
    Error,
}

/// Reads a stream of the function's to its end.
pub(crate) async fn pass_on(source: impl AsyncRead + Unpin, stream: Stream, logs: Logs, tail: Tail) {
    let mut reader = BufReader::new(source);
    let mut out: Box<dyn AsyncWrite + Send + Unpin> = match (&logs, stream) {
        (Logs::Quiet | Logs::Traced(_), _) => Box::new(tokio::io::sink()),
        (Logs::Inherit, Stream::Output) => Box::new(tokio::io::stdout()),
        (Logs::Inherit, Stream::Error) => Box::new(tokio::io::stderr()),
    };
    let mut line = Vec::new();
    while let Ok(true) = read_line(&mut reader, &mut line).await {
        tail.push(&line);
        if let Logs::Traced(function) = &logs {
            tracing::info!(function, "{}", String::from_utf8_lossy(line.trim_ascii_end()));
        }
        // Our own output being gone is no reason to stop reading: the function would block on a full pipe.
        if out.write_all(&line).await.is_ok() {
            let _ = out.flush().await;
        }
        line.clear();
    }
}

/// Appends one line, newline included; a last line without one gets it. False at the end.
async fn read_line(reader: &mut (impl AsyncBufReadExt + Unpin), line: &mut Vec<u8>) -> std::io::Result<bool> {
    let start = line.len();
    loop {
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() {
            let some = line.len() > start;
            if some {
                line.push(b'\n');
            }
            return Ok(some);
        }
        let room = LONGEST_LINE - (line.len() - start);
        let wanted = &chunk[..chunk.len().min(room)];
        let end = wanted.iter().position(|&b| b == b'\n').map(|at| at + 1);
        let used = end.unwrap_or(wanted.len());
        line.extend_from_slice(&wanted[..used]);
        reader.consume(used);
        if end.is_some() {
            return Ok(true);
        }
        if line.len() - start == LONGEST_LINE {
            line.push(b'\n');
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_last_four_kilobytes() {
        let tail = Tail::default();
        tail.push(&[b'a'; 4000]);
        tail.push(&[b'b'; 200]);
        let kept = tail.take();
        assert_eq!(kept.len(), TAIL);
        assert_eq!(&kept[TAIL - 200..], &[b'b'; 200]);
        tail.push(&[b'c'; 5000]);
        assert_eq!(tail.take(), vec![b'c'; TAIL]);
        assert!(tail.take().is_empty());
    }

    #[tokio::test]
    async fn lines_are_cut_and_the_last_is_ended() {
        let text = [&b"one\n"[..], &vec![b'x'; LONGEST_LINE + 1], b"\ntwo"].concat();
        let mut reader = BufReader::new(&text[..]);
        let mut lengths = Vec::new();
        let mut line = Vec::new();
        while read_line(&mut reader, &mut line).await.unwrap() {
            assert_eq!(line.last(), Some(&b'\n'));
            lengths.push(line.len());
            line.clear();
        }
        assert_eq!(lengths, [4, LONGEST_LINE + 1, 2, 4]);
    }
}
