//! The event most AWS sources have, one flat list of records, and the JSON that records are written in.

use base64_simd::STANDARD;
use bytes::{BufMut, Bytes};
use klr_contract::Record;

const OPEN: &[u8] = br#"{"Records":["#;
const CLOSE: &[u8] = b"]}";

/// Bytes of the event around its records, less the comma the first one does not need.
pub const FRAME: usize = OPEN.len() + CLOSE.len() - 1;

/// `{"Records":[…]}`: the fragments joined.
pub fn join(batch: &[Record]) -> Bytes {
    let mut event = Vec::with_capacity(FRAME + batch.iter().map(|record| record.len() + 1).sum::<usize>());
    event.put_slice(OPEN);
    for (number, json) in batch.iter().filter_map(|record| record.json.as_ref().ok()).enumerate() {
        if number > 0 {
            event.put_u8(b',');
        }
        event.put_slice(json);
    }
    event.put_slice(CLOSE);
    event.into()
}

/// A quoted JSON string. One without anything to escape, nearly all, is copied as it is.
pub fn string(text: &str, out: &mut Vec<u8>) {
    if text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        serde_json::to_writer(out.writer(), text).expect("writing to memory does not fail");
    } else {
        out.put_u8(b'"');
        out.put_slice(text.as_bytes());
        out.put_u8(b'"');
    }
}

/// Quoted standard base64, encoded in place.
pub fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.put_u8(b'"');
    STANDARD.encode_append(bytes, out);
    out.put_u8(b'"');
}

/// A hash of a key, for lanes within a shard: FNV-1a, whose low bits differ.
pub fn lane(key: &[u8]) -> u32 {
    key.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
