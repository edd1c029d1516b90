//! What an SQS mapping says about its queue.

use std::time::Duration;

use super::mapping::Source;
use super::name::Arn;
use super::node::{Fields, Node};

/// The queue of a mapping, with AWS's rules on its batches.
pub(super) fn read(spec: &Fields, batch_size: usize, window: Duration) -> Option<Source> {
    let queue = queue(&spec.get("eventSourceArn")?);
    let endpoint = spec.get("endpoint").and_then(|node| super::endpoint(&node));
    if queue.as_ref()?.fifo() {
        if let Some(node) = spec.get("batchSize").filter(|_| batch_size > 10) {
            node.wrong(format!("must be at most 10 for a FIFO queue, is {batch_size}"));
        }
        if let Some(node) = spec.get("maximumBatchingWindowInSeconds").filter(|_| !window.is_zero()) {
            node.wrong("a FIFO queue has no batching window; remove it");
        }
    } else if let Some(node) = spec.get("batchSize").filter(|_| batch_size > 10 && window.is_zero()) {
        node.wrong(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10. Set \
             maximumBatchingWindowInSeconds",
        );
    }
    Some(Source::Sqs(config(&queue?, endpoint, !window.is_zero())))
}

/// A queue as its ARN names it.
pub(super) struct Queue<'a> {
    arn: &'a str,
    parts: Arn<'a>,
}

impl Queue<'_> {
    fn fifo(&self) -> bool {
        self.parts.resource.ends_with(".fifo")
    }
}

pub(super) fn queue<'a>(node: &Node<'a>) -> Option<Queue<'a>> {
    let arn = node.text()?;
    let named = |name: &str| {
        let stem = name.strip_suffix(".fifo").unwrap_or(name);
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !stem.is_empty() && name.len() <= 80 && stem.chars().all(allowed)
    };
    let parts = Arn::parse(arn).filter(|parts| parts.service == "sqs" && !parts.region.is_empty());
    match parts.filter(|parts| Arn::is_account(parts.account) && named(parts.resource)) {
        Some(parts) => Some(Queue { arn, parts }),
        None => node.refuse("must be a queue's ARN, as arn:aws:sqs:us-east-1:123456789012:orders"),
    }
}

/// The adapter's configuration.
pub(super) fn config(queue: &Queue, endpoint: Option<String>, windowed: bool) -> klr_sqs::Config {
    let Arn { region, account, resource, .. } = queue.parts;
    let [arn, region, account, name] = [queue.arn, region, account, resource].map(str::to_owned);
    klr_sqs::Config { arn, region, account, name, endpoint, windowed }
}

/// AWS's words where `b` reads for `function` what `a` reads for it already.
pub(super) fn conflict(
    a: &klr_sqs::Config,
    b: &klr_sqs::Config,
    function: &str,
) -> Option<(&'static str, String)> {
    let arn = &b.arn;
    let text = format!(r#"An event source mapping with SQS arn (" {arn} ") and function (" {function} ")"#);
    ((&a.arn, &a.endpoint) == (&b.arn, &b.endpoint)).then_some(("spec.eventSourceArn", text))
}
