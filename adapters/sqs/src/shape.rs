use base64::{display::Base64Display, prelude::BASE64_STANDARD};
use bytes::Bytes;
use klr_contract::{Place, Record};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

use crate::{Attribute, Config, Content, Message};

const OPEN: &[u8] = br#"{"Records":["#;
const CLOSE: &[u8] = b"]}";

/// How SQS records become a Lambda event: one flat list.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shape;

impl klr_contract::Shape for Shape {
    fn frame(&self) -> usize {
        OPEN.len() + CLOSE.len() - 1
    }

    fn opening(&self, _: &Record) -> usize {
        0
    }

    fn event(&self, batch: &[Record]) -> Bytes {
        let size = OPEN.len() + CLOSE.len() + batch.iter().map(|record| record.len() + 1).sum::<usize>();
        let mut event = Vec::with_capacity(size);
        event.extend_from_slice(OPEN);
        for (n, json) in batch.iter().filter_map(|record| record.json.as_ref().ok()).enumerate() {
            if n > 0 {
                event.push(b',');
            }
            event.extend_from_slice(json);
        }
        event.extend_from_slice(CLOSE);
        event.into()
    }

    fn locate(&self, identifier: &Value, batch: &[Record]) -> Vec<usize> {
        let Some(wanted) = identifier.as_str() else { return Vec::new() };
        let names = |record: &Record| matches!(&record.place, Place::Item { id, .. } if id == wanted);
        (0..batch.len()).filter(|index| names(&batch[*index])).collect()
    }
}

/// Shapes what one receive brought. All fragments are slices of one buffer.
pub fn records(config: &Config, messages: Vec<Message>) -> Vec<Record> {
    let mut buffer = Vec::with_capacity(messages.iter().map(|message| message.body.len() + 1024).sum());
    let ends: Vec<usize> = messages
        .iter()
        .map(|message| {
            serde_json::to_writer(&mut buffer, &Fragment { config, message })
                .expect("strings and maps with string keys always serialise, and a Vec takes any bytes");
            buffer.len()
        })
        .collect();
    let buffer = Bytes::from(buffer);
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let ranges = starts.zip(ends.iter().copied());
    messages
        .into_iter()
        .zip(ranges)
        .map(|(message, (start, end))| Record {
            json: Ok(buffer.slice(start..end).into()),
            at: message.sent(),
            trace: message.trace(),
            place: Place::Item { id: message.id.into(), receipt: message.receipt.into() },
        })
        .collect()
}

/// A record of the event, members in the order of AWS's recordings.
struct Fragment<'a> {
    config: &'a Config,
    message: &'a Message,
}

impl Serialize for Fragment<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { config, message } = self;
        let mut record = serializer.serialize_map(None)?;
        record.serialize_entry("messageId", &message.id)?;
        record.serialize_entry("receiptHandle", &message.receipt)?;
        record.serialize_entry("body", &message.body)?;
        record.serialize_entry("attributes", &Object(&message.system))?;
        record.serialize_entry("messageAttributes", &Object(&message.attributes))?;
        match &message.md5_of_attributes {
            Some(md5) if !message.attributes.is_empty() => {
                record.serialize_entry("md5OfMessageAttributes", md5)?;
            }
            // Observed on AWS: null with a batching window, no such member without.
            _ if config.windowed => record.serialize_entry("md5OfMessageAttributes", &())?,
            _ => {}
        }
        record.serialize_entry("md5OfBody", &message.md5_of_body)?;
        record.serialize_entry("eventSource", "aws:sqs")?;
        record.serialize_entry("eventSourceARN", &config.arn)?;
        record.serialize_entry("awsRegion", &config.region)?;
        record.end()
    }
}

struct Object<'a, T>(&'a [(String, T)]);

impl<T: Serialize> Serialize for Object<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Serialize for Attribute {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const EMPTY: [&str; 0] = [];
        let mut attribute = serializer.serialize_map(None)?;
        match &self.content {
            Content::Text(text) => attribute.serialize_entry("stringValue", text)?,
            Content::Binary(bytes) => {
                let base64 = Base64Display::new(bytes, &BASE64_STANDARD).to_string();
                attribute.serialize_entry("binaryValue", &base64)?;
            }
        }
        // Always there, always empty: SQS reserves them.
        attribute.serialize_entry("stringListValues", &EMPTY)?;
        attribute.serialize_entry("binaryListValues", &EMPTY)?;
        attribute.serialize_entry("dataType", &self.data_type)?;
        attribute.end()
    }
}
