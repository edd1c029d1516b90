//! An event source mapping: everything Lambda polls for.

mod kind;
mod passed_over;

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::destination::{self, Destination};
use super::node::{Fields, Node};
use super::resource::Meta;
use super::target::{self, Target};
use super::{
    filters, name,
    problem::{Place, Problem},
};
use crate::{
    deliver::AckMode,
    mapping::{Filters, next::OnFailure},
};
use kind::{FIELDS, Kind, refuse_other_sources_settings};

/// AWS: "up to ten retries" where a mapping asks for no limit and has a destination.
const KAFKA_RETRIES: u32 = 10;

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
    /// Which records the function sees.
    pub filters: Arc<Filters>,
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
    /// Logs: where records go that are given up.
    pub destination: Option<Destination>,
    /// What that destination does not take is dropped, as AWS does.
    pub drop_undelivered: bool,
    /// Streams: lanes of a shard.
    pub parallelization_factor: usize,
    /// Streams: the length of a tumbling window.
    pub tumbling: Option<Duration>,
    /// Where its batches go.
    pub target: Target,
    /// The whole resource as it was written: to be shown, and exported.
    pub written: Arc<serde_json::Value>,
}

impl Mapping {
    /// What becomes of records that are given up.
    pub fn on_failure(&self) -> OnFailure {
        match (&self.destination, self.drop_undelivered) {
            (None, _) => OnFailure::Drop,
            (Some(_), false) => OnFailure::Send,
            (Some(_), true) => OnFailure::SendOrDrop,
        }
    }

    /// What of it a sink that only accepts cannot give.
    pub(super) fn needs_an_answer(&self) -> Option<Problem> {
        let (field, message) = match (self.report_batch_item_failures, self.tumbling) {
            (true, _) => ("spec.functionResponseTypes", NO_REPLY),
            (_, Some(_)) => ("spec.tumblingWindowInSeconds", NO_STATE),
            (false, None) => return None,
        };
        Some(Problem { place: self.place.clone(), field: field.to_owned(), message: message.to_owned() })
    }

    /// Who reads, where that is known: AWS names the function's role in each of Kinesis's records (`invokeIdentityArn`).
    /// Files know of no roles, and the document stays as it was written.
    pub fn read_as(&mut self, role: String) {
        match &mut self.source {
            #[cfg(feature = "kinesis")]
            Source::Kinesis(config) => config.role = role,
            #[allow(unreachable_patterns, reason = "with Kinesis alone there is nothing else")]
            _ => drop(role),
        }
    }

    /// The function's bare name, as a `Function` of these files would have it.
    pub fn function_name(&self) -> &str {
        name::function(&self.function).expect("checked when it was read")
    }
}

/// What a mapping reads.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there is one in a mapping")]
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
        /// [`resolve_registry`](super::resolve_registry) completes `registry` with these.
        registry_access: Vec<super::Access>,
    },
    /// A Kinesis stream.
    #[cfg(feature = "kinesis")]
    Kinesis(klr_kinesis::Config),
    /// A table's stream.
    #[cfg(feature = "dynamodb")]
    DynamoDb(klr_dynamodb::Config),
}

/// Reads `spec`; what is wrong with it is noted where it stands.
pub(super) fn read(meta: &Meta, spec: &Node) -> Option<Mapping> {
    let spec = spec.fields(FIELDS)?;
    let function = spec.required("functionName").and_then(|node| function(&node));
    let enabled = spec.get("enabled").and_then(|node| node.boolean()).unwrap_or(true);
    let target = target::read(&spec);
    let kind = kind::kind(&spec)?;
    refuse_other_sources_settings(&spec, kind);
    let filters = filters::criteria(&spec, kind.pattern_source());
    passed_over::check(&spec, kind);
    let batch_size = batch_size(&spec, kind);
    let window = window(&spec, kind);
    let source = match kind {
        #[cfg(feature = "sqs")]
        Kind::Sqs => super::sqs::read(&spec, batch_size, window),
        #[cfg(feature = "kafka")]
        Kind::Msk | Kind::SelfManaged => super::kafka::read(&spec, kind == Kind::Msk, meta.uuid),
        #[cfg(feature = "kinesis")]
        Kind::Kinesis => super::stream::kinesis(&spec, meta.uuid),
        #[cfg(feature = "dynamodb")]
        Kind::DynamoDb => super::stream::dynamodb(&spec, meta.uuid),
        #[allow(unreachable_patterns, reason = "with every source built in")]
        _ => spec.node().refuse(format!("this klr was built without {}", kind.name())),
    };
    let report_batch_item_failures = response_types(&spec, target.as_ref());
    let retries = spec.get("maximumRetryAttempts").and_then(|node| node.whole(-1..=10_000));
    let destination = destination(&spec);
    // AWS: a Kafka mapping with a destination does not retry for ever.
    let cap = (kind.kafka() && destination.is_some()).then_some(KAFKA_RETRIES);
    Some(Mapping {
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uuid: meta.uuid,
        place: spec.node().place(),
        enabled,
        filters,
        function: function?,
        batch_size,
        window,
        report_batch_item_failures,
        maximum_concurrency: maximum_concurrency(&spec),
        maximum_retry_attempts: retries.and_then(|retries| u32::try_from(retries).ok()).or(cap),
        drop_undelivered: drop_undelivered(&spec),
        destination,
        maximum_record_age: record_age(&spec),
        parallelization_factor: spec
            .get("parallelizationFactor")
            .and_then(|node| node.size(1..=10))
            .unwrap_or(1),
        tumbling: tumbling(&spec, target.as_ref()),
        bisect: spec.get("bisectBatchOnFunctionError").and_then(|node| node.boolean()).unwrap_or(false),
        source: source?,
        target: target?,
        written: Arc::new(spec.node().document().value.clone()),
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

fn batch_size(spec: &Fields, kind: Kind) -> usize {
    let default = if kind == Kind::Sqs { 10 } else { 100 };
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

/// Where records go that are given up.
fn destination(spec: &Fields) -> Option<Destination> {
    let failure = spec.get("destinationConfig")?.fields(&["onFailure", "onSuccess"])?.get("onFailure")?;
    let node = failure.fields(&["destination"])?.get("destination")?;
    // A list of one; what is wrong with it is noted elsewhere.
    let topic = spec.get("topics").and_then(|node| node.items()).and_then(|items| items.first()?.text());
    match destination::read(node.text()?, topic) {
        Ok(destination) => destination,
        Err(wrong) => node.refuse(wrong.to_string()),
    }
}

/// `onDestinationError`, ours: whether a destination that does not answer holds its partition, or is done without.
fn drop_undelivered(spec: &Fields) -> bool {
    let node = spec.get("onDestinationError");
    node.and_then(|node| node.one_of(&[("hold", false), ("drop", true)])).unwrap_or_default()
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

/// `TumblingWindowInSeconds`. The state comes back in the function's answer, so the sink must be one that gives it.
fn tumbling(spec: &Fields, target: Option<&Target>) -> Option<Duration> {
    let node = spec.get("tumblingWindowInSeconds")?;
    let seconds = node.size(0..=900).filter(|seconds| *seconds > 0)?;
    if let Some(Target::Sink(sink)) = target
        && sink.ack_mode() == AckMode::Accepted
    {
        node.wrong(NO_STATE);
    }
    Some(Duration::from_secs(seconds as u64))
}

/// Why a sink and tumbling windows do not go together.
const NO_STATE: &str = "a tumbling window's state comes back in the function's own answer, and this sink only \
    accepts (ackMode accepted, or the ingress of a Broker or Channel); deliver to the function itself, or remove it";
