//! Tables with streams on a real server, and logs over them.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    StreamSpecification, StreamViewType,
};
use klr_contract::memory::store::{Member, Table as Rows};
use klr_contract::{Arrival, Error, Log, Partition, Place, Position, Record, Store as _};
use klr_dynamodb::{Config, Source};
use tokio::time::{sleep, timeout};

/// Long enough for a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const MAPPING: &str = "mapping";

/// A table of its own, and the rows its readers share.
pub struct Scene {
    pub client: Client,
    pub table: String,
    pub config: Config,
    pub rows: Rows,
}

impl Scene {
    pub async fn new(endpoint: &str, view: StreamViewType) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let table = format!("t-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let client = Client::new(&klr_aws::config("us-east-1", "DYNAMODB", Some(endpoint)).await);
        let key = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S);
        let schema = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash);
        let stream = StreamSpecification::builder().stream_enabled(true).stream_view_type(view);
        let call = client.create_table().table_name(&table).billing_mode(BillingMode::PayPerRequest);
        let call = call.attribute_definitions(key.build().unwrap()).key_schema(schema.build().unwrap());
        let answer = call.stream_specification(stream.build().unwrap()).send().await.unwrap();
        let arn = answer.table_description.unwrap().latest_stream_arn.unwrap().parse().unwrap();
        let config = Config { endpoint: Some(endpoint.to_owned()), ..Config::new(arn, MAPPING).unwrap() };
        Self { client, table, config, rows: Rows::default() }
    }

    /// The table's stream is ended, and it has another from now on: a mapping of that one.
    pub async fn another_stream(&self) -> Config {
        for stream in [None, Some(StreamViewType::NewImage)] {
            let specified =
                StreamSpecification::builder().stream_enabled(stream.is_some()).set_stream_view_type(stream);
            let call = self.client.update_table().table_name(&self.table);
            call.stream_specification(specified.build().unwrap()).send().await.unwrap();
        }
        let answer = self.client.describe_table().table_name(&self.table).send().await.unwrap();
        let arn = answer.table.unwrap().latest_stream_arn.unwrap().parse().unwrap();
        Config { arn, ..self.config.clone() }
    }

    /// Puts an item whose `body` is this; every put is a record.
    pub async fn put(&self, id: &str, body: &str) {
        self.put_item(id, [("body".to_owned(), AttributeValue::S(body.to_owned()))].into()).await;
    }

    pub async fn put_item(&self, id: &str, mut item: HashMap<String, AttributeValue>) {
        item.insert("id".to_owned(), AttributeValue::S(id.to_owned()));
        self.client.put_item().table_name(&self.table).set_item(Some(item)).send().await.unwrap();
    }

    pub async fn delete_item(&self, id: &str) {
        let key = AttributeValue::S(id.to_owned());
        self.client.delete_item().table_name(&self.table).key("id", key).send().await.unwrap();
    }

    /// A member of its own, as a process that reads the stream.
    pub async fn open_as(&self, config: Config) -> Reader {
        let member = Arc::new(self.rows.join());
        Reader { log: Box::new(Source::open(config, Arc::clone(&member) as _).await), member }
    }

    pub async fn open(&self) -> Reader {
        self.open_as(self.config.clone()).await
    }
}

/// A log and the process around it: leaving one leaves the other.
pub struct Reader {
    pub log: Box<dyn Log>,
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
    json["dynamodb"]["NewImage"]["body"]["S"].as_str().unwrap_or_default().to_owned()
}

pub fn place(record: &Record) -> (Partition, Position) {
    let Place::At { partition, position, .. } = &record.place else { panic!("a log's place") };
    (*partition, position.clone())
}
