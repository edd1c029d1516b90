//! Message → fragment → event, and identifier → record. Pure.

use base64_simd::STANDARD;
use bytes::{BufMut, Bytes};
use jiff::Timestamp;
use klr_contract::{Partition, Pieces, Place, Position, Record, Trace};
use serde::Deserialize;
use serde_json::Value;

use crate::{Config, Header, Native, TimestampType};

/// How every fragment begins. The topic follows, so a fragment says by itself which list of the event it belongs to.
const HEAD: &[u8] = br#"{"topic":"#;

/// Room for the rest of a fragment: names, quotes, numbers of any length.
const FIELDS: usize = 192;

/// The Lambda event of a Kafka batch: `{"eventSource", ["eventSourceArn",] "bootstrapServers", "records": {"t-0": […]}}`.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Everything before the first list.
    head: Vec<u8>,
}

impl Shape {
    /// The shape of a mapping's events. Needs no broker.
    pub fn new(config: &Config) -> Self {
        Self::of(&config.bootstrap.join(","), config.arn.as_deref())
    }

    /// The shape of events from these servers; with a cluster's ARN, MSK's.
    pub fn of(bootstrap_servers: &str, arn: Option<&str>) -> Self {
        let mut head = Vec::new();
        match arn {
            Some(arn) => {
                head.put_slice(br#"{"eventSource":"aws:kafka","eventSourceArn":"#);
                string(arn, &mut head);
            }
            None => head.put_slice(br#"{"eventSource":"SelfManagedKafka""#),
        }
        head.put_slice(br#","bootstrapServers":"#);
        string(bootstrap_servers, &mut head);
        head.put_slice(br#","records":{"#);
        Self { head }
    }

    /// One message as a record of an epoch: for everything but the live path, which shapes whole pulls (`pull.rs`). A
    /// message without a time of its own is as old as its arrival.
    pub fn record<'a>(native: Native<'a, impl Iterator<Item = Header<'a>>>, epoch: u32) -> Record {
        let partition = Partition { index: native.partition.cast_unsigned(), epoch };
        let position = Position::Offset(native.offset);
        let own_time = native.timestamp_type != TimestampType::None;
        let at = Timestamp::from_millisecond(native.timestamp).ok().filter(|_| own_time);
        let mut json = Vec::new();
        let trace = write(native, &mut json);
        Record {
            json: Ok(json.into()),
            place: Place::At { partition, position, key: 0 },
            at: at.unwrap_or_else(Timestamp::now),
            trace,
        }
    }
}

const TAIL: &[u8] = b"}}";

impl klr_contract::Shape for Shape {
    fn frame(&self) -> usize {
        // Every list pays for a comma after it, the last one's is not needed.
        self.head.len() + TAIL.len() - 1
    }

    fn opening(&self, record: &Record) -> usize {
        // `"t-0":[` `]` `,`, less the comma of the list's last record.
        name_len(&list_of(record)) + r#":[],"#.len() - 1
    }

    fn event(&self, batch: &[Record]) -> Bytes {
        self.pieces(batch).into_bytes()
    }

    fn pieces(&self, batch: &[Record]) -> Pieces {
        let (lists, list_of_each) = lists(batch);
        let mut out = Pieces::new();
        out.text(|out| out.put_slice(&self.head));
        for (number, list) in lists.iter().enumerate() {
            out.text(|out| {
                if number > 0 {
                    out.put_u8(b',');
                }
                name(list, out);
                out.put_slice(b":[");
            });
            let mut first = true;
            for (record, _) in batch.iter().zip(&list_of_each).filter(|(_, of)| **of == number) {
                if !std::mem::take(&mut first) {
                    out.text(|out| out.put_u8(b','));
                }
                record.json.iter().for_each(|json| out.fragment(json));
            }
            out.text(|out| out.put_u8(b']'));
        }
        out.text(|out| out.put_slice(TAIL));
        out
    }

    fn locate(&self, identifier: &Value, batch: &[Record]) -> Vec<usize> {
        let wanted = || {
            let (topic, partition) = identifier.get("partition")?.as_str()?.rsplit_once('-')?;
            let index: u32 = partition.parse().ok()?;
            // One spelling only: "t-00" and "t-+0" name nothing.
            (index.to_string() == partition).then_some(())?;
            let mut quoted = Vec::new();
            string(topic, &mut quoted);
            Some((quoted, index, identifier.get("offset")?.as_i64()?))
        };
        let Some((topic, index, offset)) = wanted() else { return Vec::new() };
        let is_it = |record: &&Record| {
            matches!(&record.place, Place::At { partition, position: Position::Offset(at), .. }
                if *at == offset && partition.index == index && topic_of(fragment(record)) == &topic[..])
        };
        batch.iter().enumerate().filter(|(_, record)| is_it(record)).map(|(number, _)| number).collect()
    }
}

/// The list of an event a record stands in: topic (quoted, as JSON) and partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct List<'a> {
    topic: &'a [u8],
    index: u32,
}

impl List<'_> {
    /// Whether the record stands in it: its topic is compared, not looked for.
    fn has(&self, record: &Record) -> bool {
        let from = fragment(record).get(HEAD.len()..).unwrap_or_default();
        index_of(record) == self.index && !self.topic.is_empty() && from.starts_with(self.topic)
    }
}

fn list_of(record: &Record) -> List<'_> {
    List { topic: topic_of(fragment(record)), index: index_of(record) }
}

fn index_of(record: &Record) -> u32 {
    match &record.place {
        Place::At { partition, .. } => partition.index,
        Place::Item { .. } => 0,
    }
}

/// The lists of a batch in order of first appearance, and for each record the number of its list.
fn lists(batch: &[Record]) -> (Vec<List<'_>>, Vec<usize>) {
    let mut lists: Vec<List<'_>> = Vec::new();
    let mut of_each = Vec::with_capacity(batch.len());
    let mut last = 0;
    for record in batch {
        // Runs of one partition are the rule.
        if !lists.get(last).is_some_and(|list| list.has(record)) {
            let list = list_of(record);
            last = lists.iter().position(|known| *known == list).unwrap_or_else(|| {
                lists.push(list);
                lists.len() - 1
            });
        }
        of_each.push(last);
    }
    (lists, of_each)
}

/// The lists of a batch by their names, `t-0`, with the numbers of their first and last record.
pub(crate) fn lists_by_name(batch: &[Record]) -> Vec<(String, usize, usize)> {
    let (lists, list_of_each) = lists(batch);
    let named = |(number, list)| {
        let first = list_of_each.iter().position(|of| *of == number)?;
        let last = list_of_each.iter().rposition(|of| *of == number)?;
        let mut quoted = Vec::new();
        name(list, &mut quoted);
        Some((serde_json::from_slice(&quoted).ok()?, first, last))
    };
    lists.iter().enumerate().filter_map(named).collect()
}

/// The key in a fragment, in base64 as it stands there.
pub(crate) fn key(record: &Record) -> Option<&str> {
    #[derive(Deserialize)]
    struct Keyed<'a> {
        key: Option<&'a str>,
    }
    serde_json::from_slice::<Keyed<'_>>(fragment(record)).ok()?.key
}

fn fragment(record: &Record) -> &[u8] {
    record.json.as_deref().unwrap_or_default()
}

/// The quoted topic of a fragment.
fn topic_of(fragment: &[u8]) -> &[u8] {
    let from = fragment.get(HEAD.len()..).unwrap_or_default();
    let mut escaped = false;
    let end = from.iter().skip(1).position(|byte| match byte {
        b'"' if !escaped => true,
        byte => {
            escaped = *byte == b'\\' && !escaped;
            false
        }
    });
    end.map_or(b"", |end| &from[..end + 2])
}

/// Writes `"topic-0"`.
fn name(list: &List<'_>, out: &mut Vec<u8>) {
    let (_, open) = list.topic.split_last().unwrap_or((&0, b"\""));
    out.put_slice(open);
    out.put_u8(b'-');
    decimal(list.index.into(), out);
    out.put_u8(b'"');
}

fn name_len(list: &List<'_>) -> usize {
    list.topic.len().max(2) + 1 + list.index.checked_ilog10().unwrap_or(0) as usize + 1
}

/// What a fragment mostly needs: exact but for headers, and a topic with something to escape.
pub(crate) fn room(topic: &str, key: Option<&[u8]>, value: Option<&[u8]>) -> usize {
    let base64 = |bytes: Option<&[u8]>| STANDARD.encoded_length(bytes.map_or(0, <[u8]>::len));
    base64(key) + base64(value) + topic.len() + FIELDS
}

/// Writes the fragment of one message; answers the trace its headers say it is part of.
pub(crate) fn write<'a, H: Iterator<Item = Header<'a>>>(
    native: Native<'a, H>,
    out: &mut Vec<u8>,
) -> Option<Box<Trace>> {
    out.reserve(room(native.topic, native.key, native.value));
    out.put_slice(HEAD);
    string(native.topic, out);
    out.put_slice(br#","partition":"#);
    decimal(native.partition.into(), out);
    out.put_slice(br#","offset":"#);
    decimal(native.offset, out);
    out.put_slice(br#","timestamp":"#);
    decimal(native.timestamp, out);
    out.put_slice(br#","timestampType":""#);
    out.put_slice(native.timestamp_type.name().as_bytes());
    out.put_u8(b'"');
    // A null key or value is no member at all (spec/events.md §4).
    if let Some(key) = native.key {
        out.put_slice(br#","key":"#);
        base64(key, out);
    }
    if let Some(value) = native.value {
        out.put_slice(br#","value":"#);
        base64(value, out);
    }
    out.put_slice(br#","headers":["#);
    let (mut parent, mut state) = (None, None);
    for (number, (name, value)) in native.headers.enumerate() {
        out.put_slice(if number == 0 { b"{" } else { b",{" });
        match name {
            "traceparent" => parent = value,
            "tracestate" => state = value,
            _ => {}
        }
        string(name, out);
        out.put_slice(b":[");
        for (number, byte) in value.unwrap_or_default().iter().enumerate() {
            if number > 0 {
                out.put_u8(b',');
            }
            // Java's bytes are signed, and so AWS writes them.
            decimal((*byte as i8).into(), out);
        }
        out.put_slice(b"]}");
    }
    out.put_slice(b"]}");
    Trace::w3c(parent?, state)
}

/// The most that [`add_schemas`] adds.
pub(crate) const SCHEMAS: usize = 160;

/// Says in a fragment by which schemas its key and value were decoded.
pub(crate) fn add_schemas(
    key: Option<(&'static str, u32)>,
    value: Option<(&'static str, u32)>,
    out: &mut Vec<u8>,
) {
    let end = out.pop();
    for (name, schema) in [("keySchemaMetadata", key), ("valueSchemaMetadata", value)] {
        if let Some((format, id)) = schema {
            out.put_slice(format!(r#","{name}":{{"dataFormat":"{format}","schemaId":"{id}"}}"#).as_bytes());
        }
    }
    out.extend(end);
}

/// A quoted JSON string. Names without anything to escape, nearly all, are copied as they are.
fn string(text: &str, out: &mut Vec<u8>) {
    if text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        serde_json::to_writer(out.writer(), text).expect("writing to memory does not fail");
    } else {
        out.put_u8(b'"');
        out.put_slice(text.as_bytes());
        out.put_u8(b'"');
    }
}

/// Quoted standard base64, encoded in place.
fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.put_u8(b'"');
    STANDARD.encode_append(bytes, out);
    out.put_u8(b'"');
}

fn decimal(number: i64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.put_u8(b'-');
    }
    out.put_slice(&digits[at..]);
}
