use std::collections::BTreeMap;

use serde::Deserialize;

use crate::handed::Place;

/// The records of a Lambda event, in the order they stand in within each partition.
pub fn places(event: &[u8]) -> Vec<Place> {
    #[derive(Deserialize)]
    struct Event {
        records: BTreeMap<String, Vec<Place>>,
    }
    let event: Event = serde_json::from_slice(event).expect("an event as AWS sends it for Kafka");
    event.records.into_values().flatten().collect()
}

/// The reply of a function that lists these records, as (partition, offset).
pub fn failures(topic: &str, failed: &[(i32, i64)]) -> String {
    let entry = |(partition, offset): &(i32, i64)| {
        format!(r#"{{"itemIdentifier":{{"partition":"{topic}-{partition}","offset":{offset}}}}}"#)
    };
    let entries: Vec<_> = failed.iter().map(entry).collect();
    format!(r#"{{"batchItemFailures":[{}]}}"#, entries.join(","))
}
