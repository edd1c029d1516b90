//! A mapping as CreateEventSourceMapping takes it.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// What AWS has no field for, by its path in the resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}: AWS has no such setting; left out")]
pub struct LeftOut(pub String);

/// Settings of ours, under `spec` and under `filterCriteria`.
const OURS: [&str; 7] = [
    "endpoint",
    "lambda",
    "maximumFilters",
    "onDestinationError",
    "onLostPosition",
    "sink",
    "strictOperators",
];
/// Their members' names are the user's.
const MAPS: [&str; 2] = ["endpoints", "tags"];

/// The request's body, and what of the resource (valid, or it would not be one) does not fit into it.
pub fn request(resource: &Value) -> (Value, Vec<LeftOut>) {
    let mut left_out = Vec::new();
    let spec = &resource["spec"];
    let mut body = members(spec, "spec", &mut left_out);
    if let Some(Value::String(text)) = body.get("StartingPositionTimestamp")
        && let Ok(time) = text.parse::<Timestamp>()
    {
        body.insert("StartingPositionTimestamp".into(), (time.as_millisecond() as f64 / 1000.0).into());
    }
    let path = "/destinationConfig/onFailure/destination";
    if spec.pointer(path).and_then(Value::as_str).is_some_and(|to| to.starts_with("http")) {
        body.remove("DestinationConfig");
        left_out.push(LeftOut("spec.destinationConfig.onFailure.destination".to_owned()));
    }
    (Value::Object(body), left_out)
}

fn members(value: &Value, path: &str, left_out: &mut Vec<LeftOut>) -> Map<String, Value> {
    let mut request = Map::new();
    for (name, value) in value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        let path = format!("{path}.{name}");
        if OURS.contains(&name.as_str()) {
            left_out.push(LeftOut(path));
            continue;
        }
        let value = if MAPS.contains(&name.as_str()) { value.clone() } else { inner(value, &path, left_out) };
        request.insert(awss(name), value);
    }
    request
}

fn inner(value: &Value, path: &str, left_out: &mut Vec<LeftOut>) -> Value {
    match value {
        Value::Object(_) => Value::Object(members(value, path, left_out)),
        Value::Array(items) => items.iter().map(|item| inner(item, path, left_out)).collect(),
        other => other.clone(),
    }
}

/// As AWS spells it.
fn awss(name: &str) -> String {
    match name {
        "uri" => "URI".to_owned(),
        "kmsKeyArn" | "kMSKeyArn" => "KMSKeyArn".to_owned(),
        "schemaRegistryUri" => "SchemaRegistryURI".to_owned(),
        _ => {
            let mut letters = name.chars();
            letters
                .next()
                .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_resource_becomes_a_request() {
        let resource = json!({"apiVersion": "klr.dev/v1alpha1", "kind": "EventSourceMapping", "metadata": {"name": "m"}, "spec": {
            "eventSourceArn": "arn:aws:kinesis:us-east-1:000000000000:stream/s",
            "functionName": "f",
            "startingPosition": "AT_TIMESTAMP",
            "startingPositionTimestamp": "1970-01-01T00:00:01.5Z",
            "filterCriteria": {"filters": [{"pattern": "{}"}], "strictOperators": true},
            "kmsKeyArn": "",
            "sourceAccessConfigurations": [{"type": "BASIC_AUTH", "uri": "env:X"}],
            "selfManagedEventSource": {"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:1"]}},
            "tags": {"a": "b"},
            "onLostPosition": "stop",
            "queues": null,
            "destinationConfig": {"onFailure": {"destination": "http://sink"}},
        }});
        let (body, left_out) = request(&resource);
        assert_eq!(
            body,
            json!({
                "EventSourceArn": "arn:aws:kinesis:us-east-1:000000000000:stream/s",
                "FunctionName": "f",
                "StartingPosition": "AT_TIMESTAMP",
                "StartingPositionTimestamp": 1.5,
                "FilterCriteria": {"Filters": [{"Pattern": "{}"}]},
                "KMSKeyArn": "",
                "SourceAccessConfigurations": [{"Type": "BASIC_AUTH", "URI": "env:X"}],
                "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:1"]}},
                "Tags": {"a": "b"},
            })
        );
        let mut paths: Vec<_> = left_out.iter().map(|left| left.0.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(
            paths,
            [
                "spec.destinationConfig.onFailure.destination",
                "spec.filterCriteria.strictOperators",
                "spec.onLostPosition"
            ]
        );
    }
}
