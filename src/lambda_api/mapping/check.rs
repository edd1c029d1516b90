//! What AWS refuses of a mapping's settings, in AWS's words and in the order in which it looks.
//!
//! The front door's own constraints (lengths, ranges, enumerations) have been checked before ([`front`](super::front)); what this
//! version cannot do, and what only a file could say wrong, is found after, when [`config`](crate::config) reads it. An answer
//! nobody has seen on AWS follows the pattern of those that were.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    super::name::Identity,
    front::DYNAMODB_LOCAL,
    kind::Kind,
    settings::{Pollers, Settings},
};
use crate::mapping::filter;

/// Why it is refused: the message of an `InvalidParameterValueException`.
pub(super) type Refused = String;

/// AWS's words where a source does not have a setting; the destination's are older and have no quotes.
pub(super) const DESTINATION: &str =
    "Unsupported DestinationConfig parameter for given event source mapping type.";

/// What the front door lets through, as its range begins at -1.
const AGE: &str =
    "MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800 (inclusive)";

/// The kind of mapping these settings make, if AWS takes them.
pub(super) fn settings(settings: &Settings, now: Timestamp) -> Result<Kind, Refused> {
    // Looked at before the source itself, and before the function.
    if settings.destination_config.as_ref().is_some_and(|config| config.on_success.is_some()) {
        return Err(DESTINATION.into());
    }
    let kind = Kind::of(settings).ok_or("Unrecognized event source.")?;
    if settings.event_source_arn.is_some() && settings.self_managed_event_source.is_some() {
        return Err(
            "Unsupported 'selfManagedEventSource' parameter for given event source mapping type.".into()
        );
    }
    required(settings, kind)?;
    unsupported(settings, kind)?;
    start(settings, kind, now)?;
    batches(settings, kind)?;
    limits(settings, kind)?;
    filters(settings, kind)?;
    Ok(kind)
}

/// Whether the source is where the function is: AWS reads queues and streams of its own region, whoever they belong to.
pub(super) fn place(settings: &Settings, kind: Kind, identity: &Identity) -> Result<(), Refused> {
    let regional = kind == Kind::Sqs || kind.stream();
    let Some(arn) = settings.event_source_arn.as_deref().filter(|_| regional) else { return Ok(()) };
    let mut parts = arn.split(':').skip(1);
    let (partition, region) = (parts.next(), parts.nth(1));
    let here = partition == Some(identity.partition()) && region == Some(identity.region.as_str());
    if here || arn.starts_with(DYNAMODB_LOCAL) {
        return Ok(());
    }
    Err(format!("Event source region must match Lambda region {}", identity.region))
}

fn required(settings: &Settings, kind: Kind) -> Result<(), Refused> {
    let missing = [
        (
            "sourceAccessConfigurations",
            kind == Kind::SelfManaged && settings.source_access_configurations.is_none(),
        ),
        ("topics", kind.kafka() && settings.topics.is_none()),
        ("queues", kind == Kind::Mq && settings.queues.is_none()),
    ];
    match missing.into_iter().find(|(_, missing)| *missing) {
        Some((name, _)) => Err(format!("Required '{name}' parameter is missing.")),
        None => Ok(()),
    }
}

/// Which sources have which settings.
fn unsupported(settings: &Settings, kind: Kind) -> Result<(), Refused> {
    let stream = kind.stream();
    let retries = stream || kind.kafka();
    if kind == Kind::Sqs
        && (settings.starting_position.is_some() || settings.starting_position_timestamp.is_some())
    {
        return Err("StartingPosition is not valid for SQS event sources.".into());
    }
    if settings.destination_config.is_some() && !retries {
        return Err(DESTINATION.into());
    }
    let asked = [
        ("startingPosition", settings.starting_position.is_some() && !kind.log()),
        ("parallelizationFactor", settings.parallelization_factor.is_some() && !stream),
        ("tumblingWindowInSeconds", settings.tumbling_window_in_seconds.is_some() && !stream),
        ("maximumRecordAgeInSeconds", settings.maximum_record_age_in_seconds.is_some() && !retries),
        ("maximumRetryAttempts", settings.maximum_retry_attempts.is_some() && !retries),
        ("bisectBatchOnFunctionError", settings.bisect_batch_on_function_error.is_some() && !retries),
        ("functionResponseTypes", reports(settings) && matches!(kind, Kind::Mq | Kind::DocumentDb)),
        ("filterCriteria", settings.filter_criteria.is_some() && kind == Kind::DocumentDb),
        ("topics", settings.topics.is_some() && !kind.kafka()),
        ("queues", settings.queues.is_some() && kind != Kind::Mq),
        (
            "sourceAccessConfigurations",
            settings.source_access_configurations.is_some() && (stream || kind == Kind::Sqs),
        ),
        ("scalingConfig", settings.scaling_config.is_some() && kind != Kind::Sqs),
        (
            "provisionedPollerConfig",
            settings.provisioned_poller_config.is_some() && !(kind.kafka() || kind == Kind::Sqs),
        ),
        ("loggingConfig", settings.logging_config.is_some() && !kind.kafka()),
        (
            "amazonManagedKafkaEventSourceConfig",
            settings.amazon_managed_kafka_event_source_config.is_some() && kind != Kind::Msk,
        ),
        (
            "selfManagedKafkaEventSourceConfig",
            settings.self_managed_kafka_event_source_config.is_some() && kind != Kind::SelfManaged,
        ),
        (
            "documentDBEventSourceConfig",
            settings.document_db_event_source_config.is_some() && kind != Kind::DocumentDb,
        ),
    ];
    match asked.into_iter().find(|(_, asked)| *asked) {
        Some((name, _)) => {
            Err(format!("Unsupported '{name}' parameter for given event source mapping type."))
        }
        None => Ok(()),
    }
}

fn reports(settings: &Settings) -> bool {
    settings.function_response_types.as_ref().is_some_and(|types| !types.is_empty())
}

/// Where a log begins.
fn start(settings: &Settings, kind: Kind, now: Timestamp) -> Result<(), Refused> {
    if !kind.log() {
        return Ok(());
    }
    let Some(position) = settings.starting_position.as_deref() else {
        return Err(
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: \
                    Member must not be null."
                .into(),
        );
    };
    match (position, &settings.starting_position_timestamp) {
        ("AT_TIMESTAMP", _) if kind == Kind::DynamoDb => {
            let arn = settings.event_source_arn.as_deref().unwrap_or_default();
            Err(format!("Unsupported starting position for arn type: {arn}"))
        }
        ("AT_TIMESTAMP", None) => Err("Need to specify a timestamp".into()),
        ("AT_TIMESTAMP", Some(time)) if moment(time).is_some_and(|time| time > now) => {
            Err("StartingPositionTimestamp must not be in the future.".into())
        }
        ("AT_TIMESTAMP", Some(_)) | (_, None) => Ok(()),
        (_, Some(_)) => {
            Err("StartingPositionTimestamp is only valid with StartingPosition AT_TIMESTAMP.".into())
        }
    }
}

/// Seconds since 1970, or ISO 8601.
fn moment(time: &Value) -> Option<Timestamp> {
    match time {
        Value::Number(seconds) => {
            Timestamp::from_millisecond((seconds.as_f64()? * 1000.0).round() as i64).ok()
        }
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn batches(settings: &Settings, kind: Kind) -> Result<(), Refused> {
    if kind != Kind::Sqs {
        return Ok(());
    }
    let fifo = settings.event_source_arn.as_ref().is_some_and(|arn| arn.ends_with(".fifo"));
    let window = settings.maximum_batching_window_in_seconds.unwrap_or(0);
    if fifo && window > 0 {
        return Err("Batching window is not supported for FIFO queues".into());
    }
    if settings.batch_size.unwrap_or(10) > 10 && window == 0 {
        return Err(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
                .into(),
        );
    }
    Ok(())
}

fn limits(settings: &Settings, kind: Kind) -> Result<(), Refused> {
    if settings.maximum_record_age_in_seconds.is_some_and(|age| (0..60).contains(&age)) {
        return Err(AGE.into());
    }
    let Some(pollers) = settings.provisioned_poller_config.as_ref().filter(|it| **it != Pollers::default())
    else {
        return Ok(());
    };
    let least = if kind == Kind::Sqs { 2 } else { 1 };
    let (minimum, maximum) =
        (pollers.minimum_pollers.unwrap_or(least), pollers.maximum_pollers.unwrap_or(200));
    if minimum < least || maximum < least {
        return Err(format!("MinimumPollers and MaximumPollers must be at least {least}."));
    }
    if minimum > maximum {
        return Err("MinimumPollers must be less than or equal to MaximumPollers.".into());
    }
    if settings.scaling_config.as_ref().is_some_and(|scaling| scaling.maximum_concurrency.is_some()) {
        return Err("MaximumConcurrency and ProvisionedPollerConfig cannot be set together.".into());
    }
    Ok(())
}

fn filters(settings: &Settings, kind: Kind) -> Result<(), Refused> {
    let filters = settings.filter_criteria.as_ref().and_then(|criteria| criteria.filters.as_ref());
    let (Some(filters), Some(source)) = (filters, kind.pattern_source()) else { return Ok(()) };
    for one in filters {
        let pattern = one.pattern.as_deref().and_then(|text| filter::read(text, source, false).ok());
        pattern.ok_or("Invalid filter pattern definition.")?;
    }
    if filters.len() > filter::FILTERS {
        return Err(format!("The number of filters must be less than or equal to {}.", filter::FILTERS));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const QUEUE: &str = "arn:aws:sqs:us-east-1:000000000000:q";
    const STREAM: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/s";
    const TABLE: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026-01-01T00:00:00.000";
    const MSK: &str = "arn:aws:kafka:us-east-1:000000000000:cluster/c/0f1e-2";

    fn check(mut request: Value) -> Result<Kind, Refused> {
        if let Some(arn) = request.as_object_mut().unwrap().remove("arn") {
            request["EventSourceArn"] = arn;
        }
        settings(&serde_json::from_value(request).unwrap(), "2026-11-23T00:00:00Z".parse().unwrap())
    }

    /// Every answer of this page, each with the least that brings it about.
    #[test]
    fn what_aws_refuses_is_refused_in_its_words() {
        let own = json!({"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["kafka:1000"]}});
        let unsupported =
            |name: &str| format!("Unsupported '{name}' parameter for given event source mapping type.");
        let null = "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member \
                    must not be null.";
        let window =
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10";
        let pattern = "Invalid filter pattern definition.";
        let filter = |text: &str| json!({"Filters": [{"Pattern": text}]});
        let table: Vec<(Value, String)> = vec![
            (json!({}), "Unrecognized event source.".into()),
            (json!({"arn": "arn:aws:s3:::b"}), "Unrecognized event source.".into()),
            (json!({"DestinationConfig": {"OnSuccess": {"Destination": QUEUE}}}), DESTINATION.into()),
            (
                json!({"arn": QUEUE, "DestinationConfig": {"OnFailure": {"Destination": QUEUE}}}),
                DESTINATION.into(),
            ),
            (
                json!({"SelfManagedEventSource": own}),
                "Required 'sourceAccessConfigurations' parameter is missing.".into(),
            ),
            (json!({"arn": QUEUE, "SelfManagedEventSource": own}), unsupported("selfManagedEventSource")),
            (
                json!({"arn": MSK, "StartingPosition": "LATEST"}),
                "Required 'topics' parameter is missing.".into(),
            ),
            (
                json!({"arn": QUEUE, "StartingPosition": "LATEST"}),
                "StartingPosition is not valid for SQS event sources.".into(),
            ),
            (json!({"arn": QUEUE, "ParallelizationFactor": 1}), unsupported("parallelizationFactor")),
            (json!({"arn": QUEUE, "TumblingWindowInSeconds": 0}), unsupported("tumblingWindowInSeconds")),
            (json!({"arn": QUEUE, "MaximumRetryAttempts": 1}), unsupported("maximumRetryAttempts")),
            (
                json!({"arn": QUEUE, "MaximumRecordAgeInSeconds": -1}),
                unsupported("maximumRecordAgeInSeconds"),
            ),
            (
                json!({"arn": QUEUE, "BisectBatchOnFunctionError": true}),
                unsupported("bisectBatchOnFunctionError"),
            ),
            (json!({"arn": QUEUE, "Topics": ["t"]}), unsupported("topics")),
            (
                json!({"arn": STREAM, "StartingPosition": "LATEST", "ScalingConfig": {"MaximumConcurrency": 2}}),
                unsupported("scalingConfig"),
            ),
            (json!({"arn": STREAM, "StartingPosition": "LATEST", "Queues": ["q"]}), unsupported("queues")),
            (json!({"arn": STREAM}), null.into()),
            (json!({"arn": TABLE}), null.into()),
            (
                json!({"arn": TABLE, "StartingPosition": "AT_TIMESTAMP"}),
                format!("Unsupported starting position for arn type: {TABLE}"),
            ),
            (
                json!({"arn": STREAM, "StartingPosition": "AT_TIMESTAMP"}),
                "Need to specify a timestamp".into(),
            ),
            (
                json!({"arn": STREAM, "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 4e9}),
                "StartingPositionTimestamp must not be in the future.".into(),
            ),
            (json!({"arn": QUEUE, "BatchSize": 11}), window.into()),
            (json!({"arn": format!("{QUEUE}.fifo"), "BatchSize": 11}), window.into()),
            (
                json!({"arn": format!("{QUEUE}.fifo"), "MaximumBatchingWindowInSeconds": 1}),
                "Batching window is not supported for FIFO queues".into(),
            ),
            (
                json!({"arn": STREAM, "StartingPosition": "LATEST", "MaximumRecordAgeInSeconds": 59}),
                AGE.into(),
            ),
            (json!({"arn": QUEUE, "FilterCriteria": filter("null")}), pattern.into()),
            (json!({"arn": QUEUE, "FilterCriteria": filter("single-string")}), pattern.into()),
            (
                json!({"arn": QUEUE, "FilterCriteria": filter(r#"{"eventSource": "aws:sqs"}"#)}),
                pattern.into(),
            ),
            (json!({"arn": QUEUE, "FilterCriteria": {"Filters": [{}]}}), pattern.into()),
            (
                json!({"arn": QUEUE, "ProvisionedPollerConfig": {"MinimumPollers": 1}}),
                "MinimumPollers and MaximumPollers must be at least 2.".into(),
            ),
            (
                json!({"arn": QUEUE, "ProvisionedPollerConfig": {"MinimumPollers": 9, "MaximumPollers": 8}}),
                "MinimumPollers must be less than or equal to MaximumPollers.".into(),
            ),
        ];
        for (request, words) in table {
            assert_eq!(check(request.clone()), Err(words), "{request}");
        }
    }

    #[test]
    fn what_aws_takes_is_taken() {
        for (request, kind) in [
            (json!({"arn": QUEUE}), Kind::Sqs),
            (json!({"arn": QUEUE, "BatchSize": 11, "MaximumBatchingWindowInSeconds": 1}), Kind::Sqs),
            (json!({"arn": QUEUE, "FilterCriteria": {"Filters": []}}), Kind::Sqs),
            (json!({"arn": QUEUE, "FunctionResponseTypes": []}), Kind::Sqs),
            (
                json!({"arn": STREAM, "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1.5e9}),
                Kind::Kinesis,
            ),
            (
                json!({"arn": TABLE, "StartingPosition": "TRIM_HORIZON", "MaximumRecordAgeInSeconds": 60}),
                Kind::DynamoDb,
            ),
            (json!({"arn": MSK, "StartingPosition": "LATEST", "Topics": ["t"]}), Kind::Msk),
        ] {
            assert_eq!(check(request.clone()), Ok(kind), "{request}");
        }
    }
}
