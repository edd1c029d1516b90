//! A record as DynamoDB Streams gives it, with its attribute values.

use std::collections::BTreeMap;

use aws_sdk_dynamodbstreams::types;
use base64_simd::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;

/// A change of an item. Maps are in order of their names: the API's answer has none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Native {
    /// Stable: 32 hexadecimal digits.
    #[serde(rename = "eventID")]
    pub event_id: String,
    /// `INSERT`, `MODIFY` or `REMOVE`.
    #[serde(rename = "eventName")]
    pub event_name: String,
    /// `1.1`.
    #[serde(rename = "eventVersion", default = "version")]
    pub event_version: String,
    /// The table's region, as its server says.
    #[serde(rename = "awsRegion", default)]
    pub region: String,
    /// The change.
    pub dynamodb: Change,
    /// Who made it, if that was the service: a deletion by TTL.
    #[serde(rename = "userIdentity", default)]
    pub user_identity: Option<Identity>,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Change {
    /// When: in whole seconds on AWS.
    #[serde(default, deserialize_with = "time")]
    pub approximate_creation_date_time: Option<Timestamp>,
    /// The item's primary key.
    #[serde(default)]
    pub keys: Item,
    /// The item afterwards; as the view has it, and not for a removal.
    pub new_image: Option<Item>,
    /// The item before; as the view has it, and not for an insertion.
    pub old_image: Option<Item>,
    /// Where the record is in its shard.
    pub sequence_number: String,
    /// The record's size.
    #[serde(default)]
    pub size_bytes: Option<i64>,
    /// `KEYS_ONLY`, `NEW_IMAGE`, `OLD_IMAGE` or `NEW_AND_OLD_IMAGES`.
    #[serde(default)]
    pub stream_view_type: Option<String>,
}

/// Who made a change. (The API writes capitals here where the event has none.)
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Identity {
    /// `Service`.
    #[serde(rename = "type", alias = "Type")]
    pub kind: String,
    /// `dynamodb.amazonaws.com`.
    #[serde(rename = "principalId", alias = "PrincipalId")]
    pub principal_id: String,
}

/// An item, or its key.
pub type Item = BTreeMap<String, Attribute>;

/// An attribute's value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub enum Attribute {
    /// Text.
    S(String),
    /// A number, which stays the text it is.
    N(String),
    /// Bytes.
    B(Blob),
    /// A set of texts.
    SS(Vec<String>),
    /// A set of numbers.
    NS(Vec<String>),
    /// A set of bytes.
    BS(Vec<Blob>),
    /// Values by name.
    M(Item),
    /// Values in order.
    L(Vec<Attribute>),
    /// Nothing, said so.
    #[serde(rename = "NULL")]
    Null(bool),
    /// Yes or no.
    #[serde(rename = "BOOL")]
    Bool(bool),
}

/// Bytes; base64 in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

/// A line is no record of `aws dynamodbstreams get-records`.
#[derive(Debug, thiserror::Error)]
#[error("expected an element of Records[] as `aws dynamodbstreams get-records` prints it")]
pub struct NotARecord(#[from] serde_json::Error);

impl Native {
    /// One element of `Records[]` as the AWS command line prints it.
    pub fn parse(line: &str) -> Result<Self, NotARecord> {
        Ok(serde_json::from_str(line)?)
    }
}

fn version() -> String {
    "1.1".to_owned()
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = STANDARD.decode_to_vec(&text);
        bytes.map(Self).map_err(|_| serde::de::Error::custom("expected standard base64 with padding"))
    }
}

/// Seconds since 1970, or a time as in ISO 8601.
fn time<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Time {
        Seconds(f64),
        Text(String),
    }
    let time = match Option::deserialize(from)? {
        None => return Ok(None),
        Some(Time::Seconds(seconds)) => Timestamp::from_millisecond((seconds * 1000.0).round() as i64).ok(),
        Some(Time::Text(text)) => text.parse().ok(),
    };
    let wrong = || serde::de::Error::custom("expected seconds since 1970, or a time as in ISO 8601");
    time.map(Some).ok_or_else(wrong)
}

impl From<types::Record> for Native {
    fn from(sdk: types::Record) -> Self {
        let change = sdk.dynamodb.map(Change::from);
        Self {
            event_id: sdk.event_id.unwrap_or_default(),
            event_name: sdk.event_name.map(|name| name.as_str().to_owned()).unwrap_or_default(),
            event_version: sdk.event_version.unwrap_or_else(version),
            region: sdk.aws_region.unwrap_or_default(),
            dynamodb: change.unwrap_or_else(Change::nothing),
            user_identity: sdk.user_identity.map(|identity| Identity {
                kind: identity.r#type.unwrap_or_default(),
                principal_id: identity.principal_id.unwrap_or_default(),
            }),
        }
    }
}

impl Change {
    fn nothing() -> Self {
        Self {
            approximate_creation_date_time: None,
            keys: Item::new(),
            new_image: None,
            old_image: None,
            sequence_number: String::new(),
            size_bytes: None,
            stream_view_type: None,
        }
    }
}

impl From<types::StreamRecord> for Change {
    fn from(sdk: types::StreamRecord) -> Self {
        let time = sdk.approximate_creation_date_time.and_then(|time| time.to_millis().ok());
        Self {
            approximate_creation_date_time: time.and_then(|millis| Timestamp::from_millisecond(millis).ok()),
            keys: sdk.keys.map(item).unwrap_or_default(),
            new_image: sdk.new_image.map(item),
            old_image: sdk.old_image.map(item),
            sequence_number: sdk.sequence_number.unwrap_or_default(),
            size_bytes: sdk.size_bytes,
            stream_view_type: sdk.stream_view_type.map(|view| view.as_str().to_owned()),
        }
    }
}

fn item(sdk: std::collections::HashMap<String, types::AttributeValue>) -> Item {
    sdk.into_iter().map(|(name, value)| (name, value.into())).collect()
}

impl From<types::AttributeValue> for Attribute {
    fn from(sdk: types::AttributeValue) -> Self {
        use types::AttributeValue as Sdk;
        let blob = |blob: aws_sdk_dynamodbstreams::primitives::Blob| Blob(blob.into_inner());
        match sdk {
            Sdk::S(text) => Self::S(text),
            Sdk::N(number) => Self::N(number),
            Sdk::B(bytes) => Self::B(blob(bytes)),
            Sdk::Ss(texts) => Self::SS(texts),
            Sdk::Ns(numbers) => Self::NS(numbers),
            Sdk::Bs(blobs) => Self::BS(blobs.into_iter().map(blob).collect()),
            Sdk::M(map) => Self::M(item(map)),
            Sdk::L(list) => Self::L(list.into_iter().map(Into::into).collect()),
            Sdk::Bool(value) => Self::Bool(value),
            Sdk::Null(value) => Self::Null(value),
            // A kind younger than the SDK: there is no telling what is in it.
            _ => Self::Null(true),
        }
    }
}
