//! `klr mappings`: what a running bridge maps, from files and from its Lambda API.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{
    admin::{Listing, Told},
    table::table,
};

pub(super) async fn run(listing: Listing) -> ExitCode {
    listing.print(listing.bridge.mappings().await, document, lines)
}

fn document(mapping: &Told) -> Value {
    let spec = &mapping.resource["spec"];
    json!({
        "name": mapping.name,
        "origin": mapping.origin,
        "eventSource": source(spec),
        "functionName": spec["functionName"],
        "state": mapping.state,
        "lastProcessingResult": mapping.last_processing_result,
    })
}

/// The ARN, or a topic and where it is.
fn source(spec: &Value) -> String {
    if let Some(arn) = spec["eventSourceArn"].as_str() {
        return arn.to_owned();
    }
    let brokers = &spec["selfManagedEventSource"]["endpoints"]["KAFKA_BOOTSTRAP_SERVERS"];
    let first = brokers[0].as_str().unwrap_or_default();
    format!("kafka://{first}/{}", spec["topics"][0].as_str().unwrap_or_default())
}

fn lines(mappings: &[Told]) -> Vec<String> {
    let head = ["NAME", "SOURCE", "FUNCTION", "STATE", "RESULT", "ORIGIN"];
    let row = |mapping: &Told| {
        let spec = &mapping.resource["spec"];
        let function = spec["functionName"].as_str().unwrap_or_default();
        let function = function.rsplit_once(":function:").map_or(function, |(_, name)| name);
        [
            mapping.name.clone(),
            source(spec),
            function.to_owned(),
            mapping.state.clone(),
            mapping.last_processing_result.clone(),
            mapping.origin.clone(),
        ]
    };
    table(head, mappings.iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        let told = |name: &str, spec: Value| Told {
            name: name.to_owned(),
            origin: "api".to_owned(),
            state: "Enabled".to_owned(),
            last_processing_result: "OK".to_owned(),
            resource: json!({ "spec": spec }),
        };
        let kafka = json!({
            "selfManagedEventSource": {"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["k:9092", "l:9092"]}},
            "topics": ["t"],
            "functionName": "arn:aws:lambda:us-east-1:000000000000:function:thumbs:live",
        });
        let sqs = json!({"eventSourceArn": "arn:aws:sqs:us-east-1:000000000000:q", "functionName": "f"});
        let lines = lines(&[told("orders", kafka), told("m", sqs)]);
        assert_eq!(
            lines,
            [
                "NAME    SOURCE                                FUNCTION     STATE    RESULT  ORIGIN",
                "orders  kafka://k:9092/t                      thumbs:live  Enabled  OK      api",
                "m       arn:aws:sqs:us-east-1:000000000000:q  f            Enabled  OK      api",
            ]
            .map(|line| line.to_owned())
        );
    }
}
