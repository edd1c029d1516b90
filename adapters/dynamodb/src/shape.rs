//! Record → fragment → event, and identifier → record. Pure.

use bytes::{BufMut, Bytes};
use klr_aws::event::{self, base64, lane, string};
use klr_aws::shards::Reading;
use klr_contract::{Place, Position, Record};
use serde_json::Value;

use crate::Config;
use crate::record::{Attribute, Blob, Item, Native};

/// How stream records become a Lambda event: one flat list.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shape;

impl klr_contract::Shape for Shape {
    fn frame(&self) -> usize {
        event::FRAME
    }

    fn opening(&self, _: &Record) -> usize {
        0
    }

    fn event(&self, batch: &[Record]) -> Bytes {
        event::join(batch)
    }

    /// A sequence number.
    fn locate(&self, identifier: &Value, batch: &[Record]) -> Vec<usize> {
        let Some(wanted) = identifier.as_str() else { return Vec::new() };
        let names = |record: &Record| matches!(&record.place, Place::At { position: Position::Opaque(at), .. } if at == wanted);
        (0..batch.len()).filter(|index| names(&batch[*index])).collect()
    }
}

/// Shapes what one read of a shard brought. All fragments are slices of one buffer.
pub fn records(config: &Config, reading: &Reading, natives: Vec<Native>) -> Vec<Record> {
    let mut tail = br#","eventSourceARN":"#.to_vec();
    string(&config.arn.to_string(), &mut tail);
    tail.put_u8(b'}');
    let bytes: usize = natives.iter().map(size).sum();
    let mut buffer = Vec::with_capacity(bytes + natives.len() * (tail.len() + 384));
    let mut key = Vec::new();
    let ends: Vec<(usize, u32)> = natives
        .iter()
        .map(|native| {
            write(config, native, &mut buffer);
            buffer.put_slice(&tail);
            key.clear();
            item(&native.dynamodb.keys, &mut key);
            (buffer.len(), lane(&key))
        })
        .collect();
    let buffer = Bytes::from(buffer);
    let starts = std::iter::once(0).chain(ends.iter().map(|(end, _)| *end));
    let spans = starts.zip(&ends);
    let record = |(native, (start, (end, key))): (Native, (usize, &(usize, u32)))| Record {
        json: Ok(buffer.slice(start..*end).into()),
        at: native.dynamodb.approximate_creation_date_time.unwrap_or_else(jiff::Timestamp::now),
        place: Place::At {
            partition: reading.partition,
            position: Position::Opaque(native.dynamodb.sequence_number.into()),
            key: *key,
        },
        trace: None,
    };
    natives.into_iter().zip(spans).map(record).collect()
}

/// About what a record takes: its own size is without quotes and types.
fn size(native: &Native) -> usize {
    native.dynamodb.size_bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0) * 2
}

/// Writes a record but for the stream's ARN, members in the order of AWS's recordings.
fn write(config: &Config, native: &Native, out: &mut Vec<u8>) {
    let region = if native.region.is_empty() { &config.arn.region } else { &native.region };
    out.put_slice(br#"{"eventID":"#);
    string(&native.event_id, out);
    member("eventName", &native.event_name, out);
    member("eventVersion", &native.event_version, out);
    out.put_slice(br#","eventSource":"aws:dynamodb""#);
    member("awsRegion", region, out);
    if let Some(identity) = &native.user_identity {
        out.put_slice(br#","userIdentity":{"type":"#);
        string(&identity.kind, out);
        member("principalId", &identity.principal_id, out);
        out.put_u8(b'}');
    }
    let change = &native.dynamodb;
    out.put_slice(br#","dynamodb":{"#);
    if let Some(time) = change.approximate_creation_date_time {
        out.put_slice(br#""ApproximateCreationDateTime":"#);
        seconds(time.as_millisecond(), out);
        out.put_u8(b',');
    }
    out.put_slice(br#""Keys":"#);
    item(&change.keys, out);
    // A view without an image has no such member.
    for (name, image) in [("NewImage", &change.new_image), ("OldImage", &change.old_image)] {
        if let Some(image) = image {
            out.put_slice(format!(r#","{name}":"#).as_bytes());
            item(image, out);
        }
    }
    member("SequenceNumber", &change.sequence_number, out);
    if let Some(bytes) = change.size_bytes {
        out.put_slice(format!(r#","SizeBytes":{bytes}"#).as_bytes());
    }
    if let Some(view) = &change.stream_view_type {
        member("StreamViewType", view, out);
    }
    out.put_u8(b'}');
}

/// Whole seconds are whole numbers.
fn seconds(millis: i64, out: &mut Vec<u8>) {
    let (seconds, rest) = (millis.div_euclid(1000), millis.rem_euclid(1000));
    out.put_slice(seconds.to_string().as_bytes());
    if rest > 0 {
        out.put_slice(format!(".{rest:03}").trim_end_matches('0').as_bytes());
    }
}

fn member(name: &str, value: &str, out: &mut Vec<u8>) {
    out.put_slice(b",\"");
    out.put_slice(name.as_bytes());
    out.put_slice(b"\":");
    string(value, out);
}

fn item(item: &Item, out: &mut Vec<u8>) {
    out.put_u8(b'{');
    for (number, (name, value)) in item.iter().enumerate() {
        if number > 0 {
            out.put_u8(b',');
        }
        string(name, out);
        out.put_u8(b':');
        attribute(value, out);
    }
    out.put_u8(b'}');
}

fn attribute(value: &Attribute, out: &mut Vec<u8>) {
    let text = |text: &String, out: &mut Vec<u8>| string(text, out);
    let blob = |blob: &Blob, out: &mut Vec<u8>| base64(&blob.0, out);
    let flag = |flag: &bool, out: &mut Vec<u8>| out.put_slice(if *flag { b"true" } else { b"false" });
    match value {
        Attribute::S(value) => typed("S", value, text, out),
        Attribute::N(value) => typed("N", value, text, out),
        Attribute::B(value) => typed("B", value, blob, out),
        Attribute::SS(values) => typed("SS", values, |values, out| list(values, text, out), out),
        Attribute::NS(values) => typed("NS", values, |values, out| list(values, text, out), out),
        Attribute::BS(values) => typed("BS", values, |values, out| list(values, blob, out), out),
        Attribute::M(value) => typed("M", value, item, out),
        Attribute::L(values) => typed("L", values, |values, out| list(values, attribute, out), out),
        Attribute::Null(value) => typed("NULL", value, flag, out),
        Attribute::Bool(value) => typed("BOOL", value, flag, out),
    }
}

fn typed<T>(kind: &str, value: &T, write: impl Fn(&T, &mut Vec<u8>), out: &mut Vec<u8>) {
    out.put_slice(b"{\"");
    out.put_slice(kind.as_bytes());
    out.put_slice(b"\":");
    write(value, out);
    out.put_u8(b'}');
}

fn list<T>(values: &[T], write: impl Fn(&T, &mut Vec<u8>), out: &mut Vec<u8>) {
    out.put_u8(b'[');
    for (number, value) in values.iter().enumerate() {
        if number > 0 {
            out.put_u8(b',');
        }
        write(value, out);
    }
    out.put_u8(b']');
}
