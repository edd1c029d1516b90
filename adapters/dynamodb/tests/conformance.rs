//! The contract's promises, on DynamoDB Local.
//!
//! A stream of it has one shard for ever. Where the suite asks for several partitions, each is the one shard of a table of
//! its own, and a service in between lists them as one stream: every call is still answered by the real server.
#![allow(clippy::unwrap_used)] // A test that cannot set its scene has failed.

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::StreamViewType;
use common::{MAPPING, Reader, Scene, body};
use klr_aws::shards::{
    self, Answer, Failure, Listing, OnLostPosition, Pace, Reading, Service, Settings, Start,
};
use klr_contract::conformance::log::{Harness, Subject, all};
use klr_contract::memory::store::Table as Rows;
use klr_contract::{Log, Mark, Record};
use klr_dynamodb::{Cursor, Stream};
use klr_test_support::servers::DynamoDbLocal;

struct DynamoDb(&'static str);

struct Tables {
    scenes: Vec<Scene>,
    rows: Rows,
}

/// Streams of one shard each, as one: a shard's name is preceded by the number of its stream.
struct Together(Vec<Stream>);

impl Together {
    fn its<'a>(&self, name: &'a str) -> (&Stream, &'a str) {
        let (number, name) = name.split_once('/').unwrap();
        (&self.0[number.parse::<usize>().unwrap()], name)
    }
}

fn unnamed(reading: &Reading, name: &str) -> Reading {
    Reading { shard: name.into(), ..reading.clone() }
}

#[async_trait]
impl Service for Together {
    type Cursor = Cursor;

    fn pace(&self) -> Pace {
        self.0[0].pace()
    }

    async fn list(&self) -> Result<Listing, Failure> {
        let mut together = Listing { identity: "together".to_owned(), shards: Vec::new() };
        for (number, stream) in self.0.iter().enumerate() {
            for mut shard in stream.list().await?.shards {
                shard.name = format!("{number}/{}", shard.name).into();
                together.shards.push(shard);
            }
        }
        Ok(together)
    }

    async fn seek(&self, shard: &Reading, mark: &Mark) -> Result<Cursor, Failure> {
        let (stream, name) = self.its(&shard.shard);
        stream.seek(&unnamed(shard, name), mark).await
    }

    async fn read(&self, shard: &Reading, cursor: Cursor) -> Result<Answer<Cursor>, Failure> {
        let (stream, name) = self.its(&shard.shard);
        stream.read(&unnamed(shard, name), cursor).await
    }
}

#[async_trait]
impl Harness for DynamoDb {
    async fn create(&self, partitions: u32) -> Box<dyn Subject> {
        let mut scenes = Vec::new();
        for _ in 0..partitions {
            scenes.push(Scene::new(self.0, StreamViewType::NewImage).await);
        }
        Box::new(Tables { scenes, rows: Rows::default() })
    }
}

#[async_trait]
impl Subject for Tables {
    async fn open(&self) -> Box<dyn Log> {
        let mut streams = Vec::new();
        for scene in &self.scenes {
            streams.push(Stream::new(scene.config.clone()).await);
        }
        let settings = Settings {
            mapping: MAPPING.to_owned(),
            stream: "together".to_owned(),
            start: Start::TrimHorizon,
            on_lost_position: OnLostPosition::Earliest,
            once: false,
        };
        let member = Arc::new(self.rows.join());
        let log = shards::Source::open(Together(streams), settings, Arc::clone(&member) as _);
        Box::new(Reader { log: Box::new(log), member })
    }

    async fn append(&self, partition: u32, bodies: &[String]) {
        for body in bodies {
            self.scenes[partition as usize].put("id", body).await;
        }
    }

    fn body(&self, record: &Record) -> String {
        body(record)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let Some(server) = DynamoDbLocal::shared() else { return };
    all(&DynamoDb(&server.endpoint)).await;
}
