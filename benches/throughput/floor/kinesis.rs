//! A loop for each shard that gets records and POSTs them by the hundred. There is nothing to settle: it keeps no position.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::types::ShardIteratorType;
use bytes::{BufMut, BytesMut};
use tokio::time::{Instant, sleep_until};

use super::post;

const BATCH: usize = 100;
/// Kinesis: five calls a second, and two megabytes.
const CALL: Duration = Duration::from_millis(200);
const BYTES_PER_SECOND: f64 = 2_097_152.0;

/// Until killed.
pub fn run(endpoint: &str, stream: &str, uri: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let http =
        reqwest::Client::builder().http1_only().tcp_nodelay(true).build().expect("a client can be made");
    let client = client(endpoint);
    runtime.block_on(async {
        let listed = client.list_shards().stream_name(stream).send().await.expect("the stream is there");
        let shards = listed.shards.unwrap_or_default().into_iter().map(|shard| {
            tokio::spawn(read(
                client.clone(),
                http.clone(),
                stream.to_owned(),
                shard.shard_id,
                uri.to_owned(),
            ))
        });
        for shard in shards.collect::<Vec<_>>() {
            shard.await.expect("a loop ends by a panic only");
        }
    });
}

async fn read(client: Client, http: reqwest::Client, stream: String, shard: String, uri: String) {
    let call = client.get_shard_iterator().stream_name(stream).shard_id(shard);
    let call = call.shard_iterator_type(ShardIteratorType::TrimHorizon);
    let mut iterator = call.send().await.expect("the shard is there").shard_iterator;
    while let Some(from) = iterator {
        let began = Instant::now();
        let call = client.get_records().shard_iterator(from).limit(10_000);
        let answer = call.send().await.expect("the shard answers");
        iterator = answer.next_shard_iterator;
        let bytes: usize = answer.records.iter().map(|record| record.data.as_ref().len()).sum();
        for batch in answer.records.chunks(BATCH) {
            let mut body = BytesMut::new();
            for record in batch {
                body.put_slice(record.data.as_ref());
                body.put_u8(b'\n');
            }
            post(&http, &uri, body.freeze()).await;
        }
        sleep_until(began + CALL.max(Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND))).await;
    }
}

fn client(endpoint: &str) -> Client {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "for an emulator"))
        .endpoint_url(endpoint);
    Client::from_conf(config.build())
}
