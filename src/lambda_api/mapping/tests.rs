//! The operations through the front door, with a runner that does as it is told.

mod export;
mod life;
mod recorded;
mod stage;

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    super::tests::{leaf_through, send},
    resource::Mapping,
};
use stage::{Stage, TABLE, queue, stream};

#[tokio::test]
async fn what_is_created_is_echoed_listed_changed_and_deleted() {
    let stage = Stage::new().await;
    let (status, made) =
        stage.create(json!({"EventSourceArn": queue("q"), "FunctionName": "f", "Tags": {"a": "b"}})).await;
    assert_eq!((status, &made["State"]), (202, &json!("Creating")));
    let uuid = made["UUID"].as_str().unwrap().to_owned();
    assert_eq!(
        made["EventSourceMappingArn"],
        format!("arn:aws:lambda:us-east-1:111111111111:event-source-mapping:{uuid}")
    );
    assert!(
        made["LastModified"].is_f64()
            && made.get("Tags").is_none()
            && made.get("LastProcessingResult").is_none()
    );
    stage.settled(&uuid, "Enabled").await;

    let (status, listed) = stage.ask("GET", "", Value::Null).await;
    assert_eq!((status, listed["EventSourceMappings"][0]["UUID"].as_str()), (200, Some(uuid.as_str())));
    assert!(listed.get("NextMarker").is_none());

    let (status, changed) =
        stage.ask("PUT", &format!("/{uuid}"), json!({"BatchSize": 5, "Enabled": true})).await;
    assert_eq!((status, &changed["State"], &changed["BatchSize"]), (202, &json!("Updating"), &json!(5)));
    stage.settled(&uuid, "Enabled").await;
    let (_, disabled) = stage.ask("PUT", &format!("/{uuid}"), json!({"Enabled": false})).await;
    assert_eq!(disabled["State"], "Disabling");
    let disabled = stage.settled(&uuid, "Disabled").await;
    assert_eq!(disabled["BatchSize"], 5);

    let (status, deleted) = stage.ask("DELETE", &format!("/{uuid}"), Value::Null).await;
    assert_eq!((status, &deleted["State"], &deleted["BatchSize"]), (202, &json!("Deleting"), &json!(5)));
    stage.gone(&uuid).await;
}

/// AWS: with `:$LATEST` and without are two answers, and two mappings.
#[tokio::test]
async fn a_function_is_echoed_as_it_was_named() {
    let stage = Stage::new().await;
    let arn = "arn:aws:lambda:us-east-1:111111111111:function:f";
    for (nth, (name, echoed)) in [
        ("f", arn.to_owned()),
        ("f:$LATEST", format!("{arn}:$LATEST")),
        ("111111111111:function:f:live", format!("{arn}:live")),
        (&format!("{arn}:1"), format!("{arn}:1")),
        (arn, arn.to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        let (status, made) =
            stage.create(json!({"EventSourceArn": queue(&format!("q{nth}")), "FunctionName": name})).await;
        assert_eq!((status, made["FunctionArn"].as_str()), (202, Some(echoed.as_str())), "{name}");
    }
    let (_, listed) = stage.ask("GET", "?FunctionName=f", Value::Null).await;
    assert_eq!(listed["EventSourceMappings"].as_array().unwrap().len(), 2);
    let (_, listed) = stage.ask("GET", &format!("?EventSourceArn={}", queue("q2")), Value::Null).await;
    assert_eq!(listed["EventSourceMappings"][0]["FunctionArn"], format!("{arn}:live"));
    for name in ["g", "f:2", "f:unknown"] {
        let (status, refused) =
            stage.create(json!({"EventSourceArn": queue("q"), "FunctionName": name})).await;
        assert_eq!((status, refused["message"].as_str()), (400, Some("Function does not exist")), "{name}");
    }
}

#[tokio::test]
async fn a_thousand_mappings_are_listed_in_no_time() {
    let Stage { api, .. } = &Stage::new().await;
    let one = json!({"EventSourceArn": queue("q"), "FunctionName": "f", "Enabled": false});
    let path = "/2015-03-31/event-source-mappings";
    let (_, made) = send(api, "POST", path, one).await;
    let one = api.mappings.shelf.get(made["UUID"].as_str().unwrap()).unwrap();
    let mut change = api.change().await;
    for _ in 1..1000 {
        let mapping = Mapping { uuid: Uuid::new_v4(), ..Mapping::clone(&one) };
        change.put(&api.mappings.shelf, mapping.uuid.to_string(), mapping);
    }
    change.commit().await.unwrap();
    let (seen, page) = leaf_through(api, path, "EventSourceMappings").await;
    assert_eq!(seen, 1000);
    assert!(page < Duration::from_millis(100), "{page:?}");
}

#[tokio::test]
async fn what_the_model_refuses_is_told_together() {
    let stage = Stage::new().await;
    let (status, said) = stage
        .create(json!({
            "EventSourceArn": queue("q"), "FunctionName": "f o", "BatchSize": 0,
            "DocumentDBEventSourceConfig": {"FullDocument": "Yes"},
        }))
        .await;
    let said = said["message"].as_str().unwrap();
    assert_eq!(status, 400, "{said}");
    assert!(said.starts_with("3 validation errors detected: Value 'f o' at 'functionName'"), "{said}");
}

#[tokio::test]
async fn what_is_empty_takes_away() {
    let stage = Stage::new().await;
    let (_, made) = stage
        .create(json!({
            "EventSourceArn": stream("s"), "FunctionName": "f", "StartingPosition": "LATEST",
            "DestinationConfig": {"OnFailure": {"Destination": queue("failed")}},
            "FilterCriteria": {"Filters": [{"Pattern": "{\"data\":{\"a\":[1]}}"}]},
            "KMSKeyArn": "arn:aws:kms:us-east-1:111111111111:key/k",
        }))
        .await;
    let uuid = made["UUID"].as_str().unwrap().to_owned();
    assert_eq!(made["DestinationConfig"]["OnFailure"]["Destination"], queue("failed"));
    stage.settled(&uuid, "Enabled").await;
    let (_, listed) = stage.ask("GET", "", Value::Null).await;
    assert!(listed["EventSourceMappings"][0].get("FilterCriteria").is_none(), "encrypted");
    let (_, got) = stage.ask("GET", &format!("/{uuid}"), Value::Null).await;
    assert_eq!(got["FilterCriteria"]["Filters"].as_array().unwrap().len(), 1);

    let none = json!({"DestinationConfig": {"OnFailure": {"Destination": ""}}, "FilterCriteria": {}, "KMSKeyArn": ""});
    let (status, changed) = stage.ask("PUT", &format!("/{uuid}"), none).await;
    assert_eq!((status, &changed["DestinationConfig"]), (202, &json!({"OnFailure": {}})));
    assert!(changed.get("FilterCriteria").is_none() && changed.get("KMSKeyArn").is_none(), "{changed}");
}

#[tokio::test]
async fn tags_are_kept_with_a_mapping() {
    let stage = Stage::new().await;
    let request = json!({"EventSourceArn": queue("q"), "FunctionName": "f", "Tags": {"a": "b"}});
    let (_, made) = stage.create(request).await;
    let arn = made["EventSourceMappingArn"].as_str().unwrap();
    let path = format!("/2017-03-31/tags/{arn}");
    let tags = || async { send(&stage.api, "GET", &path, Value::Null).await.1["Tags"].clone() };
    assert_eq!(tags().await, json!({"a": "b"}));
    send(&stage.api, "POST", &path, json!({"Tags": {"c": "d"}})).await;
    send(&stage.api, "DELETE", &format!("{path}?tagKeys=a"), Value::Null).await;
    assert_eq!(tags().await, json!({"c": "d"}));
    let reserved = json!({"EventSourceArn": queue("r"), "FunctionName": "f", "Tags": {"aws:a": "b"}});
    let (status, refused) = stage.create(reserved).await;
    assert!(status == 400 && refused["message"].as_str().unwrap().starts_with("aws: prefixed"), "{refused}");
    let unknown = format!("{}{}", &path[..path.len() - 36], uuid::Uuid::nil());
    assert_eq!(send(&stage.api, "GET", &unknown, Value::Null).await.0, 404);
}

#[tokio::test]
async fn the_front_door_says_everything_at_once() {
    let stage = Stage::new().await;
    let (status, refused) = stage
        .create(json!({
            "EventSourceArn": "x", "FunctionName": "f", "BatchSize": 0, "MaximumBatchingWindowInSeconds": 301,
            "FunctionResponseTypes": ["a"], "ScalingConfig": {"MaximumConcurrency": 1},
        }))
        .await;
    let message = refused["message"].as_str().unwrap();
    assert_eq!(status, 400);
    assert!(
        refused.get("Type").is_none()
            && message.starts_with("5 validation errors detected: Value 'x' at 'eventSourceArn'"),
        "{message}"
    );
    for part in [
        "Value '0' at 'batchSize' failed to satisfy constraint: Member must have value greater than or equal to 1",
        "Value '301' at 'maximumBatchingWindowInSeconds' failed to satisfy constraint: Member must have value less than or equal to 300",
        "Value '[a]' at 'functionResponseTypes' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [ReportBatchItemFailures]]",
        "Value '1' at 'scalingConfig.maximumConcurrency' failed to satisfy constraint: Member must have value greater than or equal to 2",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let (status, refused) = stage.create(json!({"EventSourceArn": queue("q")})).await;
    assert_eq!(
        (status, refused["message"].as_str()),
        (
            400,
            Some(
                "1 validation error detected: Value null at 'functionName' failed to satisfy constraint: Member must not be null"
            )
        )
    );
    let (status, refused) =
        stage.create(json!({"EventSourceArn": queue("q"), "FunctionName": "f", "BatchSize": "1"})).await;
    assert_eq!(status, 400, "{refused}");
}

#[tokio::test]
async fn a_thousand_are_listed_page_by_page() {
    let stage = Stage::new().await;
    let made = json!({"EventSourceArn": queue("q0"), "FunctionName": "f", "Enabled": false});
    let (_, made) = stage.create(made).await;
    let one = stage.api.mappings.shelf.get(made["UUID"].as_str().unwrap()).unwrap();
    let mut change = stage.api.change().await;
    for _ in 1..1000 {
        let uuid = uuid::Uuid::new_v4();
        let another = super::Mapping { uuid, ..super::Mapping::clone(&one) };
        change.put(&stage.api.mappings.shelf, uuid.to_string(), another);
    }
    change.commit().await.unwrap();
    let (mut seen, mut marker, mut slowest) = (0, String::new(), std::time::Duration::ZERO);
    loop {
        let begun = std::time::Instant::now();
        let (_, page) = stage.ask("GET", &format!("?MaxItems=10000{marker}"), Value::Null).await;
        slowest = slowest.max(begun.elapsed());
        seen += page["EventSourceMappings"].as_array().unwrap().len();
        let Some(next) = page["NextMarker"].as_str() else { break };
        assert_eq!(seen % 100, 0, "AWS: a hundred at most");
        marker = format!("&Marker={next}");
    }
    assert_eq!(seen, 1000);
    // The promise is 100 ms; an unoptimized build on a busy machine gets some more.
    assert!(slowest < std::time::Duration::from_secs(1), "{slowest:?}");
}

#[tokio::test]
async fn a_source_that_is_not_there_is_refused_and_nothing_is_kept() {
    let stage = Stage::new().await;
    let missing = format!("{TABLE}-missing/stream/2026-01-01T00:00:00.000");
    let request = json!({"EventSourceArn": missing, "FunctionName": "f", "StartingPosition": "LATEST"});
    let (status, refused) = stage.create(request).await;
    assert_eq!(
        (status, refused["message"].as_str()),
        (400, Some(format!("Stream not found: {missing}").as_str()))
    );
    assert!(stage.api.mappings.shelf.is_empty());
}

#[tokio::test]
async fn a_source_is_in_the_functions_region() {
    let stage = Stage::new().await;
    let refused = "Event source region must match Lambda region us-east-1";
    for arn in [
        "arn:aws:sqs:eu-west-1:111111111111:q",
        "arn:aws-cn:sqs:us-east-1:111111111111:q",
        "arn:aws:kinesis:us-west-2:111111111111:stream/s",
        "arn:aws:dynamodb:us-west-2:111111111111:table/t/stream/2026-01-01T00:00:00.000",
    ] {
        let mut request = json!({"EventSourceArn": arn, "FunctionName": "f"});
        if !arn.contains("sqs") {
            request["StartingPosition"] = json!("LATEST");
        }
        let (status, said) = stage.create(request).await;
        assert_eq!((status, said["message"].as_str()), (400, Some(refused)), "{arn}");
    }
    // AWS: queues may be another account's. DynamoDB Local has one region, whatever it is told.
    for request in [
        json!({"EventSourceArn": "arn:aws:sqs:us-east-1:222222222222:q", "FunctionName": "f"}),
        json!({
            "EventSourceArn": "arn:aws:dynamodb:ddblocal:000000000000:table/t/stream/2026-01-01T00:00:00.000",
            "FunctionName": "f", "StartingPosition": "LATEST",
        }),
    ] {
        let (status, made) = stage.create(request).await;
        assert_eq!(status, 202, "{made}");
    }
}
