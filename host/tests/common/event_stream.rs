//! InvokeWithResponseStream, as a caller has it.

use klr_host::Host;
use reqwest::Response;
use serde_json::Value;

use super::{call, header};

/// Calls InvokeWithResponseStream with headers.
pub async fn ask(host: &Host, headers: &[(&str, &str)], event: &str) -> Response {
    let path = "2021-11-15/functions/function/response-streaming-invocations";
    call(host, path, headers, event.to_owned()).await
}

/// A decoder of event streams, as an SDK has one: every length and sum is checked.
#[derive(Default)]
pub struct Decoder(pub Vec<u8>);

impl Decoder {
    /// The type and the payload of a message that is whole.
    pub fn next(&mut self) -> Option<(String, Vec<u8>)> {
        let word = |at: usize| self.0.get(at..at + 4).map(|b| u32::from_be_bytes(b.try_into().unwrap()));
        let (length, headers) = (word(0)? as usize, word(4)? as usize);
        let message = self.0.get(..length)?.to_vec();
        assert_eq!(word(8), Some(crc32fast::hash(&message[..8])));
        assert_eq!(word(length - 4), Some(crc32fast::hash(&message[..length - 4])));
        self.0.drain(..length);
        let (head, payload) = message[12..length - 4].split_at(headers);
        let mut rest = head;
        let mut found = std::collections::BTreeMap::new();
        while let [size, tail @ ..] = rest {
            let (name, tail) = tail.split_at(usize::from(*size));
            assert_eq!(tail[0], 7, "a string");
            let (value, tail) = tail[3..].split_at(usize::from(u16::from_be_bytes([tail[1], tail[2]])));
            found.insert(
                String::from_utf8_lossy(name).into_owned(),
                String::from_utf8_lossy(value).into_owned(),
            );
            rest = tail;
        }
        assert_eq!(found[":message-type"], "event");
        Some((found.remove(":event-type").unwrap(), payload.to_vec()))
    }
}

/// The chunks' bytes together, and the last message.
pub async fn all(mut response: Response) -> (Vec<u8>, Value) {
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-type"), Some("application/vnd.amazon.eventstream"));
    assert_eq!(header(&response, "x-amz-executed-version"), Some("$LATEST"));
    let (mut decoder, mut payload, mut last) = (Decoder::default(), Vec::new(), None);
    while let Some(bytes) = response.chunk().await.unwrap() {
        decoder.0.extend(bytes);
        while let Some((kind, body)) = decoder.next() {
            assert!(last.is_none(), "nothing follows the last message");
            match kind.as_str() {
                "PayloadChunk" => payload.extend(body),
                "InvokeComplete" => last = Some(serde_json::from_slice(&body).unwrap()),
                other => panic!("{other}"),
            }
        }
    }
    assert!(decoder.0.is_empty());
    (payload, last.unwrap())
}
