//! An event source mapping: everything Lambda polls for.

mod kind;
mod passed_over;

use std::time::Duration;

use uuid::Uuid;

use super::node::{Fields, Node};
use super::resource::Meta;
use super::target::{self, Target};
use super::{name, not_yet, problem::Place};
use crate::deliver::AckMode;
use kind::{FIELDS, Kind, refuse_other_sources_settings};

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

/// Reads `spec`; what is wrong with it is noted where it stands.
pub(super) fn read(meta: &Meta, spec: &Node) -> Option<Mapping> {
    let spec = spec.fields(FIELDS)?;
    let function = spec.required("functionName").and_then(|node| function(&node));
    let enabled = spec.get("enabled").and_then(|node| node.boolean()).unwrap_or(true);
    let target = target::read(&spec);
    let kind = kind::kind(&spec)?;
    refuse_other_sources_settings(&spec, kind);
    filters(&spec);
    passed_over::check(&spec, kind);
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
