//! What the conformance suite does not ask of a table's stream.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, StreamViewType};
use common::{MAPPING, PATIENCE, Scene, bodies, place, read_records, read_until, records};
use klr_contract::{Arrival, Log, Mark, Shape as _};
use klr_dynamodb::{Config, OnLostPosition, Shape, Start};
use klr_test_support::servers::DynamoDbLocal;
use serde_json::{Value, json};
use tokio::time::timeout;

async fn events(scene: &Scene, count: usize) -> Vec<Value> {
    let seen = read_records(&scene.open().await, count).await;
    let batch: Vec<_> = records(&seen).into_iter().cloned().collect();
    let event = Shape.event(&batch);
    serde_json::from_slice::<aws_lambda_events::dynamodb::Event>(&event).unwrap();
    let mut event: Value = serde_json::from_slice(&event).unwrap();
    event["Records"].as_array_mut().unwrap().drain(..).collect()
}

/// Every kind of value a table can hold, through a real server into the event.
#[tokio::test(flavor = "multi_thread")]
async fn gives_lambdas_record() {
    let Some(server) = DynamoDbLocal::shared() else { return };
    let scene = Scene::new(&server.endpoint, StreamViewType::NewAndOldImages).await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let item = [
        ("s", text("quote \" é")),
        ("n", AttributeValue::N("3.14159".to_owned())),
        ("b", AttributeValue::B(Blob::new([0, 1, 255]))),
        ("bool", AttributeValue::Bool(true)),
        ("null", AttributeValue::Null(true)),
        ("ss", AttributeValue::Ss(vec!["a".to_owned()])),
        ("ns", AttributeValue::Ns(vec!["1".to_owned()])),
        ("bs", AttributeValue::Bs(vec![Blob::new([7])])),
        ("l", AttributeValue::L(vec![text("x"), AttributeValue::N("1".to_owned())])),
        ("m", AttributeValue::M([("in".to_owned(), AttributeValue::L(vec![]))].into())),
    ];
    let expected = json!({
        "id": {"S": "1"}, "s": {"S": "quote \" é"}, "n": {"N": "3.14159"}, "b": {"B": "AAH/"}, "bool": {"BOOL": true},
        "null": {"NULL": true}, "ss": {"SS": ["a"]}, "ns": {"NS": ["1"]}, "bs": {"BS": ["Bw=="]},
        "l": {"L": [{"S": "x"}, {"N": "1"}]}, "m": {"M": {"in": {"L": []}}},
    });
    scene.put_item("1", item.map(|(name, value)| (name.to_owned(), value)).into()).await;
    scene.put("1", "changed").await;
    scene.delete_item("1").await;
    let all = events(&scene, 3).await;
    assert_eq!(all[0]["dynamodb"]["NewImage"], expected);
    assert!(all[0]["dynamodb"].get("OldImage").is_none(), "an insertion has none");
    assert_eq!(all[1]["dynamodb"]["OldImage"], expected);
    assert_eq!(all[1]["dynamodb"]["NewImage"], json!({"id": {"S": "1"}, "body": {"S": "changed"}}));
    assert!(all[2]["dynamodb"].get("NewImage").is_none(), "a removal has none");
    for (record, name) in all.iter().zip(["INSERT", "MODIFY", "REMOVE"]) {
        assert_eq!(record["eventName"], name);
        assert_eq!(record["eventSource"], "aws:dynamodb");
        assert_eq!(record["eventSourceARN"], scene.config.arn.to_string());
        assert_eq!(record["dynamodb"]["Keys"], json!({"id": {"S": "1"}}));
        assert_eq!(record["dynamodb"]["StreamViewType"], "NEW_AND_OLD_IMAGES");
        assert!(record["dynamodb"]["SizeBytes"].is_u64() && record.get("userIdentity").is_none());
        assert!(record["dynamodb"]["ApproximateCreationDateTime"].is_i64(), "{record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn views_give_what_they_say() {
    let Some(server) = DynamoDbLocal::shared() else { return };
    for (view, new, old) in [
        (StreamViewType::KeysOnly, false, false),
        (StreamViewType::NewImage, true, false),
        (StreamViewType::OldImage, false, true),
    ] {
        let scene = Scene::new(&server.endpoint, view.clone()).await;
        scene.put("1", "a").await;
        scene.put("1", "b").await;
        let all = events(&scene, 2).await;
        let change = &all[1]["dynamodb"];
        assert_eq!(
            (change.get("NewImage").is_some(), change.get("OldImage").is_some()),
            (new, old),
            "{view:?}"
        );
        assert_eq!(change["StreamViewType"], view.as_str());
    }
}

/// Opened, killed before anything was delivered, opened again: what was changed in between is not lost.
#[tokio::test(flavor = "multi_thread")]
async fn latest_is_fixed_at_the_first_start() {
    let Some(server) = DynamoDbLocal::shared() else { return };
    let scene = Scene::new(&server.endpoint, StreamViewType::NewImage).await;
    scene.put("1", "before").await;
    let config = Config { start: Start::Latest, ..scene.config.clone() };
    let log = scene.open_as(config.clone()).await;
    let seen = read_until(&log, |all| matches!(all, [Arrival::Gained(_), ..])).await;
    let Arrival::Gained(partition) = seen[0] else { panic!("gained") };
    let shard = log.name(partition).unwrap();
    assert!(matches!(scene.rows.row(MAPPING, &shard).unwrap().mark, Mark::Moment(_)));
    scene.put("1", "after").await;
    assert_eq!(bodies(&read_records(&log, 1).await), ["after"]);
    drop(log);
    scene.put("1", "between").await;
    let log = scene.open_as(config).await;
    // DynamoDB Local knows minutes only: what was changed in this one before the start may come too.
    let seen = read_until(&log, |all| bodies(all).contains(&"between".to_owned())).await;
    assert!(bodies(&seen).ends_with(&["after".to_owned(), "between".to_owned()]), "{:?}", bodies(&seen));
}

/// The mapping has a position in the table's stream.
async fn read_one(scene: &Scene) {
    scene.put("1", "a").await;
    let log = scene.open().await;
    let seen = read_records(&log, 1).await;
    log.checkpoint(&[place(records(&seen)[0])]).await.unwrap();
    log.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_stream_of_the_table_is_another_stream() {
    let Some(server) = DynamoDbLocal::shared() else { return };
    let scene = Scene::new(&server.endpoint, StreamViewType::NewImage).await;
    read_one(&scene).await;
    let other = scene.another_stream().await;
    scene.put("1", "b").await;
    let stop = Config { on_lost_position: OnLostPosition::Stop, ..other.clone() };
    let error = timeout(PATIENCE, scene.open_as(stop).await.next(1)).await.unwrap().unwrap_err();
    assert_eq!(error.code(), "shards-position-lost", "{error}");
    let log = scene.open_as(other).await;
    assert_eq!(bodies(&read_records(&log, 1).await), ["b"]);
}

/// As for a mapping that is new: nothing is lost that it ever had.
#[tokio::test(flavor = "multi_thread")]
async fn another_tables_stream_begins_as_the_mapping_says() {
    let Some(server) = DynamoDbLocal::shared() else { return };
    let scene = Scene::new(&server.endpoint, StreamViewType::NewImage).await;
    read_one(&scene).await;
    let other = Scene::new(&server.endpoint, StreamViewType::NewImage).await;
    other.put("1", "b").await;
    let stop = Config { on_lost_position: OnLostPosition::Stop, ..other.config.clone() };
    assert_eq!(bodies(&read_records(&scene.open_as(stop).await, 1).await), ["b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_stream_is_named_as_aws_names_it() {
    let Some(server) = DynamoDbLocal::shared() else { return };
    let scene = Scene::new(&server.endpoint, StreamViewType::NewImage).await;
    let arn = format!("{}9", scene.config.arn).parse().unwrap();
    let log = scene.open_as(Config { arn, ..scene.config.clone() }).await;
    let error = timeout(PATIENCE, log.next(1)).await.unwrap().unwrap_err();
    assert_eq!(error.code(), "dynamodb-no-stream", "{error}");
    assert!(error.to_string().starts_with("Stream not found: arn:"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn once_ends_at_the_end_it_had() {
    let Some(server) = DynamoDbLocal::shared() else { return };
    let scene = Scene::new(&server.endpoint, StreamViewType::NewImage).await;
    for n in 0..20 {
        scene.put("1", &n.to_string()).await;
    }
    let log = scene.open_as(Config { once: true, ..scene.config.clone() }).await;
    let seen = read_until(&log, |all| matches!(all.last(), Some(Arrival::Ended(_)))).await;
    assert_eq!(bodies(&seen), (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}
