use std::borrow::Cow;

use async_trait::async_trait;
use bytes::{BufMut, Bytes};
use jiff::Timestamp;

use crate::{Error, Record};

/// An on-failure destination: where the records of what was given up go.
#[async_trait]
pub trait Destination: Send + Sync {
    /// Takes one record. `Ok` means that it has it and will not lose it: the source goes past what the record is about. What
    /// an error leaves open is sent again, so a destination may have a record twice.
    async fn put(&self, record: &FailureRecord) -> Result<(), Error>;
}

/// A record of a failed invocation, finished but for the payload: each destination takes that in its own way, or not at all.
#[derive(Debug, Clone)]
pub struct FailureRecord {
    /// The record, a JSON object, without the payload. All that SQS and SNS get.
    pub json: Bytes,
    /// The event the function was invoked with, or would have been. A record that could not be shaped has none.
    pub payload: Option<Bytes>,
    /// The request id in the record: the same failure, the same id.
    pub request_id: String,
    /// The mapping's UUID.
    pub mapping: String,
    /// What the source calls the partition, of the first of its records if there are several.
    pub shard: String,
    /// The time in the record.
    pub timestamp: Timestamp,
    /// The record's own key, where a failure record is about one record that has one (Kafka).
    pub key: Option<Bytes>,
}

impl FailureRecord {
    /// With the payload as text, `"payload":"{\"Records\":…}"`: what S3 gets.
    pub fn with_text(&self) -> Bytes {
        self.with(|payload, out| {
            serde_json::to_writer(out.writer(), &payload).expect("writing text to memory does not fail");
        })
    }

    /// With the payload as what it is, `"payload":{"Records":…}`: what a Kafka topic gets.
    pub fn with_object(&self) -> Bytes {
        self.with(|payload, out| out.put_slice(payload.as_bytes()))
    }

    fn with(&self, write: impl FnOnce(Cow<'_, str>, &mut Vec<u8>)) -> Bytes {
        let payload = self.payload.as_deref();
        let mut out = Vec::with_capacity(self.json.len() + payload.map_or(4, <[u8]>::len) + 16);
        out.put_slice(self.json.strip_suffix(b"}").unwrap_or(&self.json));
        out.put_slice(br#","payload":"#);
        match payload {
            Some(payload) => write(String::from_utf8_lossy(payload), &mut out),
            None => out.put_slice(b"null"),
        }
        out.put_u8(b'}');
        out.into()
    }
}

/// An attribute of a message: what SQS and SNS carry beside its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: &'static str,
    /// `String` or `Number`.
    pub kind: &'static str,
    /// Its value; AWS takes no empty one.
    pub value: String,
}

/// What a failure record says of the records it is about, as their source has it. Pure, like a [`Shape`](crate::Shape).
pub trait BatchInfo: Send + Sync {
    /// The member of the failure record: `KinesisBatchInfo`, `DDBStreamBatchInfo`, `KafkaBatchInfo`.
    fn name(&self) -> &'static str;

    /// Its value, a JSON object, for the records of one batch. `partition` is what the source calls the partition of the
    /// first; `payload_size` is the length of the event they make.
    fn of_batch(&self, batch: &[Record], partition: &str, payload_size: usize) -> Bytes;

    /// Its value where each record has a failure record of its own.
    fn of_record(&self, record: &Record, partition: &str, payload_size: usize) -> Bytes {
        self.of_batch(std::slice::from_ref(record), partition, payload_size)
    }

    /// The key a record came with.
    fn key(&self, _record: &Record) -> Option<Bytes> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(payload: Option<&'static str>) -> FailureRecord {
        FailureRecord {
            json: Bytes::from_static(br#"{"version":"1.0"}"#),
            payload: payload.map(|payload| Bytes::from_static(payload.as_bytes())),
            request_id: String::new(),
            mapping: String::new(),
            shard: String::new(),
            timestamp: Timestamp::UNIX_EPOCH,
            key: None,
        }
    }

    #[test]
    fn the_payload_is_the_last_member() {
        let event = record(Some(r#"{"a":"\"é"}"#));
        assert_eq!(event.with_text(), r#"{"version":"1.0","payload":"{\"a\":\"\\\"é\"}"}"#);
        assert_eq!(event.with_object(), r#"{"version":"1.0","payload":{"a":"\"é"}}"#);
        assert_eq!(record(None).with_text(), r#"{"version":"1.0","payload":null}"#);
        assert_eq!(record(None).with_object(), record(None).with_text());
    }
}
