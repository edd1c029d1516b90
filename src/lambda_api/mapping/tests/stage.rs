//! An API with a function, and a runner that does as it is told.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    config,
    lambda_api::{
        Api, Identity, Settings,
        concurrency::Limits,
        mapping::{self, Refused, Runner},
        tests::{given, send},
    },
    mapping::Status,
    metrics::Figures,
};

pub const TABLE: &str = "arn:aws:dynamodb:us-east-1:111111111111:table/t";
const PATIENCE: Duration = Duration::from_secs(20);

pub fn queue(name: &str) -> String {
    format!("arn:aws:sqs:us-east-1:111111111111:{name}")
}

pub fn stream(name: &str) -> String {
    format!("arn:aws:kinesis:us-east-1:111111111111:stream/{name}")
}

/// What is missing has `missing` in its name, what never answers `silent`.
#[derive(Default)]
pub struct Told {
    pub statuses: Mutex<HashMap<Uuid, Arc<Status>>>,
    pub log: Mutex<Vec<String>>,
    /// The sources it was told to read, in order.
    pub sources: Mutex<Vec<config::Source>>,
}

impl Told {
    fn note(&self, what: &str, name: &str) {
        self.log.lock().unwrap().push(format!("{what} {name}"));
    }
}

#[async_trait]
impl Runner for Told {
    async fn check(&self, mapping: &config::Mapping, _: Duration) -> Result<(), Refused> {
        match mapping.written["spec"]["eventSourceArn"].as_str() {
            Some(arn)
                if arn.contains("missing") || arn.contains("test-foobar") || arn.contains("test-table") =>
            {
                Err(Refused(format!("Stream not found: {arn}")))
            }
            _ => Ok(()),
        }
    }

    fn start(&self, mapping: config::Mapping, _: Arc<dyn mapping::Function>) -> Arc<Status> {
        let status = Arc::new(Status::new(&mapping.name, Figures::default()));
        if !mapping.written.to_string().contains("silent") {
            status.reached();
        }
        self.note("start", &mapping.name);
        self.sources.lock().unwrap().push(mapping.source);
        let earlier = self.statuses.lock().unwrap().insert(mapping.uuid, Arc::clone(&status));
        assert!(earlier.is_none(), "it runs already");
        status
    }

    async fn stop(&self, uuid: Uuid) {
        tokio::task::yield_now().await;
        if self.statuses.lock().unwrap().remove(&uuid).is_some() {
            self.note("stop", &uuid.to_string());
        }
    }

    fn rest(&self, mapping: &config::Mapping) {
        self.note("rest", &mapping.name);
    }

    async fn forget(&self, mapping: &config::Mapping) {
        // It takes its time, in which the mapping is still there.
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.note("forget", &mapping.name);
    }
}

pub struct Stage {
    pub api: Arc<Api>,
    pub runner: Arc<Told>,
    pub directory: tempfile::TempDir,
}

impl Stage {
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let api = open(&directory).await;
        for name in ["f", "resource-1", "resource-2", "resource-3", "resource-4"] {
            given(&api, name, 1).await;
        }
        Self::with(api, directory)
    }

    fn with(api: Arc<Api>, directory: tempfile::TempDir) -> Self {
        let runner = Arc::new(Told::default());
        mapping::run(&api, Arc::clone(&runner) as Arc<dyn Runner>);
        Self { api, runner, directory }
    }

    /// The process ends, and another one begins.
    pub async fn again(self) -> Self {
        let Self { api, runner, directory } = self;
        mapping::end(&api);
        drop((api, runner));
        // Whoever still carries something out holds the file.
        for _ in 0..1000 {
            if let Ok(api) = Api::open(settings(&directory), None).await {
                return Self::with(api, directory);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("somebody keeps the resources");
    }

    pub async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let uri = format!("/2015-03-31/event-source-mappings{path}");
        let (status, answer) = send(&self.api, method, &uri, body).await;
        (status.as_u16(), answer)
    }

    pub async fn create(&self, request: Value) -> (u16, Value) {
        self.ask("POST", "", request).await
    }

    /// Waits for a state.
    pub async fn settled(&self, uuid: &str, state: &str) -> Value {
        let path = format!("/{uuid}");
        let begun = std::time::Instant::now();
        loop {
            let (_, seen) = self.ask("GET", &path, Value::Null).await;
            if seen["State"] == state {
                return seen;
            }
            assert!(begun.elapsed() < PATIENCE, "{seen}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn gone(&self, uuid: &str) {
        let begun = std::time::Instant::now();
        while self.ask("GET", &format!("/{uuid}"), Value::Null).await.0 != 404 {
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn log(&self) -> Vec<String> {
        self.runner.log.lock().unwrap().clone()
    }
}

fn settings(directory: &tempfile::TempDir) -> Settings {
    let identity = Identity { account: "111111111111".to_owned(), region: "us-east-1".to_owned() };
    Settings {
        identity,
        directory: directory.path().to_owned(),
        settle: Duration::ZERO,
        limits: Limits::default(),
        urls: Default::default(),
    }
}

async fn open(directory: &tempfile::TempDir) -> Arc<Api> {
    Api::open(settings(directory), None).await.unwrap()
}
