//! What no resource can know alone: whether two of them collide.

use std::collections::HashMap;

use super::mapping::Source;
use super::{Mapping, Place, Problem, Resources, name};

/// Every collision, noted at the later of the two.
pub(super) fn find(resources: &Resources) -> Vec<Problem> {
    let mut problems = duplicate_names(resources);
    for (i, mapping) in resources.mappings.iter().enumerate() {
        problems.extend(resources.mappings[..i].iter().find_map(|earlier| same_source(earlier, mapping)));
    }
    problems.extend(shared_queues(resources));
    #[cfg(feature = "kafka")]
    problems
        .extend(resources.mappings.iter().filter_map(|mapping| super::kafka::too_slow(resources, mapping)));
    problems
}

fn problem(place: &Place, field: &str, message: String) -> Problem {
    Problem { place: place.clone(), field: field.to_owned(), message }
}

fn duplicate_names(resources: &Resources) -> Vec<Problem> {
    let mappings =
        resources.mappings.iter().map(|it| ("EventSourceMapping", &it.namespace, &it.name, &it.place));
    let notifications =
        resources.notifications.iter().map(|it| ("BucketNotification", &it.namespace, &it.name, &it.place));
    let functions = resources.functions.iter().map(|it| ("Function", &it.namespace, &it.name, &it.place));
    let mut first = HashMap::new();
    let mut problems = Vec::new();
    for (kind, namespace, name, place) in mappings.chain(notifications).chain(functions) {
        // What runs beside it in one process shares its paths and metrics, whatever the namespace; a Function is called
        // by its name alone.
        if let Some(earlier) = first.insert((kind, name), place) {
            let message =
                format!("{kind} {namespace}/{name}: the name is taken already, at {earlier}; rename one");
            problems.push(problem(place, "metadata.name", message));
        }
    }
    problems
}

#[cfg(any(feature = "kinesis", feature = "dynamodb"))]
fn same_stream(arn: &klr_aws::Arn, function: &str) -> (&'static str, String) {
    let text = format!(r#"The event source arn (" {arn} ") and function (" {function} ") provided mapping"#);
    ("spec.eventSourceArn", text)
}

/// AWS takes one mapping per source and function; these are its words.
fn same_source(earlier: &Mapping, later: &Mapping) -> Option<Problem> {
    if name::qualified(&earlier.function) != name::qualified(&later.function) {
        return None;
    }
    let conflict: Option<(&str, String)> = match (&earlier.source, &later.source) {
        #[cfg(feature = "sqs")]
        (Source::Sqs(a), Source::Sqs(b)) => super::sqs::conflict(a, b, &later.function),
        #[cfg(feature = "kafka")]
        (Source::Kafka { config: a, .. }, Source::Kafka { config: b, .. }) => {
            super::kafka::conflict(a, b, &later.function)
        }
        #[cfg(feature = "kinesis")]
        (Source::Kinesis(a), Source::Kinesis(b)) if (&a.arn, &a.endpoint) == (&b.arn, &b.endpoint) => {
            Some(same_stream(&b.arn, &later.function))
        }
        #[cfg(feature = "dynamodb")]
        (Source::DynamoDb(a), Source::DynamoDb(b)) if (&a.arn, &a.endpoint) == (&b.arn, &b.endpoint) => {
            Some(same_stream(&b.arn, &later.function))
        }
        #[allow(unreachable_patterns, reason = "with one source built in there is nothing else")]
        _ => None,
    };
    let (field, what) = conflict?;
    let (uuid, place) = (earlier.uuid, &earlier.place);
    let remedy = "Please update or delete the existing mapping with UUID";
    Some(problem(&later.place, field, format!("{what} already exists. {remedy} {uuid} ({place})")))
}

/// Two readers of one queue get every other message each. AWS lets functions compete so; a notification must not lose
/// half of its events to something that is none.
#[cfg(feature = "sqs")]
fn shared_queues(resources: &Resources) -> Vec<Problem> {
    use super::notification::Receive;

    let key = |queue: &klr_sqs::Config| (queue.arn.clone(), queue.endpoint.clone());
    let mut readers = HashMap::new();
    for mapping in &resources.mappings {
        match &mapping.source {
            Source::Sqs(queue) => readers.insert(key(queue), &mapping.place),
            #[allow(unreachable_patterns, reason = "with queues alone there is nothing else")]
            _ => None,
        };
    }
    let mut problems = Vec::new();
    for notification in &resources.notifications {
        let Receive::Queue(queue) = &notification.receive else { continue };
        if let Some(other) = readers.insert(key(queue), &notification.place) {
            let message =
                format!("the queue is read already, at {other}: each would miss what the other takes");
            problems.push(problem(&notification.place, "spec.queueArn", message));
        }
    }
    problems
}

#[cfg(not(feature = "sqs"))]
fn shared_queues(_: &Resources) -> Vec<Problem> {
    Vec::new()
}
