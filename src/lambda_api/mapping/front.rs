//! The front door: what the request's model alone says is wrong, all of it at once.

use std::ops::RangeInclusive;

use super::{
    super::body::{Constraints, Pattern},
    settings::{Access, Destination, Filter, Kafka, Metrics, Settings},
};

static ARN: Pattern = Pattern::new(
    r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)",
);
static DESTINATION: Pattern = Pattern::new(
    r"$|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)",
);
static KMS: Pattern = Pattern::new(r"(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()");
static TOPIC: Pattern = Pattern::new(r"[^.]([a-zA-Z0-9\-_.]+)");
static URI: Pattern = Pattern::new(r"[ a-zA-Z0-9-\/*:_+=.@-]*");
static ENDPOINT: Pattern = Pattern::new(
    r"(([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9\-]*[a-zA-Z0-9])\.)*([A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9\-]*[A-Za-z0-9]):[0-9]{1,5}",
);
static GROUP: Pattern = Pattern::new(r"[a-zA-Z0-9-_]*");

/// AWS's own order, as it was seen.
const POSITIONS: [&str; 3] = ["LATEST", "AT_TIMESTAMP", "TRIM_HORIZON"];
const ACCESS: [&str; 15] = [
    "BASIC_AUTH",
    "VPC_SUBNET",
    "VPC_SECURITY_GROUP",
    "SASL_SCRAM_512_AUTH",
    "SASL_SCRAM_256_AUTH",
    "VIRTUAL_HOST",
    "CLIENT_CERTIFICATE_TLS_AUTH",
    "SERVER_ROOT_CA_CERTIFICATE",
    "OAUTHBEARER_AUTH",
    "OAUTHBEARER_SCOPE",
    "OAUTHBEARER_AUDIENCE",
    "OAUTHBEARER_LOGICAL_CLUSTER",
    "OAUTHBEARER_IDENTITY_POOL",
    "IAM_AUTH",
    "IAM_OAUTHBEARER_AUTH",
];
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
    sources(settings, constraints);
}

/// `EventSourceArn`.
pub(super) fn source(arn: &str, constraints: &mut Constraints) {
    // Where DynamoDB Local says its streams are; AWS has no such region.
    if !arn.starts_with("arn:aws:dynamodb:ddblocal:") {
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

fn sources(settings: &Settings, constraints: &mut Constraints) {
    if let Some(topics) = &settings.topics {
        constraints.members("topics", topics, 1..=1);
        for topic in topics {
            constraints.length("topics.1.member", topic, 1..=249);
            constraints.pattern("topics.1.member", topic, &TOPIC);
        }
    }
    if let Some(queues) = &settings.queues {
        constraints.members("queues", queues, 1..=1);
        queues.iter().for_each(|queue| constraints.length("queues.1.member", queue, 1..=1000));
    }
    for (nth, access) in settings.source_access_configurations.iter().flatten().enumerate() {
        one_access(&format!("sourceAccessConfigurations.{}.member", nth + 1), access, constraints);
    }
    if let Some(own) = &settings.self_managed_event_source {
        for (nth, broker) in own.brokers().iter().enumerate() {
            let field =
                format!("selfManagedEventSource.endpoints.KAFKA_BOOTSTRAP_SERVERS.member.{}.member", nth + 1);
            constraints.length(&field, broker, 1..=300);
            constraints.pattern(&field, broker, &ENDPOINT);
        }
    }
    let clusters = [
        ("amazonManagedKafkaEventSourceConfig", &settings.amazon_managed_kafka_event_source_config),
        ("selfManagedKafkaEventSourceConfig", &settings.self_managed_kafka_event_source_config),
    ];
    for (field, config) in clusters {
        if let Some(config) = config {
            cluster(field, config, constraints);
        }
    }
}

fn one_access(field: &str, access: &Access, constraints: &mut Constraints) {
    if let Some(kind) = &access.r#type {
        constraints.one_of(&format!("{field}.type"), kind, &ACCESS);
    }
    if let Some(uri) = &access.uri {
        let field = format!("{field}.uRI");
        constraints.length(&field, uri, 1..=200);
        constraints.pattern(&field, uri, &URI);
    }
}

fn cluster(field: &str, config: &Kafka, constraints: &mut Constraints) {
    if let Some(group) = &config.consumer_group_id {
        let field = format!("{field}.consumerGroupId");
        constraints.length(&field, group, 1..=200);
        constraints.pattern(&field, group, &URI);
    }
    if let Some(mode) = &config.consumption_mode {
        constraints.one_of(&format!("{field}.consumptionMode"), mode, &["Stream", "Queue"]);
    }
    let registry = config.schema_registry_config.as_ref();
    if let Some(format) = registry.and_then(|registry| registry.event_record_format.as_ref()) {
        constraints.one_of(
            &format!("{field}.schemaRegistryConfig.eventRecordFormat"),
            format,
            &["JSON", "SOURCE"],
        );
    }
}
