//! Which of AWS's parameter tables a mapping follows, and the settings that only some of them have.

use crate::{
    config::{name, node::Fields, not_yet},
    pattern,
};

/// Which of AWS's parameter tables applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Kind {
    Sqs,
    Msk,
    SelfManaged,
    Kinesis,
    DynamoDb,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sqs => "SQS",
            Self::Msk => "Amazon MSK",
            Self::SelfManaged => "self-managed Kafka",
            Self::Kinesis => "Kinesis",
            Self::DynamoDb => "DynamoDB Streams",
        }
    }

    /// Where a filter's pattern finds its records' data.
    pub(super) fn pattern_source(self) -> pattern::Source {
        match self {
            Self::Sqs => pattern::Source::Sqs,
            Self::Msk | Self::SelfManaged => pattern::Source::Kafka,
            Self::Kinesis => pattern::Source::Kinesis,
            Self::DynamoDb => pattern::Source::DynamoDb,
        }
    }

    pub(super) fn kafka(self) -> bool {
        matches!(self, Self::Msk | Self::SelfManaged)
    }
}

pub(super) const FIELDS: &[&str] = &[
    "amazonManagedKafkaEventSourceConfig",
    "batchSize",
    "bisectBatchOnFunctionError",
    "destinationConfig",
    "documentDBEventSourceConfig",
    "enabled",
    "endpoint",
    "eventSourceArn",
    "filterCriteria",
    "functionName",
    "functionResponseTypes",
    "kMSKeyArn",
    "kmsKeyArn",
    "lambda",
    "loggingConfig",
    "maximumBatchingWindowInSeconds",
    "maximumRecordAgeInSeconds",
    "maximumRetryAttempts",
    "metricsConfig",
    "onDestinationError",
    "onLostPosition",
    "parallelizationFactor",
    "provisionedPollerConfig",
    "queues",
    "scalingConfig",
    "selfManagedEventSource",
    "selfManagedKafkaEventSourceConfig",
    "sink",
    "sourceAccessConfigurations",
    "startingPosition",
    "startingPositionTimestamp",
    "tags",
    "topics",
    "tumblingWindowInSeconds",
];

/// Settings that only some sources have. AWS refuses most of them elsewhere, and passes over none we know of.
const ONLY: &[(&str, &[Kind], &str)] = {
    const KAFKA: &[Kind] = &[Kind::Msk, Kind::SelfManaged];
    const STREAMS: &[Kind] = &[Kind::Kinesis, Kind::DynamoDb];
    const LOGS: &[Kind] = &[Kind::Msk, Kind::SelfManaged, Kind::Kinesis, Kind::DynamoDb];
    const CALLED: &[Kind] = &[Kind::Sqs, Kind::Msk, Kind::Kinesis, Kind::DynamoDb];
    &[
        ("amazonManagedKafkaEventSourceConfig", &[Kind::Msk], "Amazon MSK"),
        ("bisectBatchOnFunctionError", LOGS, "streams and Kafka"),
        ("documentDBEventSourceConfig", &[], "DocumentDB"),
        ("endpoint", CALLED, "SQS, Amazon MSK and streams"),
        ("loggingConfig", KAFKA, "Kafka"),
        ("maximumRecordAgeInSeconds", LOGS, "streams and Kafka"),
        ("maximumRetryAttempts", LOGS, "streams and Kafka"),
        ("onDestinationError", LOGS, "streams and Kafka"),
        ("onLostPosition", STREAMS, "Kinesis and DynamoDB"),
        ("parallelizationFactor", STREAMS, "Kinesis and DynamoDB"),
        ("queues", &[], "Amazon MQ"),
        ("scalingConfig", &[Kind::Sqs], "SQS"),
        ("selfManagedKafkaEventSourceConfig", &[Kind::SelfManaged], "self-managed Kafka"),
        ("sourceAccessConfigurations", KAFKA, "Kafka, Amazon MQ and DocumentDB"),
        ("startingPosition", LOGS, "streams and Kafka"),
        ("startingPositionTimestamp", LOGS, "streams and Kafka"),
        ("topics", KAFKA, "Kafka"),
        ("tumblingWindowInSeconds", STREAMS, "Kinesis and DynamoDB"),
    ]
};

/// Which source a mapping reads.
pub(super) fn kind(spec: &Fields) -> Option<Kind> {
    let (arn, own) = (spec.get("eventSourceArn"), spec.get("selfManagedEventSource"));
    match (arn, own) {
        (Some(_), Some(own)) => own.refuse("contradicts eventSourceArn; use one of the two"),
        (None, Some(_)) => Some(Kind::SelfManaged),
        (None, None) => {
            spec.missing(
                "eventSourceArn",
                "Unrecognized event source. Set eventSourceArn or selfManagedEventSource",
            );
            None
        }
        (Some(node), None) => {
            let Some(arn) = name::Arn::parse(node.word()?) else {
                return node.refuse("must be an ARN, as arn:aws:sqs:us-east-1:123456789012:orders");
            };
            match arn.service {
                "sqs" => Some(Kind::Sqs),
                "kafka" => Some(Kind::Msk),
                "kinesis" => Some(Kind::Kinesis),
                "dynamodb" => Some(Kind::DynamoDb),
                other => {
                    let later = not_yet::SERVICES.iter().find(|(service, _)| *service == other);
                    let Some((_, name)) = later else {
                        return node.refuse("Unrecognized event source.");
                    };
                    node.refuse(not_yet::cannot(
                        &format!("poll {name}"),
                        "it polls SQS, Kafka, Kinesis and DynamoDB Streams",
                    ))
                }
            }
        }
    }
}

/// Notes the settings that do not apply.
pub(super) fn refuse_other_sources_settings(spec: &Fields, kind: Kind) {
    for (field, kinds, whose) in ONLY {
        if let Some(node) = spec.get(field).filter(|_| !kinds.contains(&kind)) {
            node.wrong(format!("does not apply to {}, only to {whose}; remove it", kind.name()));
        }
    }
    let Some(config) = spec.get("destinationConfig") else {
        return;
    };
    const UNSUPPORTED: &str = "Unsupported DestinationConfig parameter for given event source mapping type.";
    if kind == Kind::Sqs {
        return config.wrong(UNSUPPORTED);
    }
    let Some(config) = config.fields(&["onFailure", "onSuccess"]) else {
        return;
    };
    if let Some(success) = config.get("onSuccess") {
        success.wrong(UNSUPPORTED);
    }
}
