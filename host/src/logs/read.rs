//! What processes write: read from their pipes record by record.

use bytes::Bytes;
use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

use super::{Source, Stream, frame, unfinished::Pipe};

/// What a line is cut at, so that a function that never ends one cannot fill our memory. Lambda's limit too.
const LONGEST_LINE: usize = 256 * 1024;

/// Reads lines to the end. Only a newline ends one: clients write a carriage return for each newline within a record.
pub(crate) async fn lines(pipe: impl AsyncRead + Unpin, source: Source, log: Stream) {
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    // What an extension writes is no invocation's.
    let mut pipe = if source == Source::Function { log.0.unfinished.pipe() } else { Pipe::apart() };
    while let Ok(true) = read_line(&mut reader, &mut line, &mut pipe).await {
        log.write(source, Timestamp::now(), None, Bytes::copy_from_slice(&line)).await;
        line.clear();
    }
}

/// Reads frames to the end.
pub(crate) async fn frames(pipe: impl AsyncRead + Unpin, log: Stream) {
    let mut reader = BufReader::new(pipe);
    loop {
        match frame::read(&mut reader).await {
            Ok(Some(frame)) => {
                // Lines that were written before it may lie in their pipes: whoever reads those goes first.
                tokio::task::yield_now().await;
                log.write(Source::Function, frame.at, frame.level, frame.record).await;
            }
            Ok(None) => return,
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                tracing::warn!(%error, "_LAMBDA_TELEMETRY_LOG_FD: what follows is lost");
                // Still read: the function would block on a full pipe.
                let mut sink = [0; 4096];
                while matches!(reader.read(&mut sink).await, Ok(1..)) {}
                return;
            }
            Err(_) => return,
        }
    }
}

/// Reads one line, or as much of it as is to be given out, and leaves its newline. False at the end.
async fn read_line(
    reader: &mut BufReader<impl AsyncRead + Unpin>,
    line: &mut Vec<u8>,
    pipe: &mut Pipe<'_>,
) -> std::io::Result<bool> {
    loop {
        if !line.is_empty() && reader.buffer().is_empty() && !pipe.wait(reader, line).await? {
            return Ok(true);
        }
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(!line.is_empty());
        }
        if pipe.ends(chunk) {
            reader.consume(1);
            continue;
        }
        let room = LONGEST_LINE - line.len();
        if room == 0 {
            return Ok(true);
        }
        let wanted = &chunk[..chunk.len().min(room)];
        let end = wanted.iter().position(|&b| b == b'\n');
        line.extend_from_slice(&wanted[..end.unwrap_or(wanted.len())]);
        let used = end.map_or(wanted.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_cut_and_the_last_need_not_be_ended() {
        let text = [&b"one\n\n"[..], &vec![b'x'; LONGEST_LINE + 1], b"\ntwo\rthree"].concat();
        let mut reader = BufReader::new(&text[..]);
        let mut lengths = Vec::new();
        let mut line = Vec::new();
        while read_line(&mut reader, &mut line, &mut Pipe::apart()).await.unwrap() {
            assert!(!line.contains(&b'\n'));
            lengths.push(line.len());
            line.clear();
        }
        assert_eq!(lengths, [3, 0, LONGEST_LINE, 1, 9]);
    }
}
