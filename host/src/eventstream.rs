//! `application/vnd.amazon.eventstream`: how AWS sends a reply in parts.
//!
//! A message is its length, its headers' length, a CRC-32 of the two, the headers, the payload, and a CRC-32 of it all.

use bytes::{BufMut, Bytes, BytesMut};

/// What stands around headers and payload: two lengths and two sums.
const AROUND: usize = 16;
/// The header value type of a string.
const STRING: u8 = 7;

/// An event called `name`, with a payload of this content type.
pub(crate) fn event(name: &str, content_type: &str, payload: &[u8]) -> Bytes {
    let headers = [(":message-type", "event"), (":event-type", name), (":content-type", content_type)];
    let headers_length: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    let length = AROUND + headers_length + payload.len();
    let mut message = BytesMut::with_capacity(length);
    message.put_u32(length_of(length));
    message.put_u32(length_of(headers_length));
    message.put_u32(crc32fast::hash(&message));
    for (name, value) in headers {
        message.put_u8(u8::try_from(name.len()).expect("the names are ours, and short"));
        message.put_slice(name.as_bytes());
        message.put_u8(STRING);
        message.put_u16(u16::try_from(value.len()).expect("the values are ours, and short"));
        message.put_slice(value.as_bytes());
    }
    message.put_slice(payload);
    message.put_u32(crc32fast::hash(&message));
    message.freeze()
}

fn length_of(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a part of a reply is far smaller than 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with botocore's own decoder in mind: the bytes of a known message.
    #[test]
    fn a_message_has_its_lengths_its_sums_and_its_headers() {
        let bytes = event("PayloadChunk", "application/octet-stream", b"hi");
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!(word(0) as usize, bytes.len());
        assert_eq!(word(8), crc32fast::hash(&bytes[..8]));
        assert_eq!(word(bytes.len() - 4), crc32fast::hash(&bytes[..bytes.len() - 4]));
        let headers = &bytes[12..12 + word(4) as usize];
        assert!(
            headers.starts_with(b"\x0d:message-type\x07\x00\x05event\x0b:event-type\x07\x00\x0cPayloadChunk")
        );
        assert_eq!(&bytes[12 + headers.len()..bytes.len() - 4], b"hi");
    }
}
