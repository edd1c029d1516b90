//! What a Kafka mapping says about its topic, on MSK and on clusters of one's own.

use std::time::Duration;

use klr_kafka::{Config, Security, Start};
use uuid::Uuid;

use super::mapping::{Mapping, Source};
use super::node::{Fields, Node};
use super::secret::{Access, AccessKind, SecretRef};
use super::{Problem, Resources, Target, not_yet, start};

/// What `--drain-timeout` is unless it is set.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(25);

/// The topic of a mapping.
pub(super) fn read(spec: &Fields, msk: bool, uuid: Uuid) -> Option<Source> {
    let bootstrap = if msk { msk_bootstrap(spec) } else { own_bootstrap(spec) };
    let topic = topic(spec);
    let start = start::read(spec).map(|start| match start {
        start::Start::TrimHorizon => Start::TrimHorizon,
        start::Start::Latest => Start::Latest,
        start::Start::AtTimestamp(time) => Start::AtTimestamp(time),
    });
    let group = group(spec, msk);
    let access = access(spec, msk);
    let arn = if msk { Some(spec.get("eventSourceArn")?.text()?.to_owned()) } else { None };
    let config = Config {
        bootstrap: bootstrap?,
        topic: topic?,
        group: group.unwrap_or_else(|| uuid.to_string()),
        start: start?,
        arn,
        security: Security::default(),
        drain_timeout: DRAIN_TIMEOUT,
        once: false,
    };
    Some(Source::Kafka { config, access })
}

/// AWS's words where `b` reads for `function` what `a` reads for it already: one cluster under any of its brokers.
pub(super) fn conflict(a: &Config, b: &Config, function: &str) -> Option<(&'static str, String)> {
    if a.topic != b.topic {
        return None;
    }
    match (&a.arn, &b.arn) {
        (Some(a), Some(b)) if a == b => {
            let text =
                format!(r#"The event source arn (" {b} ") and function (" {function} ") provided mapping"#);
            Some(("spec.eventSourceArn", text))
        }
        (None, None) if a.bootstrap.iter().any(|server| b.bootstrap.contains(server)) => {
            let (brokers, topic) = (b.bootstrap.join(","), &b.topic);
            let text = format!(
                r#"An event source mapping with event source ("{brokers}"), function ("{function}"), topics ("{topic}")"#
            );
            Some(("spec.selfManagedEventSource", text))
        }
        _ => None,
    }
}

/// AWS: a function of a Kafka mapping has 14 minutes, not 15.
pub(super) fn too_slow(resources: &Resources, mapping: &Mapping) -> Option<Problem> {
    let (Source::Kafka { .. }, Target::Function(name)) = (&mapping.source, &mapping.target) else {
        return None;
    };
    let function = resources.functions.iter().find(|function| function.name == *name)?;
    let message = format!("must be at most 840 for a Kafka mapping ({})", mapping.place);
    let (place, field) = (function.place.clone(), "spec.timeout".to_owned());
    (function.timeout.as_secs() > 840).then_some(Problem { place, field, message })
}

fn own_bootstrap(spec: &Fields) -> Option<Vec<String>> {
    let own = spec.get("selfManagedEventSource")?.fields(&["endpoints"])?;
    let endpoints = own.required("endpoints")?.fields(&["KAFKA_BOOTSTRAP_SERVERS"])?;
    let list = endpoints.required("KAFKA_BOOTSTRAP_SERVERS")?;
    let items = list.items()?;
    if items.is_empty() {
        return list.refuse("must name at least one broker, as host:port");
    }
    items.iter().map(|item| broker(item, item.text()?)).collect()
}

/// AWS asks the cluster's ARN for its brokers.
fn msk_bootstrap(spec: &Fields) -> Option<Vec<String>> {
    let Some(node) = spec.get("endpoint") else {
        let remedy = "list them here, as b-1.example:9094,b-2.example:9094";
        spec.missing("endpoint", not_yet::cannot("ask MSK for the cluster's brokers", remedy));
        return None;
    };
    node.text()?.split(',').map(|text| broker(&node, text.trim())).collect()
}

/// A broker's address. A lone `host` would be taken as port 9092 by some clients and refused by others.
fn broker(node: &Node, text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let hosts = bracketed.unwrap_or(host);
    let allowed = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') || (bracketed.is_some() && c == ':')
    };
    let host = !hosts.is_empty() && hosts.len() <= 255 && hosts.chars().all(allowed);
    if !host || !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return node.refuse("must be a broker's host:port, as kafka-1.example.com:9092");
    }
    Some(text.to_owned())
}

fn topic(spec: &Fields) -> Option<String> {
    let list = spec.required("topics")?;
    let items = list.items()?;
    let [node] = items.as_slice() else {
        return list.refuse(format!("must be exactly one topic, is {}; use a mapping for each", items.len()));
    };
    let topic = node.word()?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if topic.len() > 249 || !topic.chars().all(allowed) || topic == "." || topic == ".." {
        return node.refuse("must be a topic's name: up to 249 letters, digits, ., - and _");
    }
    Some(topic.to_owned())
}

/// The group that was asked for, if any.
fn group(spec: &Fields, msk: bool) -> Option<String> {
    let config = if msk {
        spec.get("amazonManagedKafkaEventSourceConfig")?
            .fields(&["consumerGroupId", "schemaRegistryConfig"])?
    } else {
        let known = &["consumerGroupId", "consumptionMode", "schemaRegistryConfig"];
        let config = spec.get("selfManagedKafkaEventSourceConfig")?.fields(known)?;
        if let Some(mode) = config.get("consumptionMode")
            && mode.one_of(&[("Stream", false), ("Queue", true)]) == Some(true)
        {
            not_yet::queue_mode(&mode);
        }
        config
    };
    if let Some(registry) = config.get("schemaRegistryConfig") {
        not_yet::schema_registry(&registry);
    }
    let node = config.get("consumerGroupId")?;
    let text = node.text()?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-/*:_+=.@".contains(c);
    if text.is_empty() || text.len() > 200 || !text.chars().all(allowed) {
        return node.refuse("must be 1 to 200 letters, digits and -/*:_+=.@");
    }
    Some(text.to_owned())
}

/// How to get in. None at all is PLAINTEXT, where AWS would insist: a laptop has no secrets.
fn access(spec: &Fields, msk: bool) -> Vec<Access> {
    let Some(list) = spec.get("sourceAccessConfigurations") else {
        return Vec::new();
    };
    let Some(items) = list.items() else {
        return Vec::new();
    };
    if items.len() > 23 {
        list.wrong(format!("must be at most 23, is {}", items.len()));
    }
    let access: Vec<Access> = items.iter().filter_map(|item| one_access(item, msk)).collect();
    for (i, one) in access.iter().enumerate() {
        if access[..i].iter().any(|other| other.kind == one.kind) {
            list.wrong("must not have one type twice");
        }
    }
    let sasl = |access: &&Access| {
        matches!(access.kind, AccessKind::Basic | AccessKind::Scram256 | AccessKind::Scram512)
    };
    if access.iter().filter(sasl).count() > 1 {
        list.wrong("must be one of BASIC_AUTH, SASL_SCRAM_256_AUTH and SASL_SCRAM_512_AUTH, not several");
    }
    access
}

fn one_access(item: &Node, msk: bool) -> Option<Access> {
    let fields = item.fields(&["type", "uri"])?;
    let node = fields.required("type")?;
    let text = node.text()?;
    if not_yet::ACCESS.contains(&text) {
        let remedy =
            "use SASL_SCRAM_512_AUTH, SASL_SCRAM_256_AUTH, BASIC_AUTH or CLIENT_CERTIFICATE_TLS_AUTH";
        return node.refuse(not_yet::cannot(&format!("authenticate with {text}"), remedy));
    }
    let kind = node.one_of(&[
        ("BASIC_AUTH", Some(AccessKind::Basic)),
        ("SASL_SCRAM_512_AUTH", Some(AccessKind::Scram512)),
        ("SASL_SCRAM_256_AUTH", Some(AccessKind::Scram256)),
        ("CLIENT_CERTIFICATE_TLS_AUTH", Some(AccessKind::ClientCertificate)),
        ("SERVER_ROOT_CA_CERTIFICATE", Some(AccessKind::RootCa)),
        // AWS's way into a VPC; outside AWS the bridge is where it is.
        ("VPC_SUBNET", None),
        ("VPC_SECURITY_GROUP", None),
    ])?;
    if msk && matches!(kind, Some(AccessKind::Basic | AccessKind::Scram256)) {
        return node.refuse("is not for Amazon MSK; use SASL_SCRAM_512_AUTH or CLIENT_CERTIFICATE_TLS_AUTH");
    }
    let uri = fields.required("uri")?;
    let text = uri.text()?;
    let kind = kind?;
    let secret = SecretRef::parse(text).map_err(|why| uri.wrong(why)).ok()?;
    Some(Access { kind, secret })
}
