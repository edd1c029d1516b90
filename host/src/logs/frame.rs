//! Frames: what clients that find `_LAMBDA_TELEMETRY_LOG_FD` write to it, a record at a time.
//!
//! A frame is a type, a length, the microseconds since 1970, all big-endian, and the record, its newlines as they are.

use std::io;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::telemetry::level::Level;

/// The upper half of every type.
const MAGIC: u32 = 0xA55A;
/// What a record is cut at: Lambda's limit too.
const LONGEST: usize = 256 * 1024;

/// One record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) at: Timestamp,
    pub(crate) level: Option<Level>,
    pub(crate) record: Bytes,
}

/// Reads the next frame. None at the end; an error where no frame begins, after which nothing can be told any more.
pub(crate) async fn read(source: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let mut head = [0; 16];
    // The end between two frames is none in the middle of one.
    match source.read(&mut head[..1]).await? {
        0 => return Ok(None),
        _ => source.read_exact(&mut head[1..]).await?,
    };
    let [kind, length] = [&head[..4], &head[4..8]].map(|part| part.try_into().map(u32::from_be_bytes));
    let (kind, length) = (kind.expect("four bytes"), length.expect("four bytes"));
    if kind >> 16 != MAGIC {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "expected a frame, got something else"));
    }
    let micros = u64::from_be_bytes(head[8..].try_into().expect("eight bytes"));
    let at = i64::try_from(micros).ok().and_then(|micros| Timestamp::from_microsecond(micros).ok());
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let mut record = Vec::new();
    (&mut *source).take(length.min(LONGEST) as u64).read_to_end(&mut record).await?;
    skip(source, length.saturating_sub(LONGEST)).await?;
    let end = record.trim_ascii_end().len();
    record.truncate(end);
    Ok(Some(Frame { at: at.unwrap_or_else(Timestamp::now), level: level(kind), record: record.into() }))
}

async fn skip(source: &mut (impl AsyncRead + Unpin), length: usize) -> io::Result<()> {
    tokio::io::copy(&mut source.take(length as u64), &mut tokio::io::sink()).await?;
    Ok(())
}

/// Bits two to five of the type; the last says text or JSON, the one before it that there is a timestamp.
fn level(kind: u32) -> Option<Level> {
    match kind >> 2 & 0xF {
        1 => Some(Level::Trace),
        2 => Some(Level::Debug),
        3 => Some(Level::Info),
        4 => Some(Level::Warn),
        5 => Some(Level::Error),
        6 => Some(Level::Fatal),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u32, record: &[u8]) -> Vec<u8> {
        let length = u32::try_from(record.len()).unwrap();
        [&kind.to_be_bytes()[..], &length.to_be_bytes(), &1_700_000_000_123_456_u64.to_be_bytes(), record]
            .concat()
    }

    #[tokio::test]
    async fn records_come_whole_with_their_levels() {
        let long = vec![b'x'; LONGEST + 10];
        let bytes = [
            frame(0xA55A_0003, b"one\ntwo\n"),
            frame(0xA55A_0016, b"{\"level\":\"ERROR\"}\n"),
            frame(0xA55A_000F, &long),
            frame(0xA55A_001B, b"last"),
        ]
        .concat();
        let mut source = &bytes[..];
        let mut got = Vec::new();
        while let Some(frame) = read(&mut source).await.unwrap() {
            got.push((frame.level, frame.record.len()));
            assert_eq!(frame.at.as_microsecond(), 1_700_000_000_123_456);
        }
        let expected =
            [(None, 7), (Some(Level::Error), 17), (Some(Level::Info), LONGEST), (Some(Level::Fatal), 4)];
        assert_eq!(got, expected);
    }

    #[tokio::test]
    async fn what_is_no_frame_is_refused() {
        assert!(read(&mut &b"hello, this is text"[..]).await.is_err());
        assert!(read(&mut &frame(0xA55A_0003, b"x")[..9]).await.is_err());
        assert_eq!(read(&mut &b""[..]).await.unwrap(), None);
    }
}
