//! A Kafka message as its fields lie, borrowed: from librdkafka on the live path, from a line of text for `klr shape`.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::Value;

/// One header: names repeat and keep their order, a value may be null.
pub type Header<'a> = (&'a str, Option<&'a [u8]>);

/// A message's fields, borrowed. `headers` is any iterator, so that neither side has to collect them.
#[derive(Debug, Clone)]
pub struct Native<'a, H> {
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Milliseconds since the epoch; -1 where the message has none, as in Kafka's own clients.
    pub timestamp: i64,
    /// Whose clock it was.
    pub timestamp_type: TimestampType,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value; null is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers in order.
    pub headers: H,
}

/// Whose clock a timestamp was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's.
    LogAppendTime,
    /// Nobody's: a message in the format before Kafka 0.10.
    #[default]
    None,
}

impl TimestampType {
    /// As the event spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateTime => "CREATE_TIME",
            Self::LogAppendTime => "LOG_APPEND_TIME",
            Self::None => "NO_TIMESTAMP_TYPE",
        }
    }

    fn parse(name: &str) -> Result<Self, Error> {
        match name {
            "CREATE_TIME" | "create" => Ok(Self::CreateTime),
            "LOG_APPEND_TIME" | "logappend" => Ok(Self::LogAppendTime),
            "NO_TIMESTAMP_TYPE" | "unknown" => Ok(Self::None),
            _ => Err(Error::Field(
                "timestampType",
                "CREATE_TIME, LOG_APPEND_TIME or NO_TIMESTAMP_TYPE (kcat: tstype create, logappend or unknown)",
            )),
        }
    }
}

/// A message read from a line of text. Owns what [`Native`] borrows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    topic: String,
    partition: i32,
    offset: i64,
    timestamp: i64,
    timestamp_type: TimestampType,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Why a line is not a message. Says what was expected and in which field, never what was there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, or a member of the wrong type.
    #[error("expected one Kafka message as a JSON object")]
    Json(#[from] serde_json::Error),
    /// A member that does not hold what it should.
    #[error("{0}: expected {1}")]
    Field(&'static str, &'static str),
}

/// Both spellings of a line: ours (`key` and `value` base64) and that of `kcat -J` (`ts`, `tstype`, `payload`, text).
#[derive(Deserialize)]
struct Line {
    topic: String,
    partition: i32,
    offset: i64,
    timestamp: Option<i64>,
    #[serde(rename = "timestampType")]
    timestamp_type: Option<String>,
    key: Option<String>,
    value: Option<String>,
    #[serde(default)]
    headers: Vec<Value>,
    ts: Option<i64>,
    tstype: Option<String>,
    #[serde(default, deserialize_with = "present")]
    payload: Option<Option<String>>,
}

/// Tells a member that is null from one that is not there.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl Message {
    /// Reads one line of `klr shape kafka`'s input: `{"topic", "partition", "offset", "timestamp", "timestampType", "key",
    /// "value", "headers"}` with base64 bytes, or what `kcat -J` prints.
    pub fn parse(line: &str) -> Result<Self, Error> {
        let line: Line = serde_json::from_str(line)?;
        if line.ts.is_some() || line.tstype.is_some() || line.payload.is_some() {
            Self::from_kcat(line)
        } else {
            Self::from_base64(line)
        }
    }

    /// The fields, as the live path has them.
    pub fn native(&self) -> Native<'_, impl Iterator<Item = Header<'_>>> {
        Native {
            topic: &self.topic,
            partition: self.partition,
            offset: self.offset,
            timestamp: self.timestamp,
            timestamp_type: self.timestamp_type,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: self.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())),
        }
    }

    fn from_base64(line: Line) -> Result<Self, Error> {
        // A timestamp without a type is the producer's, which is what a topic has unless told otherwise.
        let timestamp_type = match (&line.timestamp_type, line.timestamp) {
            (Some(name), _) => TimestampType::parse(name)?,
            (None, Some(_)) => TimestampType::CreateTime,
            (None, None) => TimestampType::None,
        };
        let mut headers = Vec::with_capacity(line.headers.len());
        for header in &line.headers {
            let members = header.as_object().ok_or(HEADERS)?;
            for (name, value) in members {
                headers.push((name.clone(), header_bytes(value)?));
            }
        }
        Ok(Self {
            topic: line.topic,
            partition: line.partition,
            offset: line.offset,
            timestamp: line.timestamp.unwrap_or(-1),
            timestamp_type,
            key: line.key.map(|text| decode("key", &text)).transpose()?,
            value: line.value.map(|text| decode("value", &text)).transpose()?,
            headers,
        })
    }

    fn from_kcat(line: Line) -> Result<Self, Error> {
        let timestamp_type = match (&line.tstype, line.ts) {
            (Some(name), _) => TimestampType::parse(name)?,
            (None, Some(_)) => TimestampType::CreateTime,
            (None, None) => TimestampType::None,
        };
        let (pairs, rest) = line.headers.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(KCAT_HEADERS);
        }
        let text = |value: &Value| match value {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text.clone())),
            _ => Err(KCAT_HEADERS),
        };
        let mut headers = Vec::with_capacity(pairs.len());
        for [name, value] in pairs {
            headers.push((text(name)?.ok_or(KCAT_HEADERS)?, text(value)?.map(String::into_bytes)));
        }
        Ok(Self {
            topic: line.topic,
            partition: line.partition,
            offset: line.offset,
            timestamp: line.ts.unwrap_or(-1),
            timestamp_type,
            key: line.key.map(String::into_bytes),
            value: line.payload.flatten().map(String::into_bytes),
            headers,
        })
    }
}

const HEADERS: Error = Error::Field("headers", "a list of objects {name: base64}");
const KCAT_HEADERS: Error = Error::Field("headers", "a flat list of names and values, as kcat -J prints it");

fn decode(field: &'static str, text: &str) -> Result<Vec<u8>, Error> {
    STANDARD.decode(text).map_err(|_| Error::Field(field, "standard base64 with padding, or null"))
}

/// Base64; null; or the list of bytes an event has, signed or not, so that an event's records can be read back.
fn header_bytes(value: &Value) -> Result<Option<Vec<u8>>, Error> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => decode("headers", text).map(Some),
        Value::Array(bytes) => bytes.iter().map(byte).collect::<Result<_, _>>().map(Some),
        _ => Err(HEADERS),
    }
}

fn byte(value: &Value) -> Result<u8, Error> {
    match value.as_i64() {
        Some(byte @ -128..=255) => Ok(byte as u8),
        _ => Err(Error::Field("headers", "bytes between -128 and 255")),
    }
}
