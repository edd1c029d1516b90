//! What AWS has, or the design promises, and this version cannot do. Refused by name: a setting that is passed over in
//! silence loses messages, or leaks them. Whoever builds one of these deletes its lines here.

use super::node::{Fields, Node};

/// Resources of these kinds.
pub(super) const KINDS: [&str; 3] = ["TopicSubscription", "EventRule", "LogSubscription"];

/// Services a mapping may poll on AWS, by the service in their ARN.
pub(super) const SERVICES: [(&str, &str); 2] = [("mq", "Amazon MQ"), ("rds", "DocumentDB")];

/// Ways into a Kafka cluster. (SASL extensions, which rdkafka has no way to set.)
pub(super) const ACCESS: [&str; 2] = ["OAUTHBEARER_LOGICAL_CLUSTER", "OAUTHBEARER_IDENTITY_POOL"];

/// Settings of a `Function` on AWS.
pub(super) const FUNCTION: [&str; 9] = [
    "destinationConfig",
    "deadLetterConfig",
    "ephemeralStorage",
    "fileSystemConfigs",
    "imageConfig",
    "loggingConfig",
    "snapStart",
    "tracingConfig",
    "vpcConfig",
];

pub(super) fn cannot(what: &str, remedy: &str) -> String {
    format!("this version of klr cannot {what} yet; {remedy}")
}

pub(super) fn queue_mode(mode: &Node) {
    mode.wrong(cannot("read a topic as a queue", "use Stream, or leave it out"));
}

/// An Invoke API as the target.
pub(super) fn lambda(spec: &Fields) {
    if let Some(lambda) = spec.get("lambda") {
        lambda.wrong(cannot("deliver to an Invoke API", "use sink: {uri: …}"));
    }
}

/// Whether a sink is given by reference; noted if so.
pub(super) fn sink_ref(sink: &Fields) -> bool {
    let reference = sink.get("ref");
    if let Some(reference) = &reference {
        reference
            .wrong(cannot("look up a sink by reference", "give its address as uri, or use a SinkBinding"));
    }
    reference.is_some()
}

pub(super) fn completed<T>(mode: &Node) -> Option<T> {
    mode.refuse(cannot("wait for a completion through a Broker", "use replied or accepted"))
}
