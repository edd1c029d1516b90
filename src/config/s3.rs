//! What a bucket notification says about the events it wants.

use klr_s3::{Config, EventVersion};

use super::name;
use super::node::{Fields, Node, nearest};
use super::resource::Meta;

/// Event types a configuration may name, without `s3:`.
const EVENTS: [&str; 31] = [
    "ReducedRedundancyLostObject",
    "ObjectCreated:*",
    "ObjectCreated:Put",
    "ObjectCreated:Post",
    "ObjectCreated:Copy",
    "ObjectCreated:CompleteMultipartUpload",
    "ObjectRemoved:*",
    "ObjectRemoved:Delete",
    "ObjectRemoved:DeleteMarkerCreated",
    "ObjectRestore:*",
    "ObjectRestore:Post",
    "ObjectRestore:Completed",
    "ObjectRestore:Delete",
    "Replication:*",
    "Replication:OperationFailedReplication",
    "Replication:OperationNotTracked",
    "Replication:OperationMissedThreshold",
    "Replication:OperationReplicatedAfterThreshold",
    "LifecycleTransition",
    "IntelligentTiering",
    "ObjectAcl:Put",
    "LifecycleExpiration:*",
    "LifecycleExpiration:Delete",
    "LifecycleExpiration:DeleteMarkerCreated",
    "ObjectTagging:*",
    "ObjectTagging:Put",
    "ObjectTagging:Delete",
    "ObjectAnnotation:*",
    "ObjectAnnotation:Put",
    "ObjectAnnotation:Delete",
    "ObjectRetention:Put",
];

/// Which events a notification takes.
pub(super) fn read(meta: &Meta, spec: &Fields) -> Config {
    let word = |name| spec.get(name).and_then(|node: Node| node.word()).map(str::to_owned);
    let events = spec.get("events").and_then(|node| node.items()).unwrap_or_default();
    let (prefix, suffix) = filter(spec);
    let queue =
        spec.get("queueArn").and_then(|node| name::Arn::parse(node.text()?)).map(|arn| arn.region.to_owned());
    let version = spec
        .get("s3EventVersion")
        .and_then(|node| node.one_of(&[("2.5", EventVersion::Current), ("2025", EventVersion::Y2025)]));
    Config {
        id: word("id").unwrap_or_else(|| meta.name.clone()),
        bucket: word("bucket"),
        events: events.iter().filter_map(event).collect(),
        prefix,
        suffix,
        version: version.unwrap_or_default(),
        region: word("region").or(queue).unwrap_or_else(|| "us-east-1".to_owned()),
    }
}

fn event(node: &Node) -> Option<String> {
    let text = node.text()?;
    let bare = text.strip_prefix("s3:").unwrap_or_default();
    if EVENTS.contains(&bare) {
        return Some(text.to_owned());
    }
    match nearest(text.strip_prefix("s3:").unwrap_or(text), &EVENTS) {
        Some(near) => node.refuse(format!("is no S3 event type, did you mean s3:{near}?")),
        None => node.refuse("is no S3 event type; they begin with s3:, as s3:ObjectCreated:*"),
    }
}

/// AWS: at most one prefix and one suffix, the names in any case, empty values match all.
fn filter(spec: &Fields) -> (Option<String>, Option<String>) {
    let rules = || {
        spec.get("filter")?
            .fields(&["key"])?
            .get("key")?
            .fields(&["filterRules"])?
            .get("filterRules")?
            .items()
    };
    let (mut prefix, mut suffix) = (None, None);
    for rule in rules().unwrap_or_default() {
        let Some(fields) = rule.fields(&["name", "value"]) else {
            continue;
        };
        let (Some(name), Some(value)) = (fields.required("name"), fields.required("value")) else {
            continue;
        };
        let (Some(text), Some(value)) = (name.text(), value.text()) else {
            continue;
        };
        let slot = match text.to_lowercase().as_str() {
            "prefix" => &mut prefix,
            "suffix" => &mut suffix,
            _ => {
                name.wrong(format!("must be prefix or suffix, is {text}"));
                continue;
            }
        };
        if slot.replace(value.to_owned()).is_some() {
            name.wrong("must not be there twice: at most one prefix and one suffix");
        }
    }
    (prefix, suffix)
}
