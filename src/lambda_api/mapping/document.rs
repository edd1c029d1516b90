//! A mapping as a file would have it, so that what reads files reads it: there is one rule for both.

use serde_json::{Map, Value, json};

use super::resource::Mapping;

/// A tag that says where the source's server is, for tools that can set tags and no environment.
pub(super) const ENDPOINT: &str = "klr:endpoint";

/// The resource (design.md §2), named by its UUID.
pub(super) fn document(mapping: &Mapping) -> Value {
    let settings = serde_json::to_value(&mapping.settings).expect("plain members");
    let mut spec = match camel(settings) {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    spec.insert("functionName".into(), mapping.function_arn.clone().into());
    spec.insert("enabled".into(), mapping.state.runs().into());
    if let Some(endpoint) = mapping.tags.get(ENDPOINT) {
        spec.insert("endpoint".into(), endpoint.clone().into());
    }
    if !mapping.tags.is_empty() {
        spec.insert("tags".into(), json!(mapping.tags));
    }
    json!({
        "apiVersion": "klr.dev/v1alpha1",
        "kind": "EventSourceMapping",
        "metadata": {"name": mapping.uuid, "uid": mapping.uuid},
        "spec": spec,
    })
}

/// AWS's members as files spell them. (A settings' only map with keys of its own has one in capitals, which stays.)
fn camel(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (lower(&name), camel(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(camel).collect(),
        other => other,
    }
}

fn lower(name: &str) -> String {
    match name {
        "URI" => "uri".to_owned(),
        "KMSKeyArn" => "kmsKeyArn".to_owned(),
        "KAFKA_BOOTSTRAP_SERVERS" => name.to_owned(),
        _ => {
            let mut letters = name.chars();
            letters
                .next()
                .map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + letters.as_str())
        }
    }
}
