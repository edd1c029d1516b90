//! Where verdicts go.

mod aws;

use async_trait::async_trait;

use super::{
    event::{Errand, Event, Verdict},
    handle::LARGEST,
};
pub use aws::Aws;

/// Takes records of what became of events, and the events themselves where their function has a dead-letter queue.
#[async_trait]
pub trait Destinations: Send + Sync {
    /// Sends one to the resource of this ARN. `Ok`: it has it, and will not lose it.
    async fn send(
        &self,
        to: &str,
        event: &Event,
        verdict: &Verdict,
        errand: Errand,
    ) -> Result<(), klr_contract::Error>;
}

/// What an ARN is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sqs,
    Sns,
    S3,
    EventBridge,
    Function,
}

impl Kind {
    fn of(arn: &str) -> Option<Self> {
        let mut parts = arn.split(':');
        if parts.next() != Some("arn") {
            return None;
        }
        match parts.nth(1)? {
            "sqs" => Some(Self::Sqs),
            "sns" => Some(Self::Sns),
            "s3" => Some(Self::S3),
            "events" => Some(Self::EventBridge),
            "lambda" => Some(Self::Function),
            _ => None,
        }
    }

    /// Bytes a record may have there. AWS: a message of SQS 1 MiB, of SNS 256 KiB; an entry of EventBridge 1 MiB, of which the
    /// envelope is a part.
    fn most(self) -> usize {
        match self {
            Self::Sqs | Self::Function => LARGEST,
            Self::Sns => 256 << 10,
            Self::EventBridge => (1 << 20) - (4 << 10),
            Self::S3 => usize::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_are_told_apart() {
        for (arn, kind) in [
            ("arn:aws:sqs:us-east-1:1:q", Some(Kind::Sqs)),
            ("arn:aws:sns:us-east-1:1:t", Some(Kind::Sns)),
            ("arn:aws-cn:s3:::b", Some(Kind::S3)),
            ("arn:aws:events:us-east-1:1:event-bus/default", Some(Kind::EventBridge)),
            ("arn:aws:lambda:us-east-1:1:function:f:live", Some(Kind::Function)),
            ("arn:aws:kinesis:us-east-1:1:stream/s", None),
            ("orders", None),
        ] {
            assert_eq!(Kind::of(arn), kind, "{arn}");
        }
    }

    #[test]
    fn a_bus_takes_as_much_as_a_queue_but_for_the_envelope() {
        assert_eq!(Kind::Sqs.most() - Kind::EventBridge.most(), 4096);
        assert_eq!(Kind::Sns.most(), 262_144);
    }
}
