//! The other side of a Kinesis mapping: streams, filled, split and merged behind the bridge's back.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, Shard, StreamStatus};
use serde_json::Value;

use crate::calls::{answer, done, ending};
use crate::eventually;
use crate::sink::Request;

/// Kinesis: records in one call.
const MOST: usize = 500;
/// Of a record that is its own key: Kinesis takes no more than 256 letters.
const KEY: usize = 64;
/// A stream that is made, split or deleted.
const PATIENCE: Duration = Duration::from_secs(30);

/// A stream on a server of the test's.
#[derive(Debug, Clone)]
pub struct Stream {
    client: Client,
    endpoint: String,
    /// Its name.
    pub name: String,
}

impl Stream {
    /// A stream with so many shards. `name` need only be good in this test: others get another ending.
    pub fn new(endpoint: &str, name: &str, shards: u32) -> Self {
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "for an emulator"))
            .endpoint_url(endpoint);
        let name = format!("{name}-{}", ending());
        let stream = Self { client: Client::from_conf(config.build()), endpoint: endpoint.to_owned(), name };
        stream.create(shards);
        stream
    }

    /// Makes it (again, after [`delete`](Self::delete)).
    pub fn create(&self, shards: u32) {
        let shards = i32::try_from(shards).expect("a few shards");
        done(self.client.create_stream().stream_name(&self.name).shard_count(shards).send());
        self.settle(|status| status == Some(StreamStatus::Active));
    }

    /// Deletes it with everything in it.
    pub fn delete(&self) {
        done(self.client.delete_stream().stream_name(&self.name).enforce_consumer_deletion(true).send());
        self.settle(|status| status.is_none());
    }

    fn settle(&self, is: impl Fn(Option<StreamStatus>) -> bool) {
        let status = || {
            let summary =
                answer(self.client.describe_stream_summary().stream_name(&self.name).send()).ok()?;
            Some(summary.stream_description_summary?.stream_status)
        };
        assert!(eventually(PATIENCE, || is(status())), "{} did not change its state", self.name);
    }

    /// As users write it.
    pub fn arn(&self) -> String {
        format!("arn:aws:kinesis:us-east-1:000000000000:stream/{}", self.name)
    }

    /// Registers a consumer and answers its ARN, which a mapping may name instead.
    pub fn consumer(&self, name: &str) -> String {
        let call = self.client.register_stream_consumer().stream_arn(self.arn()).consumer_name(name);
        done(call.send()).consumer.expect("a registered consumer is answered").consumer_arn
    }

    /// An `EventSourceMapping` from here to `sink`, named as the stream; `spec` holds more lines for its spec, the starting
    /// position among them.
    pub fn mapping(&self, sink: &str, spec: &str) -> String {
        let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
        let (name, arn, endpoint) = (&self.name, self.arn(), &self.endpoint);
        format!(
            "---\napiVersion: klr.dev/v1alpha1\nkind: EventSourceMapping\nmetadata: {{name: {name}}}\nspec:\n  \
             eventSourceArn: {arn}\n  endpoint: {endpoint}\n  functionName: function-of-{name}\n  \
             sink: {{uri: \"{sink}\"}}\n{spec}"
        )
    }

    /// Puts these, each with its partition key, in order as far as they go to one shard.
    pub fn put<'a>(&self, records: impl IntoIterator<Item = (&'a str, &'a [u8])>) {
        let entry = |(key, data): (&str, &[u8])| {
            let entry = PutRecordsRequestEntry::builder().data(Blob::new(data)).partition_key(key);
            entry.build().expect("data and key are set")
        };
        self.put_all(records.into_iter().map(entry).collect());
    }

    /// Puts these to the shard with this number, in order; their first letters are their partition keys.
    pub fn put_to(&self, shard: usize, records: &[String]) {
        let hash =
            self.shards()[shard].hash_key_range.clone().expect("a shard has hash keys").starting_hash_key;
        let entry = |data: &String| {
            let key: String = data.chars().take(KEY).collect();
            let entry = PutRecordsRequestEntry::builder().data(Blob::new(data.as_bytes())).partition_key(key);
            entry.explicit_hash_key(&hash).build().expect("data and key are set")
        };
        self.put_all(records.iter().map(entry).collect());
    }

    fn put_all(&self, entries: Vec<PutRecordsRequestEntry>) {
        for some in entries.chunks(MOST) {
            let call = self.client.put_records().stream_name(&self.name).set_records(Some(some.to_vec()));
            assert_eq!(done(call.send()).failed_record_count.unwrap_or(0), 0, "all records are taken");
        }
    }

    /// All shards, closed ones too, in order of their ids.
    pub fn shards(&self) -> Vec<Shard> {
        let answer = done(self.client.list_shards().stream_name(&self.name).send());
        let mut shards = answer.shards.unwrap_or_default();
        shards.sort_by(|a, b| a.shard_id.cmp(&b.shard_id));
        shards
    }

    /// Splits the shard with this number in the middle.
    pub fn split(&self, shard: usize) {
        let shard = self.shards().remove(shard);
        let range = shard.hash_key_range.expect("a shard has hash keys");
        let number = |key: &str| key.parse::<u128>().expect("a hash key is a number");
        let [from, to] = [number(&range.starting_hash_key), number(&range.ending_hash_key)];
        let call = self.client.split_shard().stream_name(&self.name).shard_to_split(shard.shard_id);
        done(call.new_starting_hash_key((from + (to - from) / 2).to_string()).send());
        self.settle(|status| status == Some(StreamStatus::Active));
    }

    /// Merges two neighbours.
    pub fn merge(&self, one: usize, other: usize) {
        let shards = self.shards();
        let call = self.client.merge_shards().stream_name(&self.name).shard_to_merge(&shards[one].shard_id);
        done(call.adjacent_shard_to_merge(&shards[other].shard_id).send());
        self.settle(|status| status == Some(StreamStatus::Active));
    }
}

/// The records of a delivered event, as the function sees them.
pub fn records(request: &Request) -> Vec<Value> {
    let mut event: Value = serde_json::from_slice(&request.body).expect("an event is JSON");
    match event["Records"].take() {
        Value::Array(records) => records,
        _ => panic!("a Kinesis event has a list of Records"),
    }
}
