//! Record → fragment → event, and identifier → record. Pure.

use std::ops::Range;

use bytes::{BufMut, Bytes};
use klr_aws::event::{self, base64, lane, string};
use klr_aws::shards::Reading;
use klr_contract::{Place, Position, Record};
use serde_json::Value;

use crate::{Config, Native};

/// How Kinesis records become a Lambda event: one flat list.
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

    /// A sequence number. User records out of one aggregate share theirs: all of them.
    fn locate(&self, identifier: &Value, batch: &[Record]) -> Vec<usize> {
        let Some(wanted) = identifier.as_str() else { return Vec::new() };
        let names = |record: &Record| {
            matches!(&record.place, Place::At { position: Position::Opaque(at), .. }
                if sequence_number(at) == wanted.as_bytes())
        };
        (0..batch.len()).filter(|index| names(&batch[*index])).collect()
    }
}

/// The sequence number in a position: what stands before the part of an aggregate.
pub fn sequence_number(position: &[u8]) -> &[u8] {
    position.split(|byte| *byte == b':').next().unwrap_or_default()
}

/// Shapes what one read of a shard brought. All fragments are slices of one buffer; positions are not: they are held until the
/// checkpoint has passed them, and would hold all of it.
pub fn records(config: &Config, reading: &Reading, natives: &[Native]) -> Vec<Record> {
    let constant = Constant::new(config, &reading.shard);
    let bytes: usize =
        natives.iter().map(|native| native.data.len() / 3 * 4 + native.partition_key.len()).sum();
    let mut buffer = Vec::with_capacity(bytes + natives.len() * (constant.len() + 256));
    let fragments: Vec<Range<usize>> =
        natives.iter().map(|native| write(native, &constant, &mut buffer)).collect();
    let buffer = Bytes::from(buffer);
    let record = |(native, fragment): (&Native, Range<usize>)| Record {
        json: Ok(buffer.slice(fragment).into()),
        place: Place::At {
            partition: reading.partition,
            position: Position::Opaque(position(native)),
            key: lane(native.partition_key.as_bytes()),
        },
        at: native.arrival,
        trace: None,
    };
    natives.iter().zip(fragments).map(record).collect()
}

/// Where a record is. Within an aggregate also which part, so that a restart does not go past its others.
fn position(native: &Native) -> Bytes {
    match native.part {
        Some(part) if !part.last => format!("{}:{}", native.sequence_number, part.index).into(),
        _ => Bytes::copy_from_slice(native.sequence_number.as_bytes()),
    }
}

/// What is the same in all records of a shard.
struct Constant {
    /// From the end of `kinesis` to the sequence number in `eventID`.
    middle: Vec<u8>,
    tail: Vec<u8>,
}

impl Constant {
    fn new(config: &Config, shard: &str) -> Self {
        let mut middle = br#"},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"#.to_vec();
        string(&format!("{shard}:"), &mut middle);
        middle.pop();
        let mut tail = br#"","eventName":"aws:kinesis:record","invokeIdentityArn":"#.to_vec();
        string(&config.role, &mut tail);
        tail.put_slice(br#","awsRegion":"#);
        string(&config.arn.region, &mut tail);
        tail.put_slice(br#","eventSourceARN":"#);
        string(&config.arn.to_string(), &mut tail);
        tail.put_u8(b'}');
        Self { middle, tail }
    }

    fn len(&self) -> usize {
        self.middle.len() + self.tail.len()
    }
}

/// Where the fragment is.
fn write(native: &Native, constant: &Constant, out: &mut Vec<u8>) -> Range<usize> {
    let start = out.len();
    out.put_slice(br#"{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"#);
    string(&native.partition_key, out);
    out.put_slice(br#","sequenceNumber":"#);
    string(&native.sequence_number, out);
    out.put_slice(br#","data":"#);
    base64(&native.data, out);
    out.put_slice(br#","approximateArrivalTimestamp":"#);
    let millis = native.arrival.as_millisecond().max(0);
    // AWS writes three digits, zeros too.
    out.put_slice(format!("{}.{:03}", millis / 1000, millis % 1000).as_bytes());
    if native.encrypted {
        out.put_slice(br#","encryptionType":"KMS""#);
    }
    out.put_slice(&constant.middle);
    out.put_slice(native.sequence_number.as_bytes());
    out.put_slice(&constant.tail);
    start..out.len()
}
