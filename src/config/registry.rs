//! `schemaRegistryConfig` of a Kafka mapping.

use klr_kafka::{EventRecordFormat, Registry};

use super::access::{Access, AccessKind};
use super::node::{Fields, Node};
use super::secret::SecretRef;
use super::{name, not_yet};

/// The registry, and how to get in; [`resolve_registry`](super::resolve_registry) makes one of the two.
pub(super) fn read(node: &Node) -> Option<(Registry, Vec<Access>)> {
    let fields = node.fields(&[
        "accessConfigs",
        "eventRecordFormat",
        "schemaRegistryURI",
        "schemaRegistryUri",
        "schemaValidationConfigs",
    ])?;
    if !cfg!(feature = "kafka-registry") {
        return node.refuse("this klr was built without schema registries (feature kafka-registry)");
    }
    let access = fields.get("accessConfigs").map_or_else(Vec::new, |list| access(&list));
    let format = fields.required("eventRecordFormat").and_then(|node| {
        node.one_of(&[("JSON", EventRecordFormat::Json), ("SOURCE", EventRecordFormat::Source)])
    });
    let attributes = attributes(&fields);
    let url = url(&fields);
    let [key, value] = attributes?;
    let registry =
        Registry { url: url?, format: format?, key, value, user: None, tls: klr_kafka::Tls::default() };
    Some((registry, access))
}

fn url(fields: &Fields) -> Option<String> {
    let node = fields.get("schemaRegistryUri").or_else(|| fields.required("schemaRegistryURI"))?;
    let text = node.word()?;
    if name::Arn::parse(text).is_some_and(|arn| arn.service == "glue") {
        return node
            .refuse(not_yet::cannot("ask AWS Glue for schemas", "name a registry with Confluent's API"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-/*:_+=.@".contains(c);
    let web = text.starts_with("https://") || text.starts_with("http://");
    if !web || text.len() > 10_000 || !text.chars().all(allowed) || text.contains('@') {
        return node
            .refuse("must be the URL of a registry with Confluent's API, as https://registry.example.com");
    }
    Some(text.to_owned())
}

/// Keys and values.
fn attributes(fields: &Fields) -> Option<[bool; 2]> {
    let list = fields.required("schemaValidationConfigs")?;
    let items = list.items()?;
    if items.is_empty() {
        return list.refuse("must name KEY, VALUE or both: nothing else is decoded");
    }
    let mut attributes = [false; 2];
    for item in &items {
        let attribute = item.fields(&["attribute"])?.required("attribute")?;
        attributes[attribute.one_of(&[("KEY", 0), ("VALUE", 1)])?] = true;
    }
    Some(attributes)
}

fn access(list: &Node) -> Vec<Access> {
    let items = list.items().unwrap_or_default();
    if items.len() > 2 {
        list.wrong(format!("must be at most 2, is {}", items.len()));
    }
    items.iter().filter_map(one_access).collect()
}

fn one_access(item: &Node) -> Option<Access> {
    let fields = item.fields(&["type", "uri"])?;
    let node = fields.required("type")?;
    if node.text()? == "OAUTHBEARER_AUTH" {
        let remedy = "use BASIC_AUTH or CLIENT_CERTIFICATE_TLS_AUTH";
        return node.refuse(not_yet::cannot("show a schema registry a token", remedy));
    }
    let kind = node.one_of(&[
        ("BASIC_AUTH", AccessKind::Basic),
        ("CLIENT_CERTIFICATE_TLS_AUTH", AccessKind::ClientCertificate),
        ("SERVER_ROOT_CA_CERTIFICATE", AccessKind::RootCa),
    ])?;
    let uri = fields.required("uri")?;
    let secret = SecretRef::parse(uri.text()?).map_err(|why| uri.wrong(why)).ok()?;
    Some(Access::Secret { kind, secret })
}
