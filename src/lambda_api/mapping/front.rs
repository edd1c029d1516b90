//! The front door: what the request's model alone says is wrong, all of it at once.

mod sources;

use std::ops::RangeInclusive;

use super::{
    super::body::{Constraints, Pattern},
    settings::{Destination, Filter, Metrics, Settings},
};

static ARN: Pattern = Pattern::new(
    r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)",
);
static DESTINATION: Pattern = Pattern::new(
    r"$|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)",
);
static KMS: Pattern = Pattern::new(r"(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()");
/// Where DynamoDB Local says its streams are; AWS has no such region.
pub(super) const DYNAMODB_LOCAL: &str = "arn:aws:dynamodb:ddblocal:";
static GROUP: Pattern = Pattern::new(r"[a-zA-Z0-9-_]*");

/// AWS's own order, as it was seen.
const POSITIONS: [&str; 3] = ["LATEST", "AT_TIMESTAMP", "TRIM_HORIZON"];
const METRICS: [&str; 3] = ["EventCount", "ErrorCount", "KafkaMetrics"];
const LEVELS: [&str; 3] = ["DEBUG", "INFO", "WARN"];

/// Notes what is wrong with the settings.
pub(super) fn constrain(settings: &Settings, constraints: &mut Constraints) {
    if let Some(arn) = &settings.event_source_arn {
        source(arn, constraints);
    }
    numbers(settings, constraints);
    if let Some(position) = &settings.starting_position {
        constraints.one_of("startingPosition", position, &POSITIONS);
    }
    destinations(settings, constraints);
    let filters = settings.filter_criteria.as_ref().and_then(|criteria| criteria.filters.as_deref());
    for (nth, Filter { pattern }) in filters.unwrap_or_default().iter().enumerate() {
        let field = format!("filterCriteria.filters.{}.member.pattern", nth + 1);
        constraints.length(&field, pattern.as_deref().unwrap_or_default(), 0..=4096);
    }
    if let Some(key) = &settings.kms_key_arn {
        constraints.pattern("kMSKeyArn", key, &KMS);
    }
    if let Some(types) = &settings.function_response_types {
        constraints.members("functionResponseTypes", types, 0..=1);
        words("functionResponseTypes", types, &["ReportBatchItemFailures"], constraints);
    }
    if let Some(Metrics { metrics: Some(metrics) }) = &settings.metrics_config {
        constraints.members("metricsConfig.metrics", metrics, 0..=3);
        words("metricsConfig.metrics", metrics, &METRICS, constraints);
    }
    if let Some(level) =
        settings.logging_config.as_ref().and_then(|logging| logging.system_log_level.as_ref())
    {
        constraints.one_of("loggingConfig.systemLogLevel", level, &LEVELS);
    }
    if let Some(name) =
        settings.provisioned_poller_config.as_ref().and_then(|it| it.poller_group_name.as_ref())
    {
        let field = "provisionedPollerConfig.pollerGroupName";
        constraints.length(field, name, 0..=128);
        constraints.pattern(field, name, &GROUP);
    }
    sources::constrain(settings, constraints);
}

/// `EventSourceArn`.
pub(super) fn source(arn: &str, constraints: &mut Constraints) {
    if !arn.starts_with(DYNAMODB_LOCAL) {
        constraints.pattern("eventSourceArn", arn, &ARN);
    }
}

fn numbers(settings: &Settings, constraints: &mut Constraints) {
    let pollers = settings.provisioned_poller_config.as_ref();
    let scaling = settings.scaling_config.as_ref();
    let numbers: [(&str, Option<i64>, RangeInclusive<i64>); 9] = [
        ("batchSize", settings.batch_size, 1..=10_000),
        ("maximumBatchingWindowInSeconds", settings.maximum_batching_window_in_seconds, 0..=300),
        ("parallelizationFactor", settings.parallelization_factor, 1..=10),
        ("maximumRecordAgeInSeconds", settings.maximum_record_age_in_seconds, -1..=604_800),
        ("maximumRetryAttempts", settings.maximum_retry_attempts, -1..=10_000),
        ("tumblingWindowInSeconds", settings.tumbling_window_in_seconds, 0..=900),
        ("scalingConfig.maximumConcurrency", scaling.and_then(|it| it.maximum_concurrency), 2..=1000),
        ("provisionedPollerConfig.minimumPollers", pollers.and_then(|it| it.minimum_pollers), 1..=200),
        ("provisionedPollerConfig.maximumPollers", pollers.and_then(|it| it.maximum_pollers), 1..=10_000),
    ];
    for (field, value, allowed) in numbers {
        if let Some(value) = value {
            constraints.within(field, value, allowed);
        }
    }
}

fn destinations(settings: &Settings, constraints: &mut Constraints) {
    let Some(config) = &settings.destination_config else { return };
    for (field, to) in [("onSuccess", &config.on_success), ("onFailure", &config.on_failure)] {
        if let Some(Destination { destination: Some(arn) }) = to {
            let field = format!("destinationConfig.{field}.destination");
            constraints.length(&field, arn, 0..=350);
            constraints.pattern(&field, arn, &DESTINATION);
        }
    }
}

/// Members of a list that are none of the words.
fn words(field: &str, list: &[String], known: &[&str], constraints: &mut Constraints) {
    if list.iter().any(|word| !known.contains(&word.as_str())) {
        let constraint = format!(
            "Member must satisfy constraint: [Member must satisfy enum value set: [{}]]",
            known.join(", ")
        );
        constraints.broken(field, format!("[{}]", list.join(", ")), constraint);
    }
}
