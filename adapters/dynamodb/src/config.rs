//! What a mapping says about its stream.

use klr_aws::shards::OnLostPosition;
use klr_aws::{Arn, BatchInfo};

/// A table's stream to read. Valid by construction: the root's `config` checks what a user wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `arn:PARTITION:dynamodb:REGION:ACCOUNT:table/NAME/stream/LABEL`; goes into every record as `eventSourceARN`.
    pub arn: Arn,
    /// Any server that speaks DynamoDB Streams; unset, the AWS chain's (`AWS_ENDPOINT_URL_DYNAMODB_STREAMS`, …).
    pub endpoint: Option<String>,
    /// Under which name the positions are stored: the mapping's UUID.
    pub mapping: String,
    /// Where a stream that was never read begins.
    pub start: Start,
    /// What to do about a position that is no longer there.
    pub on_lost_position: OnLostPosition,
    /// Each shard ends at the end it had at the start (`klr run --once`).
    pub once: bool,
}

/// Where a stream that was never read begins. (AWS refuses `AT_TIMESTAMP` here.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record of each shard.
    TrimHorizon,
    /// With what is changed from now on.
    Latest,
}

/// The ARN does not name a table's stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected the ARN of a table's stream (…:table/NAME/stream/LABEL), got {0}")]
pub struct NotAStream(pub String);

impl Config {
    /// A stream from its beginning, and otherwise with defaults.
    pub fn new(arn: Arn, mapping: impl Into<String>) -> Result<Self, NotAStream> {
        let parts: Vec<&str> = arn.resource.split('/').collect();
        let known =
            matches!(parts[..], ["table", name, "stream", label] if !name.is_empty() && !label.is_empty());
        if arn.service != "dynamodb" || !known {
            return Err(NotAStream(arn.to_string()));
        }
        Ok(Self {
            arn,
            endpoint: None,
            mapping: mapping.into(),
            start: Start::TrimHorizon,
            on_lost_position: OnLostPosition::default(),
            once: false,
        })
    }

    /// What failure records say of its batches.
    pub fn batch_info(&self) -> BatchInfo {
        BatchInfo::dynamodb(self.arn.to_string())
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        self.arn.resource.split('/').nth(1).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tables_stream_will_do() {
        let config = |text: &str| Config::new(text.parse().unwrap(), "m");
        let arn = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2016-12-01T00:00:00.000";
        let stream = config(arn).unwrap();
        assert_eq!((stream.table(), stream.arn.to_string().as_str()), ("orders", arn));
        for wrong in [
            "arn:aws:dynamodb:us-east-1:1:table/orders",
            "arn:aws:dynamodb:us-east-1:1:table/orders/stream/",
            "arn:aws:kinesis:us-east-1:1:table/orders/stream/a",
        ] {
            assert!(config(wrong).is_err(), "{wrong}");
        }
    }
}
