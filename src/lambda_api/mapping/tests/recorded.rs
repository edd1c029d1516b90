//! What AWS answered, recorded: every answer of the control plane in the fixtures has to be ours.

use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::{Map, Value, json};

use super::stage::Stage;

/// What only the answer has, or what says where the mapping is.
const ANSWERED: [&str; 9] = [
    "EventSourceMappingArn",
    "FunctionArn",
    "LastModified",
    "LastProcessingResult",
    "ResponseMetadata",
    "State",
    "StateTransitionReason",
    "UUID",
    "Enabled",
];

fn recordings() -> Vec<PathBuf> {
    let Some(fixtures) = klr_test_support::fixtures() else { return Vec::new() };
    let folders =
        ["sqs", "kinesis", "dynamodb", "esm-api"].map(|name| fixtures.join("esm-snapshots").join(name));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort_unstable();
    files
}

fn content(path: &Path) -> Map<String, Value> {
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    file["recorded-content"].as_object().unwrap().clone()
}

/// A mask's stand-in that can stand in a name: `<resource:1>` becomes `resource-1`.
fn unmasked(text: &str) -> String {
    let text = text.replace("<partition>", "aws").replace("<region>", "us-east-1");
    let text = text.replace("maximum-batching-window-in-seconds", "10");
    let label = "stream/<resource:"; // A stream's label is a time.
    let text = match text.contains(":table/") && text.contains(label) {
        true => Regex::new("stream/<[^>]*>")
            .unwrap()
            .replace(&text, "stream/2026-01-01T00:00:00.000")
            .into_owned(),
        false => text,
    };
    Regex::new("<([a-z-]+):([0-9]+)>").unwrap().replace_all(&text, "$1-$2").into_owned()
}

/// The request that brings a recorded answer about: what is echoed was said. (JSON in a string is recorded as what it says.)
fn request(answer: &Value) -> Value {
    let text = |value: &Value| unmasked(&value.to_string());
    let mut request: Map<String, Value> = serde_json::from_str(&text(answer)).unwrap();
    let function = request["FunctionArn"].as_str().unwrap().to_owned();
    request.retain(|name, _| !ANSWERED.contains(&name.as_str()));
    request.insert("FunctionName".into(), function.into());
    if let Some(filters) = request.get_mut("FilterCriteria").and_then(|it| it["Filters"].as_array_mut()) {
        for filter in filters {
            // What was masked is a pattern too.
            let pattern = filter["Pattern"].to_string().replace("\"<approximate-creation-datetime>\"", "[1]");
            filter["Pattern"] = pattern.into();
        }
    }
    if let Some(window @ Value::String(_)) = request.get_mut("MaximumBatchingWindowInSeconds") {
        *window = json!(10);
    }
    if let Some(group) = request.get_mut("SelfManagedKafkaEventSourceConfig")
        && group["ConsumerGroupId"].as_str().is_some_and(|id| id.starts_with("uuid"))
    {
        request.remove("SelfManagedKafkaEventSourceConfig");
    }
    Value::Object(request)
}

/// Where `seen` is not what was recorded. Masks stand for anything.
fn differs(path: &str, recorded: &Value, seen: &Value) -> Option<String> {
    let no = || Some(format!("{path}: recorded {recorded}, seen {seen}"));
    match (recorded, seen) {
        (Value::String(mask), _)
            if matches!(
                mask.trim_matches(['<', '>']),
                "datetime" | "maximum-batching-window-in-seconds" | "approximate-creation-datetime"
            ) =>
        {
            None
        }
        (Value::String(recorded), Value::String(seen)) => {
            let pattern =
                regex::escape(&recorded.replace("<partition>", "aws").replace("<region>", "us-east-1"));
            let pattern = Regex::new("<[^>]*>").unwrap().replace_all(&pattern, ".+").into_owned();
            if Regex::new(&format!("^{pattern}$")).unwrap().is_match(seen) { None } else { no() }
        }
        (Value::Object(_) | Value::Array(_), Value::String(text)) => match serde_json::from_str(text) {
            Ok(said) => differs(path, recorded, &said),
            Err(_) => no(),
        },
        (Value::Object(recorded), Value::Object(seen)) => {
            let names = recorded.keys().chain(seen.keys());
            names.into_iter().find_map(|name| {
                let at = format!("{path}.{name}");
                match (recorded.get(name), seen.get(name)) {
                    (Some(recorded), Some(seen)) => differs(&at, recorded, seen),
                    // Recorded before AWS had it.
                    (None, Some(_)) if name == "EventSourceMappingArn" => None,
                    (recorded, seen) => Some(format!("{at}: recorded {recorded:?}, seen {seen:?}")),
                }
            })
        }
        (Value::Array(recorded), Value::Array(seen)) if recorded.len() == seen.len() => {
            recorded.iter().zip(seen).find_map(|(recorded, seen)| differs(path, recorded, seen))
        }
        (recorded, seen) if recorded == seen => None,
        _ => no(),
    }
}

#[track_caller]
fn fits(recorded: &Value, (status, mut seen): (u16, Value)) {
    assert_eq!(recorded["ResponseMetadata"]["HTTPStatusCode"], status, "{seen}");
    let mut recorded = recorded.as_object().unwrap().clone();
    recorded.remove("ResponseMetadata");
    // What SDKs make of the header and the body.
    if let Some(error) = recorded.remove("Error") {
        let message = seen.get("message").or_else(|| seen.get("Message")).cloned();
        assert_eq!(differs("", &error["Message"], &message.unwrap()), None);
        if error["Code"] == "ValidationException" {
            seen.as_object_mut().unwrap().remove("message");
        }
    }
    assert_eq!(differs("", &Value::Object(recorded), &seen), None);
}

#[tokio::test]
async fn every_recorded_create_is_echoed_as_aws_does() {
    let mut played = 0;
    for path in recordings() {
        let stage = Stage::new().await;
        for (name, answer) in content(&path) {
            let created = matches!(answer["State"].as_str(), Some("Creating" | "Disabled"));
            if !created || path.ends_with("create-event-source-self-managed.json") {
                continue;
            }
            let mut request = request(&answer);
            if answer["State"] == "Disabled" {
                request["Enabled"] = false.into();
            }
            println!("{}: {name}", path.display());
            fits(&answer, stage.create(request).await);
            played += 1;
        }
    }
    assert!(played == 0 || played >= 30, "{played}");
}

/// The least that says what a recorded answer leaves to AWS.
#[tokio::test]
async fn defaults_are_awss() {
    let Some(fixtures) = klr_test_support::fixtures() else { return };
    let recorded = |file: &str, name: &str| content(&fixtures.join("esm-snapshots").join(file))[name].clone();
    let stage = Stage::new().await;
    for (file, name) in [
        ("sqs/event-source-mapping-default-batch-size.json", "create-event-source-mapping"),
        ("kinesis/create-kinesis-event-source-mapping.json", "create_event_source_mapping_response"),
        ("dynamodb/deletion-event-source-mapping-with-dynamodb.json", "create_event_source_mapping_result"),
        ("esm-api/create-event-filter-criteria-validation.json", "response-with-empty-filters"),
    ] {
        let answer = recorded(file, name);
        let mut least = request(&answer);
        let names = ["EventSourceArn", "FunctionName", "StartingPosition"];
        least.as_object_mut().unwrap().retain(|name, _| names.contains(&name.as_str()));
        if name.contains("filters") {
            least["FilterCriteria"] = json!({"Filters": []});
        }
        fits(&answer, stage.create(least).await);
    }
}

#[tokio::test]
async fn what_was_refused_is_refused_in_the_same_words() {
    let Some(fixtures) = klr_test_support::fixtures() else { return };
    let recorded = |file: &str, name: &str| content(&fixtures.join("esm-snapshots").join(file))[name].clone();
    let stage = Stage::new().await;
    let queue = super::queue("resource-1");
    let stream = super::stream("resource-1");
    let table = |name: &str, label: &str| {
        format!("arn:aws:dynamodb:us-east-1:111111111111:table/{name}/stream/{label}")
    };
    let filter = |pattern: &str| json!({"Filters": [{"Pattern": pattern}]});

    let made = json!({"EventSourceArn": queue, "FunctionName": "resource-2"});
    let (_, first) = stage.create(made.clone()).await;
    fits(&recorded("sqs/duplicate-event-source-mappings.json", "error"), stage.create(made).await);
    let uuid = first["UUID"].as_str().unwrap().to_owned();
    stage.settled(&uuid, "Enabled").await;
    let file = "sqs/event-source-mapping-default-batch-size.json";
    let update = stage.ask("PUT", &format!("/{uuid}"), json!({"BatchSize": 11})).await;
    fits(&recorded(file, "invalid-update-event-source-mapping"), update);
    let create =
        json!({"EventSourceArn": super::queue("other"), "FunctionName": "resource-2", "BatchSize": 11});
    fits(&recorded(file, "invalid-create-event-source-mapping"), stage.create(create).await);
    for (file, pattern) in [("invalid-filter2", r#"{"eventSource": "aws:sqs"}"#), ("none", "null")] {
        let create = json!({"EventSourceArn": super::queue("other"), "FunctionName": "f", "FilterCriteria": filter(pattern)});
        let file = format!("sqs/sqs-invalid-event-filter-{file}.json");
        fits(&recorded(&file, "create_event_source_mapping_exception"), stage.create(create).await);
    }

    let made = json!({"EventSourceArn": stream, "FunctionName": "resource-2", "StartingPosition": "LATEST"});
    stage.create(made.clone()).await;
    fits(&recorded("kinesis/duplicate-event-source-mappings.json", "error"), stage.create(made).await);
    let file = "esm-api/create-event-source-validation-kinesis.json";
    let none = json!({"EventSourceArn": super::stream("other"), "FunctionName": "f"});
    fits(&recorded(file, "no_starting_position"), stage.create(none.clone()).await);
    let mut invalid = none;
    invalid["StartingPosition"] = "invalid".into();
    fits(&recorded(file, "invalid_starting_position"), stage.create(invalid).await);
    for (file, arn) in [
        ("kinesis/esm-with-not-existing-kinesis-stream.json", super::stream("test-foobar-81ded7e8")),
        (
            "dynamodb/esm-with-not-existing-dynamodb-stream.json",
            table("test-table-4a53f4e8", "2025-02-22T03:03:25.490"),
        ),
    ] {
        let create = json!({"EventSourceArn": arn, "FunctionName": "f", "StartingPosition": "LATEST"});
        fits(&recorded(file, "error"), stage.create(create).await);
    }
    let create = json!({
        "EventSourceArn": table("t", "2025-02-22T03:03:25.490"), "FunctionName": "f", "StartingPosition": "LATEST",
        "FilterCriteria": filter("single-string"),
    });
    let file = "dynamodb/dynamodb-invalid-event-filter-single-string.json";
    fits(&recorded(file, "exception_event_source_creation"), stage.create(create).await);

    let file = "esm-api/event-source-mapping-exceptions.json";
    let unknown = format!("/{}", uuid::Uuid::new_v4());
    fits(&recorded(file, "get_unknown_uuid"), stage.ask("GET", &unknown, Value::Null).await);
    fits(&recorded(file, "delete_unknown_uuid"), stage.ask("DELETE", &unknown, Value::Null).await);
    fits(&recorded(file, "update_unknown_uuid"), stage.ask("PUT", &unknown, json!({"Enabled": false})).await);
    fits(
        &recorded(file, "create_no_event_source_arn"),
        stage.create(json!({"FunctionName": "unknown"})).await,
    );
    let unknown = json!({"FunctionName": "unknown", "EventSourceArn": super::queue("somequeue")});
    fits(&recorded(file, "create_unknown_params"), stage.create(unknown.clone()).await);
    let mut success = unknown;
    success["DestinationConfig"] = json!({"OnSuccess": {"Destination": queue}});
    fits(&recorded(file, "destination_config_failure"), stage.create(success).await);
}

#[tokio::test]
async fn a_queue_is_disabled_enabled_and_read() {
    let Some(fixtures) = klr_test_support::fixtures() else { return };
    let recorded = content(&fixtures.join("esm-snapshots/sqs/fifo-message-group-parallelism.json"));
    let stage = Stage::new().await;
    let mut create = request(&recorded["create_esm_disabled"]);
    create["Enabled"] = false.into();
    let (status, made) = stage.create(create).await;
    let path = format!("/{}", made["UUID"].as_str().unwrap());
    fits(&recorded["create_esm_disabled"], (status, made.clone()));
    fits(&recorded["update_esm_enabling"], stage.ask("PUT", &path, json!({"Enabled": true})).await);
    stage.settled(made["UUID"].as_str().unwrap(), "Enabled").await;
    fits(&recorded["get_esm_enabled"], stage.ask("GET", &path, Value::Null).await);
}

#[tokio::test]
async fn kafka_of_ones_own() {
    let Some(fixtures) = klr_test_support::fixtures() else { return };
    let recorded = content(&fixtures.join("esm-snapshots/esm-api/create-event-source-self-managed.json"));
    let stage = Stage::new().await;
    let access = json!([{"Type": "BASIC_AUTH", "URI": "arn:aws:secretsmanager:us-east-1:111111111111:secret:s-aBcDeF"}]);
    let create = |brokers: &[&str], topic: &str| {
        json!({
            "FunctionName": "resource-1",
            "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": brokers}},
            "SourceAccessConfigurations": access,
            "StartingPosition": "TRIM_HORIZON",
            "Topics": [topic],
        })
    };
    let mut missing = create(&["kafka:1000"], "topic");
    missing.as_object_mut().unwrap().remove("SourceAccessConfigurations");
    fits(&recorded["missing-source-access-configuration"], stage.create(missing).await);
    fits(&recorded["event-source-mapping-default"], stage.create(create(&["kafka:1000"], "topic")).await);
    fits(&recorded["duplicate-source"], stage.create(create(&["kafka:1000"], "topic")).await);
    let mut values = create(&["kafka:1000"], "topic_2");
    values["BatchSize"] = 1.into();
    values["StartingPosition"] = "LATEST".into();
    values["SelfManagedKafkaEventSourceConfig"] = json!({"ConsumerGroupId": "random_id"});
    fits(&recorded["event-source-mapping-values"], stage.create(values).await);
    fits(
        &recorded["multiple-duplicate-source"],
        stage.create(create(&["kafka:1000", "kafka:2000"], "topic")).await,
    );
}
