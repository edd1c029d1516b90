//! What a failure record says of Kafka records. Pure.

use base64_simd::STANDARD;
use bytes::Bytes;
use klr_contract::{Place, Position, Record};
use serde::{Serialize, Serializer};

use crate::Config;
use crate::shape::{key, lists_by_name};

/// `KafkaBatchInfo`, of one mapping.
#[derive(Debug, Clone)]
pub struct BatchInfo {
    bootstrap_servers: String,
    arn: Option<String>,
}

impl BatchInfo {
    /// What a mapping's failure records say.
    pub fn new(config: &Config) -> Self {
        Self { bootstrap_servers: config.bootstrap.join(","), arn: config.arn.clone() }
    }

    fn json(&self, count: usize, payload_size: usize, records: Records) -> Bytes {
        let info = Info {
            batch_size: count,
            event_source_arn: self.arn.as_deref(),
            bootstrap_servers: &self.bootstrap_servers,
            payload_size,
            records,
        };
        serde_json::to_vec(&info).expect("names and numbers always serialise").into()
    }
}

impl klr_contract::BatchInfo for BatchInfo {
    fn name(&self) -> &'static str {
        "KafkaBatchInfo"
    }

    fn of_batch(&self, batch: &[Record], partition: &str, payload_size: usize) -> Bytes {
        let spans = lists_by_name(batch).into_iter().map(|(name, first, last)| {
            // A record that could not be shaped has no fragment to read its topic in, and is a batch of one.
            let name = if batch[first].is_empty() { partition.to_owned() } else { name };
            (name, Span::of(&batch[first], &batch[last]))
        });
        self.json(batch.len(), payload_size, Records::All(spans.collect()))
    }

    fn of_record(&self, record: &Record, _: &str, payload_size: usize) -> Bytes {
        let one = One { offset: offset(record), timestamp: time(record) };
        self.json(1, payload_size, Records::One(one))
    }

    /// As the function sees it: a key that was decoded by its schema is the decoded one.
    fn key(&self, record: &Record) -> Option<Bytes> {
        STANDARD.decode_to_vec(key(record)?).ok().map(Bytes::from)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info<'a> {
    batch_size: usize,
    /// AWS: MSK clusters have one. Of others it says nothing, and we leave it out as in the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_source_arn: Option<&'a str>,
    bootstrap_servers: &'a str,
    payload_size: usize,
    #[serde(flatten)]
    records: Records,
}

#[derive(Serialize)]
enum Records {
    #[serde(rename = "recordsInfo", serialize_with = "as_map")]
    All(Vec<(String, Span)>),
    /// AWS: the member is in the singular where the destination is a topic.
    #[serde(rename = "recordInfo")]
    One(One),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    first_record_offset: String,
    last_record_offset: String,
    first_record_timestamp: String,
    last_record_timestamp: String,
}

#[derive(Serialize)]
struct One {
    offset: String,
    timestamp: String,
}

impl Span {
    fn of(first: &Record, last: &Record) -> Self {
        Self {
            first_record_offset: offset(first),
            last_record_offset: offset(last),
            first_record_timestamp: time(first),
            last_record_timestamp: time(last),
        }
    }
}

/// In order of first appearance, as in the event.
fn as_map<S: Serializer>(spans: &[(String, Span)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(spans.iter().map(|(name, span)| (name, span)))
}

/// AWS: offsets are text here, though numbers in the event.
fn offset(record: &Record) -> String {
    match &record.place {
        Place::At { position: Position::Offset(offset), .. } => offset.to_string(),
        _ => String::new(),
    }
}

fn time(record: &Record) -> String {
    format!("{:.3}", record.at)
}
