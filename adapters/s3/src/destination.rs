//! A bucket as an on-failure destination.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::{
    Client, Config,
    config::{RequestChecksumCalculation::WhenRequired, timeout::TimeoutConfig},
    primitives::ByteStream,
};
use bytes::Bytes;
use klr_aws::failure;
use klr_contract::{Error, FailureRecord};
use uuid::Uuid;

/// What one attempt, and all of them, may take: an event of 6 MB, its quotes escaped, over a slow line.
const ATTEMPT: Duration = Duration::from_secs(60);
const CALL: Duration = Duration::from_secs(150);

/// A bucket that takes failure records: each is an object, the payload in it as text.
#[derive(Debug)]
pub struct Destination {
    client: Client,
    bucket: String,
}

impl Destination {
    /// A client for the bucket, which an ARN names without its `region`. Finds credentials; does not call the bucket yet.
    pub async fn open(bucket: &str, region: &str, endpoint: Option<&str>) -> Self {
        let shared = klr_aws::config(region, "S3", endpoint).await;
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(CALL);
        let mut config = Config::from(&shared).to_builder().timeout_config(timeouts.build());
        if klr_aws::elsewhere("S3", endpoint) {
            // `bucket.localhost` does not resolve, and the checksums the SDK adds by itself are news to many stores.
            config = config.force_path_style(true).request_checksum_calculation(WhenRequired);
        }
        Self { client: Client::from_conf(config.build()), bucket: bucket.to_owned() }
    }

    /// Puts an object of JSON.
    pub async fn object(&self, key: String, body: Bytes) -> Result<(), Error> {
        let call = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type("application/json")
            .body(ByteStream::from(body));
        call.send().await.map(drop).map_err(|error| failure("S3", "PutObject", &error))
    }
}

#[async_trait]
impl klr_contract::Destination for Destination {
    async fn put(&self, record: &FailureRecord) -> Result<(), Error> {
        self.object(key(record, Uuid::new_v4()), record.with_text()).await
    }
}

/// `aws/lambda/MAPPING/SHARD/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-UUID`, as AWS has it.
fn key(record: &FailureRecord, unique: Uuid) -> String {
    let FailureRecord { mapping, shard, timestamp, .. } = record;
    format!("aws/lambda/{mapping}/{shard}/{}-{unique}", timestamp.strftime("%Y/%m/%d/%Y-%m-%dT%H.%M.%S"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_awss() {
        let record = FailureRecord {
            json: Bytes::new(),
            payload: None,
            request_id: String::new(),
            mapping: "0d1e4f30-0000-4000-8000-000000000000".to_owned(),
            shard: "shardId-000000000001".to_owned(),
            timestamp: "2019-11-04T00:38:06.921Z".parse().unwrap(),
            key: None,
        };
        assert_eq!(
            key(&record, Uuid::nil()),
            "aws/lambda/0d1e4f30-0000-4000-8000-000000000000/shardId-000000000001/2019/11/04/\
             2019-11-04T00.38.06-00000000-0000-0000-0000-000000000000"
        );
    }
}
