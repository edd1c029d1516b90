//! What one wake-up of the consumer drained, shaped as it came.

use std::borrow::Cow;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::Timestamp;
use klr_contract::{Arrival, Fragment, Partition, Place, Position, Reason, Record, Trace};
use rdkafka::Message as _;
use rdkafka::message::{BorrowedMessage, Headers as _};

use crate::buffers::Buffers;
use crate::{Native, TimestampType, shape};

/// A pull ends here even if more is there, so that the engine starts on it.
const RECORDS: usize = 1_000;
const BYTES: usize = 1 << 20;

/// What stands in an event instead of a message's own key and value.
#[cfg_attr(not(feature = "registry"), allow(dead_code))]
pub(crate) struct Decoded<'m> {
    pub(crate) key: Attribute<'m>,
    pub(crate) value: Attribute<'m>,
}

/// A key or a value.
#[cfg_attr(not(feature = "registry"), allow(dead_code))]
pub(crate) struct Attribute<'m> {
    pub(crate) bytes: Option<Cow<'m, [u8]>>,
    /// Format and number of its schema, if it was decoded.
    pub(crate) schema: Option<(&'static str, u32)>,
}

/// A pull being filled. No buffer has fragments of two partitions: a partition that is stuck keeps only its own bytes.
pub(crate) struct Pull {
    /// The same for every message: the one topic.
    topic: String,
    home: Buffers,
    buffers: Vec<(Partition, Vec<u8>)>,
    items: Vec<Item>,
    bytes: usize,
}

enum Item {
    Record {
        buffer: usize,
        json: Result<Range<usize>, Reason>,
        offset: i64,
        at: Option<Timestamp>,
        trace: Option<Box<Trace>>,
    },
    Other(Arrival),
}

impl Pull {
    pub(crate) fn new(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            home: Buffers::default(),
            buffers: Vec::new(),
            items: Vec::new(),
            bytes: 0,
        }
    }

    /// Whether to go on filling it.
    pub(crate) fn has_room(&self) -> bool {
        self.items.len() < RECORDS && self.bytes < BYTES
    }

    /// Shapes a message.
    pub(crate) fn add(&mut self, partition: Partition, message: &BorrowedMessage<'_>) {
        let room = shape::room(&self.topic, message.key(), message.payload());
        self.shape(partition, message, room, |topic, out| {
            write(topic, message, message.key(), message.payload(), out)
        });
    }

    /// Shapes a message as it was decoded, if it could be.
    pub(crate) fn add_decoded(
        &mut self,
        partition: Partition,
        message: &BorrowedMessage<'_>,
        decoded: Result<Decoded<'_>, Reason>,
    ) {
        let room = decoded.as_ref().map_or(0, |Decoded { key, value }| {
            shape::room(&self.topic, key.bytes.as_deref(), value.bytes.as_deref()) + shape::SCHEMAS
        });
        self.shape(partition, message, room, |topic, out| {
            let Decoded { key, value } = decoded?;
            let trace = write(topic, message, key.bytes.as_deref(), value.bytes.as_deref(), out)?;
            shape::add_schemas(key.schema, value.schema, out);
            Ok(trace)
        });
    }

    fn shape(
        &mut self,
        partition: Partition,
        message: &BorrowedMessage<'_>,
        room: usize,
        write: impl FnOnce(&str, &mut Vec<u8>) -> Result<Option<Box<Trace>>, Reason>,
    ) {
        let number = self.buffer(partition, room);
        let (_, buffer) = &mut self.buffers[number];
        let start = buffer.len();
        let (json, trace) = match write(&self.topic, buffer) {
            Ok(trace) => {
                let end = buffer.len();
                self.bytes += end - start;
                // What lies between two records in an event.
                buffer.push(b',');
                (Ok(start..end), trace)
            }
            Err(reason) => {
                buffer.truncate(start);
                (Err(reason), None)
            }
        };
        let (timestamp, timestamp_type) = timestamp(message);
        let at =
            Timestamp::from_millisecond(timestamp).ok().filter(|_| timestamp_type != TimestampType::None);
        self.items.push(Item::Record { buffer: number, json, offset: message.offset(), at, trace });
    }

    /// Something in between: a place passed over, an end.
    pub(crate) fn note(&mut self, arrival: Arrival) {
        self.items.push(Item::Other(arrival));
    }

    /// What it holds, in order of arrival. It can be filled anew.
    pub(crate) fn seal(&mut self) -> Vec<Arrival> {
        // A message without a time of its own is as old as its arrival.
        let now = Timestamp::now();
        let home = &self.home;
        let sealed: Vec<_> =
            self.buffers.drain(..).map(|(partition, buffer)| (partition, home.seal(buffer))).collect();
        self.bytes = 0;
        let arrival = |item| match item {
            Item::Other(arrival) => arrival,
            Item::Record { buffer, json, offset, at, trace } => {
                let (partition, bytes) = &sealed[buffer];
                Arrival::Record(Record {
                    json: json.map(|range| Fragment::of(bytes, range)),
                    place: Place::At { partition: *partition, position: Position::Offset(offset), key: 0 },
                    at: at.unwrap_or(now),
                    trace,
                })
            }
        };
        self.items.drain(..).map(arrival).collect()
    }

    /// A buffer of the partition with so much room.
    fn buffer(&mut self, partition: Partition, room: usize) -> usize {
        // Few buffers a pull, and mostly the last one again.
        if let Some(known) = self.buffers.iter().rposition(|(of, _)| *of == partition) {
            let (_, buffer) = &self.buffers[known];
            if buffer.capacity() - buffer.len() >= room {
                return known;
            }
        }
        self.buffers.push((partition, self.home.take(room)));
        self.buffers.len() - 1
    }
}

fn timestamp(message: &BorrowedMessage<'_>) -> (i64, TimestampType) {
    match message.timestamp() {
        rdkafka::Timestamp::NotAvailable => (-1, TimestampType::None),
        rdkafka::Timestamp::CreateTime(ms) => (ms, TimestampType::CreateTime),
        rdkafka::Timestamp::LogAppendTime(ms) => (ms, TimestampType::LogAppendTime),
    }
}

fn write(
    topic: &str,
    message: &BorrowedMessage<'_>,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    out: &mut Vec<u8>,
) -> Result<Option<Box<Trace>>, Reason> {
    let (timestamp, timestamp_type) = timestamp(message);
    let native = Native {
        topic,
        partition: message.partition(),
        offset: message.offset(),
        timestamp,
        timestamp_type,
        key,
        value,
        headers: std::iter::empty(),
    };
    let Some(headers) = message.headers() else {
        return Ok(shape::write(native, out));
    };
    let Native { topic, partition, offset, timestamp, timestamp_type, key, value, .. } = native;
    let headers = headers.iter().map(|header| (header.key, header.value));
    let native = Native { topic, partition, offset, timestamp, timestamp_type, key, value, headers };
    // rdkafka panics on a header name that is not UTF-8, which Kafka's own client does not write, but those that take bytes do:
    // that record has no fragment, the thread lives on. AWS's word for what it cannot read.
    catch_unwind(AssertUnwindSafe(|| shape::write(native, out)))
        .map_err(|_| Reason("DESERIALIZATION_ERROR".to_owned()))
}
