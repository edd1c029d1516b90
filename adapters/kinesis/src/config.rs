//! What a mapping says about its stream.

use klr_aws::shards::{OnLostPosition, Start};
use klr_aws::{Arn, BatchInfo};

/// A data stream to read. Valid by construction: the root's `config` checks what a user wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The mapping's `EventSourceArn`, a stream's or a consumer's; goes into every record as `eventSourceARN`.
    pub arn: Arn,
    /// The function's execution role; goes into every record as `invokeIdentityArn`.
    pub role: String,
    /// Any server that speaks Kinesis; unset, the AWS chain's (`AWS_ENDPOINT_URL_KINESIS`, …).
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

/// The ARN names neither a stream nor a consumer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected the ARN of a stream (…:stream/NAME) or of a consumer (…:stream/NAME/consumer/NAME:TIME), got {0}"
)]
pub struct NotAStream(pub String);

impl Config {
    /// A stream or a consumer, from its beginning, and otherwise with defaults.
    ///
    /// Of a function that is in a file, or that is gone, no execution role is known: one in the stream's account stands in,
    /// for who reads the field.
    pub fn new(arn: Arn, mapping: impl Into<String>) -> Result<Self, NotAStream> {
        let parts: Vec<&str> = arn.resource.split('/').collect();
        let known =
            matches!(parts[..], ["stream", name] | ["stream", name, "consumer", _] if !name.is_empty());
        if arn.service != "kinesis" || !known {
            return Err(NotAStream(arn.to_string()));
        }
        Ok(Self {
            role: format!("arn:{}:iam::{}:role/klr", arn.partition, arn.account),
            arn,
            endpoint: None,
            mapping: mapping.into(),
            start: Start::TrimHorizon,
            on_lost_position: OnLostPosition::default(),
            once: false,
        })
    }

    /// The stream's name.
    pub fn stream(&self) -> &str {
        self.arn.resource.split('/').nth(1).unwrap_or_default()
    }

    /// The stream's ARN, without a consumer.
    pub fn stream_arn(&self) -> String {
        Arn { resource: format!("stream/{}", self.stream()), ..self.arn.clone() }.to_string()
    }

    /// What failure records say of its batches: the stream's ARN, even where a consumer reads it.
    pub fn batch_info(&self) -> BatchInfo {
        BatchInfo::kinesis(self.stream_arn())
    }

    /// Whether the mapping names a consumer: enhanced fan-out.
    pub fn is_consumer(&self) -> bool {
        self.arn.resource.contains("/consumer/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_and_consumers_are_told_apart() {
        let config = |text: &str| Config::new(text.parse().unwrap(), "m");
        let stream = config("arn:aws:kinesis:us-east-1:123456789012:stream/orders").unwrap();
        assert_eq!((stream.stream(), stream.is_consumer()), ("orders", false));
        assert_eq!(stream.role, "arn:aws:iam::123456789012:role/klr");
        let consumer = "arn:aws:kinesis:us-east-1:123456789012:stream/orders/consumer/app:1700000000";
        let consumer = config(consumer).unwrap();
        assert_eq!((consumer.stream(), consumer.is_consumer()), ("orders", true));
        assert_eq!(consumer.stream_arn(), "arn:aws:kinesis:us-east-1:123456789012:stream/orders");
        for wrong in [
            "arn:aws:kinesis:us-east-1:1:stream/",
            "arn:aws:kinesis:us-east-1:1:streams/a",
            "arn:aws:sqs:us-east-1:1:stream/a",
        ] {
            assert!(config(wrong).is_err(), "{wrong}");
        }
    }
}
