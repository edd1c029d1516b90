//! Objects out of a real bucket.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use klr_s3::Objects;
use klr_test_support::{s3::Bucket, servers::Moto};

#[tokio::test]
async fn an_object_is_read_whole_or_not_at_all() {
    let Some(server) = tokio::task::spawn_blocking(Moto::shared).await.unwrap() else { return };
    let endpoint = server.endpoint.clone();
    let put = move || Bucket::create(&endpoint, "code").put("a%20b/app.zip", "0123456789");
    tokio::task::spawn_blocking(put).await.unwrap();
    let objects = Objects::open("us-east-1", Some(&server.endpoint)).await;
    assert_eq!(objects.read("code", "a b/app.zip", None, 10).await.unwrap(), "0123456789");
    let said = async |bucket: &str, key: &str, most| {
        let refused = objects.read(bucket, key, None, most).await.unwrap_err();
        (refused.code, refused.message)
    };
    assert_eq!(said("code", "a b/app.zip", 9).await.0, "EntityTooLarge");
    let (code, message) = said("code", "none", 10).await;
    assert_eq!((code.as_str(), message.as_str()), ("NoSuchKey", "The specified key does not exist."));
    assert_eq!(said("nowhere", "app.zip", 10).await.0, "NoSuchBucket");
}
