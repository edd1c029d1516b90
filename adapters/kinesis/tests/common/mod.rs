//! Streams on a real server, and logs over them.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, Shard, StreamStatus};
use klr_contract::memory::store::{Member, Table};
use klr_contract::{Arrival, Error, Log, Partition, Place, Position, Record, Store as _};
use klr_kinesis::{Config, Source};
use tokio::time::{sleep, timeout};

/// Long enough for a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const MAPPING: &str = "mapping";

/// A stream of its own, and the table its readers share.
pub struct Scene {
    pub client: Client,
    pub name: String,
    pub config: Config,
    pub table: Table,
}

impl Scene {
    pub async fn new(endpoint: &str, shards: u32) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("s-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let client = Client::new(&klr_aws::config("us-east-1", "KINESIS", Some(endpoint)).await);
        let arn = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{name}").parse().unwrap();
        let config = Config { endpoint: Some(endpoint.to_owned()), ..Config::new(arn, MAPPING).unwrap() };
        let scene = Self { client, name, config, table: Table::default() };
        scene.create(shards).await;
        scene
    }

    pub async fn create(&self, shards: u32) {
        self.client.create_stream().stream_name(&self.name).shard_count(shards as i32).send().await.unwrap();
        self.active().await;
    }

    pub async fn delete(&self) {
        self.client.delete_stream().stream_name(&self.name).send().await.unwrap();
        while self.client.describe_stream_summary().stream_name(&self.name).send().await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn active(&self) {
        loop {
            let answer = self.client.describe_stream_summary().stream_name(&self.name).send().await;
            let status = answer.ok().and_then(|a| a.stream_description_summary).map(|s| s.stream_status);
            if status == Some(StreamStatus::Active) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// In order of their ids.
    pub async fn shards(&self) -> Vec<Shard> {
        let answer = self.client.list_shards().stream_name(&self.name).send().await.unwrap();
        let mut shards = answer.shards.unwrap();
        shards.sort_by(|a, b| a.shard_id.cmp(&b.shard_id));
        shards
    }

    /// To the shard with this number, in order.
    pub async fn put(&self, shard: usize, bodies: &[String]) {
        let hash = self.shards().await[shard].hash_key_range.clone().unwrap().starting_hash_key;
        self.put_at(&hash, bodies).await;
    }

    /// To whichever shard takes this hash key.
    pub async fn put_at(&self, hash: &str, bodies: &[String]) {
        for some in bodies.chunks(400) {
            let entry = |body: &String| {
                PutRecordsRequestEntry::builder()
                    .data(Blob::new(body.as_bytes()))
                    .partition_key("key")
                    .explicit_hash_key(hash)
                    .build()
                    .unwrap()
            };
            let entries = some.iter().map(entry).collect();
            let answer = self.client.put_records().stream_name(&self.name).set_records(Some(entries));
            assert_eq!(answer.send().await.unwrap().failed_record_count.unwrap_or(0), 0);
        }
    }

    /// Splits a shard in the middle.
    pub async fn split(&self, shard: usize) {
        let shard = self.shards().await.remove(shard);
        let range = shard.hash_key_range.unwrap();
        let [from, to] =
            [range.starting_hash_key, range.ending_hash_key].map(|key| key.parse::<u128>().unwrap());
        let middle = from + (to - from) / 2;
        let call = self.client.split_shard().stream_name(&self.name).shard_to_split(shard.shard_id);
        call.new_starting_hash_key(middle.to_string()).send().await.unwrap();
        self.active().await;
    }

    pub async fn merge(&self, one: usize, other: usize) {
        let shards = self.shards().await;
        let call = self.client.merge_shards().stream_name(&self.name);
        let call =
            call.shard_to_merge(&shards[one].shard_id).adjacent_shard_to_merge(&shards[other].shard_id);
        call.send().await.unwrap();
        self.active().await;
    }

    /// A member of its own, as a process that reads the stream.
    pub async fn open(&self) -> Reader {
        self.open_as(self.config.clone()).await
    }

    pub async fn open_as(&self, config: Config) -> Reader {
        let member = Arc::new(self.table.join());
        Reader { log: Source::open(config, Arc::clone(&member) as _).await, member }
    }
}

/// A log and the process around it: leaving one leaves the other.
pub struct Reader {
    pub log: Source,
    pub member: Arc<Member>,
}

#[async_trait]
impl Log for Reader {
    async fn next(&self, want: usize) -> Result<Vec<Arrival>, Error> {
        self.log.next(want).await
    }
    fn flow(&self, partition: Partition, open: bool) {
        self.log.flow(partition, open);
    }
    async fn checkpoint(&self, through: &[(Partition, Position)]) -> Result<(), Error> {
        self.log.checkpoint(through).await
    }
    async fn release(&self, partition: Partition, through: Option<Position>) -> Result<(), Error> {
        self.log.release(partition, through).await
    }
    fn name(&self, partition: Partition) -> Option<Arc<str>> {
        self.log.name(partition)
    }
    fn lag(&self) -> Vec<(Partition, u64)> {
        self.log.lag()
    }
    async fn close(&self) -> Result<(), Error> {
        self.log.close().await?;
        self.member.close().await
    }
}

/// What came, until `enough` says so.
pub async fn read_until(log: &dyn Log, enough: impl Fn(&[Arrival]) -> bool) -> Vec<Arrival> {
    let mut all = Vec::new();
    let read = async {
        while !enough(&all) {
            match log.next(100_000).await {
                Ok(arrivals) => all.extend(arrivals),
                Err(error) => {
                    eprintln!("told: {error}");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    };
    if timeout(PATIENCE, read).await.is_err() {
        panic!("not enough came: {} arrivals, {:?}", all.len(), bodies(&all));
    }
    all
}

pub async fn read_records(log: &dyn Log, count: usize) -> Vec<Arrival> {
    read_until(log, |all| records(all).len() >= count).await
}

pub fn records(all: &[Arrival]) -> Vec<&Record> {
    all.iter().filter_map(|a| if let Arrival::Record(record) = a { Some(record) } else { None }).collect()
}

pub fn bodies(all: &[Arrival]) -> Vec<String> {
    records(all).into_iter().map(body).collect()
}

pub fn body(record: &Record) -> String {
    let json: serde_json::Value = serde_json::from_slice(record.json.as_ref().unwrap()).unwrap();
    let data = base64_simd::STANDARD.decode_to_vec(json["kinesis"]["data"].as_str().unwrap()).unwrap();
    String::from_utf8(data).unwrap()
}

pub fn place(record: &Record) -> (Partition, Position) {
    let Place::At { partition, position, .. } = &record.place else { panic!("a log's place") };
    (*partition, position.clone())
}

pub fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}
