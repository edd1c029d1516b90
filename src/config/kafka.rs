//! What a Kafka mapping says about its topic, on MSK and on clusters of one's own.

use std::time::Duration;

use klr_kafka::{Config, Security, Start};
use uuid::Uuid;

use super::access::{Access, AccessKind};
use super::mapping::{Mapping, Source};
use super::node::{Fields, Node};
use super::secret::SecretRef;
use super::{Problem, Resources, Target, name, not_yet, registry, start};

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
    let particulars = particulars(spec, msk);
    let registry = particulars.as_ref().and_then(|config| config.get("schemaRegistryConfig"));
    let registry = registry.and_then(|node| registry::read(&node));
    let (registry, registry_access) =
        registry.map_or_else(Default::default, |(one, access)| (Some(one), access));
    let group = particulars.as_ref().and_then(group);
    let arn = if msk { Some(spec.get("eventSourceArn")?.text()?.to_owned()) } else { None };
    let region = region(arn.as_deref(), bootstrap.as_deref().unwrap_or_default());
    let access = match spec.get("sourceAccessConfigurations") {
        Some(list) => access(&list, msk, region),
        None if msk && bootstrap.iter().flatten().all(|server| wants_iam(server)) && bootstrap.is_some() => {
            vec![Access::Iam { region }]
        }
        None => Vec::new(),
    };
    let config = Config {
        bootstrap: bootstrap?,
        topic: topic?,
        group: group.unwrap_or_else(|| uuid.to_string()),
        start: start?,
        arn,
        security: Security::default(),
        registry,
        drain_timeout: DRAIN_TIMEOUT,
        once: false,
    };
    Some(Source::Kafka { config, access, registry_access })
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

/// What is said of the kind of cluster it is.
fn particulars<'a>(spec: &Fields<'a>, msk: bool) -> Option<Fields<'a>> {
    if msk {
        return spec
            .get("amazonManagedKafkaEventSourceConfig")?
            .fields(&["consumerGroupId", "schemaRegistryConfig"]);
    }
    let known = &["consumerGroupId", "consumptionMode", "schemaRegistryConfig"];
    let config = spec.get("selfManagedKafkaEventSourceConfig")?.fields(known)?;
    if let Some(mode) = config.get("consumptionMode")
        && mode.one_of(&[("Stream", false), ("Queue", true)]) == Some(true)
    {
        not_yet::queue_mode(&mode);
    }
    Some(config)
}

/// The group that was asked for, if any.
fn group(config: &Fields) -> Option<String> {
    let node = config.get("consumerGroupId")?;
    let text = node.text()?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-/*:_+=.@".contains(c);
    if text.is_empty() || text.len() > 200 || !text.chars().all(allowed) {
        return node.refuse("must be 1 to 200 letters, digits and -/*:_+=.@");
    }
    Some(text.to_owned())
}

/// Whether a broker of MSK's is addressed where it asks for AWS credentials, AWS's default for MSK: the ports say so.
fn wants_iam(server: &str) -> bool {
    cfg!(feature = "kafka-iam") && (server.ends_with(":9098") || server.ends_with(":9198"))
}

/// How to get in. None at all is PLAINTEXT, where AWS would insist: a laptop has no secrets.
fn access(list: &Node, msk: bool, region: Option<String>) -> Vec<Access> {
    let Some(items) = list.items() else {
        return Vec::new();
    };
    if items.len() > 23 {
        list.wrong(format!("must be at most 23, is {}", items.len()));
    }
    let access: Vec<Access> =
        items.iter().filter_map(|item| one_access(item, msk, region.as_deref())).collect();
    let kind = |access: &Access| match access {
        Access::Secret { kind, .. } => format!("{kind:?}"),
        other => format!("{:?}", std::mem::discriminant(other)),
    };
    for (i, one) in access.iter().enumerate() {
        if access[..i].iter().any(|other| kind(other) == kind(one)) {
            list.wrong("must not have one type twice");
        }
    }
    let who = access.iter().filter(|access| says_who_we_are(access)).count();
    if who > 1 {
        list.wrong(
            "must be one of BASIC_AUTH, SASL_SCRAM_256_AUTH, SASL_SCRAM_512_AUTH, OAUTHBEARER_AUTH, IAM_AUTH and \
             IAM_OAUTHBEARER_AUTH, not several",
        );
    }
    for wrong in at_odds(&access) {
        list.wrong(wrong);
    }
    access
}

/// What of a request for tokens does not fit whoever gives them.
fn at_odds(access: &[Access]) -> impl Iterator<Item = &'static str> {
    let any = |is: fn(&Access) -> bool| access.iter().any(is);
    let oauth = any(|access| matches!(access, Access::Secret { kind: AccessKind::OAuth, .. }));
    let aws = any(|access| matches!(access, Access::WebIdentity { .. }));
    let (scope, audience) = (
        any(|access| matches!(access, Access::Scope(_))),
        any(|access| matches!(access, Access::Audience(_))),
    );
    let wrong = [
        (scope && !oauth, "OAUTHBEARER_SCOPE needs OAUTHBEARER_AUTH; add it, or remove the scope"),
        (
            audience && !oauth && !aws,
            "OAUTHBEARER_AUDIENCE needs OAUTHBEARER_AUTH or IAM_OAUTHBEARER_AUTH; add one, or remove the audience",
        ),
        (
            aws && !audience,
            "IAM_OAUTHBEARER_AUTH needs OAUTHBEARER_AUDIENCE, as the brokers expect it; add it",
        ),
    ];
    wrong.into_iter().filter_map(|(wrong, why)| wrong.then_some(why))
}

fn says_who_we_are(access: &Access) -> bool {
    use AccessKind::{Basic, ClientCertificate, OAuth, RootCa, Scram256, Scram512};
    match access {
        Access::Secret { kind: Basic | Scram256 | Scram512 | OAuth, .. }
        | Access::Iam { .. }
        | Access::WebIdentity { .. } => true,
        Access::Secret { kind: ClientCertificate | RootCa, .. } | Access::Scope(_) | Access::Audience(_) => {
            false
        }
    }
}

/// What stands in the `type` of an entry.
#[derive(Clone, Copy, PartialEq)]
enum Type {
    Secret(AccessKind),
    Scope,
    Audience,
    Iam,
    WebIdentity,
    /// AWS's way into a VPC; outside AWS the bridge is where it is.
    Vpc,
}

const TYPES: [(&str, Type); 12] = [
    ("BASIC_AUTH", Type::Secret(AccessKind::Basic)),
    ("SASL_SCRAM_512_AUTH", Type::Secret(AccessKind::Scram512)),
    ("SASL_SCRAM_256_AUTH", Type::Secret(AccessKind::Scram256)),
    ("CLIENT_CERTIFICATE_TLS_AUTH", Type::Secret(AccessKind::ClientCertificate)),
    ("SERVER_ROOT_CA_CERTIFICATE", Type::Secret(AccessKind::RootCa)),
    ("OAUTHBEARER_AUTH", Type::Secret(AccessKind::OAuth)),
    ("OAUTHBEARER_SCOPE", Type::Scope),
    ("OAUTHBEARER_AUDIENCE", Type::Audience),
    ("IAM_AUTH", Type::Iam),
    ("IAM_OAUTHBEARER_AUTH", Type::WebIdentity),
    ("VPC_SUBNET", Type::Vpc),
    ("VPC_SECURITY_GROUP", Type::Vpc),
];

/// Of MSK's own: the rest is for clusters that are not AWS's.
const MSK: [Type; 4] = [
    Type::Secret(AccessKind::Scram512),
    Type::Secret(AccessKind::ClientCertificate),
    Type::Secret(AccessKind::RootCa),
    Type::Iam,
];

fn one_access(item: &Node, msk: bool, region: Option<&str>) -> Option<Access> {
    let fields = item.fields(&["type", "uri"])?;
    let node = fields.required("type")?;
    let text = node.text()?;
    if not_yet::ACCESS.contains(&text) {
        let remedy =
            "use OAUTHBEARER_AUTH, IAM_AUTH, SASL_SCRAM_512_AUTH, BASIC_AUTH or CLIENT_CERTIFICATE_TLS_AUTH";
        return node.refuse(not_yet::cannot(&format!("authenticate with {text}"), remedy));
    }
    let kind = node.one_of(&TYPES)?;
    if msk && kind != Type::Vpc && !MSK.contains(&kind) {
        return node.refuse(
            "is not for Amazon MSK; use IAM_AUTH, SASL_SCRAM_512_AUTH or CLIENT_CERTIFICATE_TLS_AUTH",
        );
    }
    if matches!(kind, Type::Iam | Type::WebIdentity) {
        return iam(&node, &fields, kind, region);
    }
    let uri = fields.required("uri")?;
    let text = uri.text()?;
    match kind {
        Type::Secret(kind) => {
            let secret = SecretRef::parse(text).map_err(|why| uri.wrong(why)).ok()?;
            Some(Access::Secret { kind, secret })
        }
        Type::Scope | Type::Audience if text.trim().is_empty() => uri.refuse("must be the value itself"),
        Type::Scope => Some(Access::Scope(text.to_owned())),
        Type::Audience => Some(Access::Audience(text.to_owned())),
        Type::Iam | Type::WebIdentity | Type::Vpc => None,
    }
}

/// By our AWS credentials, and so without a `uri`.
fn iam(node: &Node, fields: &Fields, kind: Type, region: Option<&str>) -> Option<Access> {
    if let Some(uri) = fields.get("uri") {
        uri.wrong("does not go with this type, which uses the AWS credentials of this process; remove it");
    }
    if !cfg!(feature = "kafka-iam") {
        return node.refuse("this klr was built without AWS credentials for Kafka (feature kafka-iam)");
    }
    let region = region.map(str::to_owned);
    Some(if kind == Type::Iam { Access::Iam { region } } else { Access::WebIdentity { region } })
}

/// The region of a cluster of AWS's: its ARN has it, and so have its brokers' own names
/// (`b-1.orders.abc.c2.kafka.eu-west-1.amazonaws.com`).
fn region(arn: Option<&str>, bootstrap: &[String]) -> Option<String> {
    if let Some(arn) = arn {
        return name::Arn::parse(arn).map(|arn| arn.region.to_owned());
    }
    let mut labels = bootstrap.first()?.split_once(".amazonaws.com")?.0.rsplit('.');
    let region = labels.next()?;
    matches!(labels.next()?, "kafka" | "kafka-serverless").then(|| region.to_owned())
}
