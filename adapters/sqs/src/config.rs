//! What a mapping says about its queue.

/// An SQS queue to read. Valid by construction: the root's `config` checks what a user wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `arn:PARTITION:sqs:REGION:ACCOUNT:NAME`; goes into every record as `eventSourceARN`.
    pub arn: String,
    /// Region of the ARN; goes into every record as `awsRegion`.
    pub region: String,
    /// Account of the ARN, the queue's owner.
    pub account: String,
    /// Name of the queue; ends in `.fifo` for FIFO.
    pub name: String,
    /// Any SQS-compatible server; unset, the AWS chain's (`AWS_ENDPOINT_URL_SQS`, …).
    pub endpoint: Option<String>,
    /// AWS: with a batching window of a second or more `md5OfMessageAttributes` is `null` on a message without
    /// attributes; without a window the member is missing.
    pub windowed: bool,
}

impl Config {
    /// Whether the queue is FIFO.
    pub fn fifo(&self) -> bool {
        self.name.ends_with(".fifo")
    }
}
