//! Settings without a meaning here: checked as AWS checks them, then left alone. None changes what a function sees.

use super::{kind::Kind, maximum_concurrency};
use crate::config::{name, node::Fields};

/// Checks them.
pub(super) fn check(spec: &Fields, kind: Kind) {
    for field in ["kMSKeyArn", "kmsKeyArn"] {
        if let Some(node) = spec.get(field) {
            let text = node.text().unwrap_or_default();
            if !text.is_empty() && name::Arn::parse(text).is_none_or(|arn| arn.service != "kms") {
                node.wrong("must be the ARN of a KMS key, or empty");
            }
        }
    }
    for (_, tag) in spec.get("tags").and_then(|node| node.entries()).into_iter().flatten() {
        tag.text();
    }
    if let Some(logging) = spec.get("loggingConfig").and_then(|node| node.fields(&["systemLogLevel"])) {
        logging
            .get("systemLogLevel")
            .and_then(|node| node.one_of(&[("DEBUG", ()), ("INFO", ()), ("WARN", ())]));
    }
    metrics(spec, kind);
    pollers(spec, kind);
}

fn metrics(spec: &Fields, kind: Kind) {
    let Some(metrics) = spec.get("metricsConfig").and_then(|node| node.fields(&["metrics"])) else {
        return;
    };
    for node in metrics.get("metrics").and_then(|node| node.items()).into_iter().flatten() {
        let group = node.one_of(&[("EventCount", false), ("ErrorCount", true), ("KafkaMetrics", true)]);
        if group == Some(true) && !kind.kafka() {
            node.wrong("is for Kafka only; SQS has EventCount");
        }
    }
}

fn pollers(spec: &Fields, kind: Kind) {
    let Some(node) = spec.get("provisionedPollerConfig") else {
        return;
    };
    let Some(config) = node.fields(&["minimumPollers", "maximumPollers", "pollerGroupName"]) else {
        return;
    };
    let least = if kind.kafka() { 1 } else { 2 };
    let minimum = config.get("minimumPollers").and_then(|node| node.whole(least..=200));
    let maximum = config.get("maximumPollers").and_then(|node| node.whole(least..=10_000));
    if let (Some(minimum), Some(maximum)) = (minimum, maximum)
        && minimum > maximum
    {
        node.wrong("maximumPollers must be at least minimumPollers");
    }
    if let Some(group) = config.get("pollerGroupName") {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !kind.kafka() {
            group.wrong("is for Kafka only; remove it");
        } else if group.text().is_some_and(|text| text.len() > 128 || !text.chars().all(allowed)) {
            group.wrong("must be at most 128 letters, digits, - and _");
        }
    }
    if (minimum.is_some() || maximum.is_some()) && maximum_concurrency(spec).is_some() {
        node.wrong("cannot be combined with scalingConfig.maximumConcurrency; use one of the two");
    }
}
