//! Failure records into a real bucket.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use aws_sdk_s3::{Client, Config};
use bytes::Bytes;
use klr_contract::{Destination as _, FailureRecord, Kind};
use klr_s3::Destination;
use klr_test_support::servers::Moto;

fn record(payload: Bytes) -> FailureRecord {
    FailureRecord {
        json: Bytes::from_static(br#"{"version":"1.0"}"#),
        payload: Some(payload),
        request_id: String::new(),
        mapping: "0d1e4f30-0000-4000-8000-000000000000".to_owned(),
        shard: "shardId-000000000001".to_owned(),
        timestamp: "2019-11-04T00:38:06.921Z".parse().unwrap(),
        key: None,
    }
}

#[tokio::test]
async fn a_record_is_an_object_with_its_payload_as_text() {
    let Some(server) = tokio::task::spawn_blocking(Moto::shared).await.unwrap() else { return };
    let endpoint = Some(server.endpoint.as_str());
    let config = klr_aws::config("us-east-1", "S3", endpoint).await;
    let client = Client::from_conf(Config::from(&config).to_builder().force_path_style(true).build());
    client.create_bucket().bucket("my.failed").send().await.unwrap();

    let destination = Destination::open("my.failed", "us-east-1", endpoint).await;
    destination.put(&record(r#"{"Records":["\"é"]}"#.into())).await.unwrap();
    // As large as they come: an event of 6 MB that is nothing but quotes.
    destination.put(&record(vec![b'"'; 6_291_456].into())).await.unwrap();

    let list = client.list_objects_v2().bucket("my.failed").send().await.unwrap();
    let mut objects: Vec<_> =
        list.contents().iter().map(|object| (object.size().unwrap(), object.key().unwrap())).collect();
    objects.sort_unstable();
    let [(_, small), (large, _)] = objects[..] else { panic!("expected two objects, got {objects:?}") };
    assert_eq!(large, 2 * 6_291_456 + 17 + 13);
    let before = "aws/lambda/0d1e4f30-0000-4000-8000-000000000000/shardId-000000000001/2019/11/04/2019-11-04T00.38.06-";
    assert!(uuid::Uuid::parse_str(small.strip_prefix(before).unwrap()).is_ok(), "{small}");
    let object = client.get_object().bucket("my.failed").key(small).send().await.unwrap();
    assert_eq!(object.content_type(), Some("application/json"));
    let body = object.body.collect().await.unwrap().into_bytes();
    assert_eq!(body, r#"{"version":"1.0","payload":"{\"Records\":[\"\\\"é\"]}"}"#);
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_an_error() {
    let Some(server) = tokio::task::spawn_blocking(Moto::shared).await.unwrap() else { return };
    let destination = Destination::open("nowhere", "us-east-1", Some(&server.endpoint)).await;
    let error = destination.put(&record(Bytes::new())).await.unwrap_err();
    assert!(error.to_string().contains("S3 Error Code: NoSuchBucket"), "{error}");
    assert!(matches!(error.kind(), Kind::Retry { .. }));
}
