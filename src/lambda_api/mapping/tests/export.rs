//! A mapping of the API and the YAML it is exported as are one resource.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    super::{Mapping, State, change::runnable, check, document::document},
    stage::{queue, stream},
};
use crate::config;

fn mapping(settings: Value, tags: &[(&str, &str)]) -> Mapping {
    let uuid = Uuid::from_u128(0x0c0f_fee0);
    let mut settings = serde_json::from_value(settings).unwrap();
    let kind = check::settings(&settings, Timestamp::now()).unwrap();
    kind.settle(uuid, &mut settings);
    Mapping {
        uuid,
        function_arn: "arn:aws:lambda:us-east-1:111111111111:function:f:live".to_owned(),
        settings,
        state: State::Enabled,
        modified: Timestamp::UNIX_EPOCH,
        tags: tags
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>(),
        result: None,
    }
}

/// What it means, as far as it shows; where it stands differs.
fn meaning(mapping: &config::Mapping) -> String {
    let place = format!("{:?}", mapping.place);
    format!("{mapping:?}").replace(&place, "")
}

/// What the YAML of a mapping means, read as a file.
fn through_yaml(mapping: &Mapping) -> config::Mapping {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("exported.yaml");
    std::fs::write(&path, yaml_serde::to_string(&document(mapping)).unwrap()).unwrap();
    config::load(&[path]).unwrap().mappings.remove(0)
}

/// Words that YAML would read as something else.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,8}",
        "0[0-9]{1,3}",
        Just("on".to_owned()),
        Just("null".to_owned()),
        Just("1e3".to_owned())
    ]
}

fn pattern() -> impl Strategy<Value = Value> {
    (word(), word())
        .prop_map(|(name, value)| json!({"Pattern": json!({"body": {name: [value]}}).to_string()}))
}

prop_compose! {
    fn queues()(
        batch in 1..=10_000_i64, window in 1..=300_i64, report: bool, name in word(),
        filters in proptest::collection::vec(pattern(), 0..=5), concurrency in proptest::option::of(2..=1000_i64),
    ) -> Value {
        let types = if report { json!(["ReportBatchItemFailures"]) } else { json!([]) };
        json!({
            "EventSourceArn": queue(&name), "BatchSize": batch, "MaximumBatchingWindowInSeconds": window,
            "FunctionResponseTypes": types, "FilterCriteria": {"Filters": filters},
            "ScalingConfig": {"MaximumConcurrency": concurrency},
        })
    }
}

prop_compose! {
    fn streams()(
        batch in 1..=10_000_i64, parallel in 1..=10_i64, age in prop_oneof![Just(-1), 60..=604_800_i64],
        retries in -1..=10_000_i64, bisect: bool, tumbling in 0..=900_i64, begin in 0..3_usize, seconds in 0..=1_700_000_000_i64,
        failed in proptest::option::of(word()),
    ) -> Value {
        let start = ["LATEST", "TRIM_HORIZON", "AT_TIMESTAMP"][begin];
        let time = if begin == 2 { json!(seconds) } else { Value::Null };
        json!({
            "EventSourceArn": stream("s"), "BatchSize": batch, "ParallelizationFactor": parallel,
            "MaximumRecordAgeInSeconds": age, "MaximumRetryAttempts": retries, "BisectBatchOnFunctionError": bisect,
            "TumblingWindowInSeconds": tumbling, "StartingPosition": start, "StartingPositionTimestamp": time,
            "DestinationConfig": {"OnFailure": {"Destination": failed.map(|name| queue(&name))}},
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn yaml_exported_and_read_again_is_the_same_resource(settings in prop_oneof![queues(), streams()], tag in word()) {
        let mapping = mapping(settings, &[("a", &tag)]);
        let (direct, read) = (runnable(&mapping).unwrap(), through_yaml(&mapping));
        prop_assert_eq!(meaning(&direct), meaning(&read));
        prop_assert_eq!(read.uuid, mapping.uuid);
    }

    /// And what is told to AWS of it is what it was told.
    #[test]
    fn the_request_of_an_exported_mapping_is_what_was_asked_for(settings in prop_oneof![queues(), streams()]) {
        let mapping = mapping(settings, &[]);
        let (mut request, left_out) = config::request(&document(&mapping));
        prop_assert_eq!(left_out, vec![]);
        let members = request.as_object_mut().unwrap();
        prop_assert_eq!(members.remove("FunctionName"), Some(json!(mapping.function_arn)));
        prop_assert_eq!(members.remove("Enabled"), Some(json!(true)));
        prop_assert_eq!(request, serde_json::to_value(&mapping.settings).unwrap());
    }
}

/// MSK's brokers are asked of AWS there; here a tag may name them.
#[cfg(feature = "kafka")]
#[test]
fn a_tag_says_where_a_source_is() {
    let msk = json!({
        "EventSourceArn": "arn:aws:kafka:us-east-1:111111111111:cluster/c/0f1e-2",
        "StartingPosition": "TRIM_HORIZON", "Topics": ["orders"],
    });
    let refused = runnable(&mapping(msk.clone(), &[])).unwrap_err();
    assert!(refused.contains("klr:endpoint"), "{refused}");
    let config::Source::Kafka { config, .. } =
        runnable(&mapping(msk, &[("klr:endpoint", "b-1.example:9092")])).unwrap().source
    else {
        panic!("Kafka")
    };
    assert_eq!(config.bootstrap, ["b-1.example:9092"]);
}
