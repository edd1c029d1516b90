//! An event source mapping: everything Lambda polls for.

use std::time::Duration;

use uuid::Uuid;

use super::node::{Fields, Node};
use super::resource::Meta;
use super::target::{self, Target};
use super::{name, not_yet, problem::Place};
use crate::deliver::AckMode;

/// A mapping, valid by construction.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`, else `default`.
    pub namespace: String,
    /// `metadata.uid`, else one made of namespace and name: the same file, the same UUID.
    pub uuid: Uuid,
    /// Where it was written.
    pub place: Place,
    /// Whether it runs.
    pub enabled: bool,
    /// As written: a name, a partial or whole ARN, perhaps with a version or alias.
    pub function: String,
    /// What it reads.
    pub source: Source,
    /// At most this many records a batch.
    pub batch_size: usize,
    /// How long a batch may wait to fill.
    pub window: Duration,
    /// Whether the function's reply says which records failed.
    pub report_batch_item_failures: bool,
    /// `None`: AWS's ceiling.
    pub maximum_concurrency: Option<usize>,
    /// `None`: for ever.
    pub maximum_retry_attempts: Option<u32>,
    /// `None`: any age.
    pub maximum_record_age: Option<Duration>,
    /// Whether a failed batch is halved.
    pub bisect: bool,
    /// Where its batches go.
    pub target: Target,
}

impl Mapping {
    /// The function's bare name, as a `Function` of these files would have it.
    pub fn function_name(&self) -> &str {
        name::function(&self.function).expect("checked when it was read")
    }
}

/// What a mapping reads.
#[derive(Debug, Clone)]
pub enum Source {
    /// An SQS queue.
    #[cfg(feature = "sqs")]
    Sqs(klr_sqs::Config),
    /// A topic of a self-managed or MSK cluster.
    #[cfg(feature = "kafka")]
    Kafka {
        /// With `security` still empty:
        config: klr_kafka::Config,
        /// [`resolve`](super::resolve) makes it of these.
        access: Vec<super::Access>,
    },
}

/// Which of AWS's parameter tables applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sqs,
    Msk,
    SelfManaged,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Sqs => "SQS",
            Self::Msk => "Amazon MSK",
            Self::SelfManaged => "self-managed Kafka",
        }
    }

    fn kafka(self) -> bool {
        self != Self::Sqs
    }
}

const FIELDS: &[&str] = &[
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
    &[
        ("amazonManagedKafkaEventSourceConfig", &[Kind::Msk], "Amazon MSK"),
        ("bisectBatchOnFunctionError", KAFKA, "streams and Kafka"),
        ("documentDBEventSourceConfig", &[], "DocumentDB"),
        ("endpoint", &[Kind::Sqs, Kind::Msk], "SQS and Amazon MSK"),
        ("loggingConfig", KAFKA, "Kafka"),
        ("maximumRecordAgeInSeconds", KAFKA, "streams and Kafka"),
        ("maximumRetryAttempts", KAFKA, "streams and Kafka"),
        ("parallelizationFactor", &[], "Kinesis and DynamoDB"),
        ("queues", &[], "Amazon MQ"),
        ("scalingConfig", &[Kind::Sqs], "SQS"),
        ("selfManagedKafkaEventSourceConfig", &[Kind::SelfManaged], "self-managed Kafka"),
        ("sourceAccessConfigurations", KAFKA, "Kafka, Amazon MQ and DocumentDB"),
        ("startingPosition", KAFKA, "streams and Kafka"),
        ("startingPositionTimestamp", KAFKA, "streams and Kafka"),
        ("topics", KAFKA, "Kafka"),
        ("tumblingWindowInSeconds", &[], "Kinesis and DynamoDB"),
    ]
};

/// Reads `spec`; what is wrong with it is noted where it stands.
pub(super) fn read(meta: &Meta, spec: &Node) -> Option<Mapping> {
    let spec = spec.fields(FIELDS)?;
    let function = spec.required("functionName").and_then(|node| function(&node));
    let enabled = spec.get("enabled").and_then(|node| node.boolean()).unwrap_or(true);
    let target = target::read(&spec);
    let kind = kind(&spec)?;
    refuse_other_sources_settings(&spec, kind);
    filters(&spec);
    passed_over(&spec, kind);
    let batch_size = batch_size(&spec, kind);
    let window = window(&spec, kind);
    let source = match kind {
        #[cfg(feature = "sqs")]
        Kind::Sqs => super::sqs::read(&spec, batch_size, window),
        #[cfg(feature = "kafka")]
        Kind::Msk | Kind::SelfManaged => super::kafka::read(&spec, kind == Kind::Msk, meta.uuid),
        #[allow(unreachable_patterns, reason = "with every source built in")]
        _ => spec.node().refuse(format!("this klr was built without {}", kind.name())),
    };
    let report_batch_item_failures = response_types(&spec, target.as_ref());
    let retries = spec.get("maximumRetryAttempts").and_then(|node| node.whole(-1..=10_000));
    Some(Mapping {
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uuid: meta.uuid,
        place: spec.node().place(),
        enabled,
        function: function?,
        batch_size,
        window,
        report_batch_item_failures,
        maximum_concurrency: maximum_concurrency(&spec),
        maximum_retry_attempts: retries.and_then(|retries| u32::try_from(retries).ok()),
        maximum_record_age: record_age(&spec),
        bisect: spec.get("bisectBatchOnFunctionError").and_then(|node| node.boolean()).unwrap_or(false),
        source: source?,
        target: target?,
    })
}

pub(super) fn function(node: &Node) -> Option<String> {
    let text = node.text()?;
    if name::function(text).is_none() {
        return node.refuse(
            "must be a function's name (up to 64 letters, digits, - and _) or its ARN, perhaps with :version or :alias",
        );
    }
    Some(text.to_owned())
}

fn kind(spec: &Fields) -> Option<Kind> {
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
                other => {
                    let later = not_yet::SERVICES.iter().find(|(service, _)| *service == other);
                    let Some((_, name)) = later else {
                        return node.refuse("Unrecognized event source.");
                    };
                    node.refuse(not_yet::cannot(&format!("poll {name}"), "it polls SQS and Kafka"))
                }
            }
        }
    }
}

fn refuse_other_sources_settings(spec: &Fields, kind: Kind) {
    for (field, kinds, whose) in ONLY {
        if let Some(node) = spec.get(field).filter(|_| !kinds.contains(&kind)) {
            node.wrong(format!("does not apply to {}, only to {whose}; remove it", kind.name()));
        }
    }
    let Some(config) = spec.get("destinationConfig") else {
        return;
    };
    const UNSUPPORTED: &str = "Unsupported DestinationConfig parameter for given event source mapping type.";
    if !kind.kafka() {
        return config.wrong(UNSUPPORTED);
    }
    let Some(config) = config.fields(&["onFailure", "onSuccess"]) else {
        return;
    };
    if let Some(success) = config.get("onSuccess") {
        success.wrong(UNSUPPORTED);
    }
    let failure = config.get("onFailure").and_then(|node| node.fields(&["destination"]));
    let destination = failure.and_then(|failure| failure.get("destination"));
    // AWS: the empty text takes a destination away.
    if let Some(node) = destination.filter(|node| node.text().is_some_and(|text| !text.is_empty())) {
        not_yet::on_failure(&node);
    }
}

fn filters(spec: &Fields) {
    let Some(criteria) = spec.get("filterCriteria").and_then(|node| node.fields(&["filters"])) else {
        return;
    };
    let Some(list) = criteria.get("filters") else {
        return;
    };
    let Some(filters) = list.items().filter(|filters| !filters.is_empty()) else {
        return;
    };
    if filters.len() > 5 {
        list.wrong(format!("must be at most 5 filters, is {}", filters.len()));
    }
    for filter in filters.iter().filter_map(|filter| filter.fields(&["pattern"])) {
        let Some(node) = filter.get("pattern") else {
            continue;
        };
        let Some(pattern) = node.text() else { continue };
        if pattern.chars().count() > 4096 {
            node.wrong("must be at most 4096 characters");
        } else if !serde_json::from_str(pattern).is_ok_and(|pattern: serde_json::Value| pattern.is_object()) {
            node.wrong("Invalid filter pattern definition. It must be a JSON object, written as text");
        }
    }
    not_yet::filters(&list);
}

/// Settings without a meaning here: checked as AWS checks them, then left alone. None changes what a function sees.
fn passed_over(spec: &Fields, kind: Kind) {
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

fn batch_size(spec: &Fields, kind: Kind) -> usize {
    let default = if kind.kafka() { 100 } else { 10 };
    spec.get("batchSize").and_then(|node| node.size(1..=10_000)).unwrap_or(default)
}

fn window(spec: &Fields, kind: Kind) -> Duration {
    let default = if kind.kafka() { Duration::from_millis(500) } else { Duration::ZERO };
    let seconds = spec.get("maximumBatchingWindowInSeconds").and_then(|node| node.whole(0..=300));
    seconds.and_then(|seconds| u64::try_from(seconds).ok()).map_or(default, Duration::from_secs)
}

fn maximum_concurrency(spec: &Fields) -> Option<usize> {
    spec.get("scalingConfig")?.fields(&["maximumConcurrency"])?.get("maximumConcurrency")?.size(2..=1000)
}

fn record_age(spec: &Fields) -> Option<Duration> {
    let node = spec.get("maximumRecordAgeInSeconds")?;
    match node.whole(-1..=604_800)? {
        -1 => None,
        seconds @ 60.. => u64::try_from(seconds).ok().map(Duration::from_secs),
        seconds => node.refuse(format!("must be -1 (any age) or from 60 to 604800, is {seconds}")),
    }
}

/// Whether partial batch responses are asked for; the sink must then be one that gives the function's answer.
fn response_types(spec: &Fields, target: Option<&Target>) -> bool {
    let Some(list) = spec.get("functionResponseTypes") else {
        return false;
    };
    let Some(types) = list.items() else {
        return false;
    };
    if types.len() > 1 {
        list.wrong("must be at most one; the only one there is is ReportBatchItemFailures");
    }
    let Some(first) = types.first() else {
        return false;
    };
    let report = first.one_of(&[("ReportBatchItemFailures", ())]).is_some();
    if report
        && let Some(Target::Sink(sink)) = target
        && sink.ack_mode() == AckMode::Accepted
    {
        list.wrong(NO_REPLY);
    }
    report
}

/// Why a sink and partial batch responses do not go together.
pub(super) const NO_REPLY: &str = "ReportBatchItemFailures needs the function's own answer, and this sink only accepts \
    (ackMode accepted, or the ingress of a Broker or Channel); deliver to the function itself, or remove it";
