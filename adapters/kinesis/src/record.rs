//! A record as Kinesis gives it.

use aws_sdk_kinesis::types;
use base64_simd::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;

/// A record of `GetRecords` or of a subscription; or a user's record out of one that the KPL has aggregated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Native {
    /// Where it is in its shard.
    pub sequence_number: String,
    /// Which of an aggregate it was, with the sequence number of the whole; and whether it was the last of what is ours.
    pub part: Option<Part>,
    /// When it arrived.
    pub arrival: Timestamp,
    /// What the producer put.
    pub data: Vec<u8>,
    /// The key that chose its shard.
    pub partition_key: String,
    /// Encrypted at rest with a key of KMS.
    pub encrypted: bool,
}

/// A place within an aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// From 0.
    pub index: u32,
    /// No record of the aggregate follows that is of this shard.
    pub last: bool,
}

/// A line is no record of `aws kinesis get-records`.
#[derive(Debug, thiserror::Error)]
pub enum NotARecord {
    /// Not JSON, or without what every record has.
    #[error("expected an element of Records[] as `aws kinesis get-records` prints it")]
    Json(#[from] serde_json::Error),
    /// A member that does not hold what it should.
    #[error("{0}: expected {1}")]
    Field(&'static str, &'static str),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    sequence_number: String,
    approximate_arrival_timestamp: Option<Time>,
    data: String,
    partition_key: String,
    encryption_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Time {
    Seconds(f64),
    Text(String),
}

impl Native {
    /// One element of `Records[]` as the AWS command line prints it.
    pub fn parse(line: &str) -> Result<Self, NotARecord> {
        let line: Line = serde_json::from_str(line)?;
        let data = STANDARD.decode_to_vec(&line.data);
        Ok(Self {
            sequence_number: line.sequence_number,
            part: None,
            arrival: line.approximate_arrival_timestamp.map_or(Ok(Timestamp::UNIX_EPOCH), Time::read)?,
            data: data.map_err(|_| NotARecord::Field("Data", "standard base64 with padding"))?,
            partition_key: line.partition_key,
            encrypted: line.encryption_type.as_deref() == Some("KMS"),
        })
    }
}

impl Time {
    fn read(self) -> Result<Timestamp, NotARecord> {
        let time = match self {
            // A double holds milliseconds of today exactly when rounded.
            Self::Seconds(seconds) => Timestamp::from_millisecond((seconds * 1000.0).round() as i64).ok(),
            Self::Text(text) => text.parse().ok(),
        };
        time.ok_or(NotARecord::Field(
            "ApproximateArrivalTimestamp",
            "seconds since 1970, or a time as in ISO 8601",
        ))
    }
}

impl From<types::Record> for Native {
    fn from(sdk: types::Record) -> Self {
        let arrival = sdk.approximate_arrival_timestamp.and_then(|time| time.to_millis().ok());
        Self {
            sequence_number: sdk.sequence_number,
            part: None,
            arrival: arrival
                .and_then(|millis| Timestamp::from_millisecond(millis).ok())
                .unwrap_or_else(Timestamp::now),
            data: sdk.data.into_inner(),
            partition_key: sdk.partition_key.unwrap_or_default(),
            encrypted: sdk.encryption_type == Some(types::EncryptionType::Kms),
        }
    }
}
