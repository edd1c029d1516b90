//! What the scenarios are played on: a queue in memory, a function that answers as it is told, and a mapping between them.

use std::{collections::BTreeSet, sync::Mutex};

use async_trait::async_trait;
use klr_contract::{Place, Record, memory};
use serde_json::Value;

use super::super::*;
use crate::{
    deliver::Outcome,
    mapping::{Policy, brackets::Brackets, buffer::Buffer, filter},
    metrics::Metrics,
};

pub(super) trait Named {
    fn id(&self) -> String;
    fn body(&self) -> String;
}

impl Named for Record {
    fn id(&self) -> String {
        let Place::Item { id, .. } = &self.place else { panic!("not of a queue") };
        String::from_utf8(id.to_vec()).unwrap()
    }

    fn body(&self) -> String {
        let json: Value = serde_json::from_slice(self.json.as_ref().unwrap()).unwrap();
        json["body"].as_str().unwrap().to_owned()
    }
}

pub(super) type Script = dyn Fn(&[Record]) -> (Duration, Outcome) + Send + Sync;

/// The function: answers as its script says, and remembers what it saw.
pub(super) struct Function {
    script: Box<Script>,
    pub(super) seen: Mutex<Seen>,
    started: Instant,
    /// Batches wait for their turn with it.
    waits: bool,
}

#[derive(Default)]
pub(super) struct Seen {
    /// When, and which bodies.
    calls: Vec<(Duration, Vec<String>)>,
    flying: BTreeSet<String>,
    pub(super) most: usize,
    now: usize,
}

impl Function {
    fn new(
        script: impl Fn(&[Record]) -> (Duration, Outcome) + Send + Sync + 'static,
        waits: bool,
    ) -> Arc<Self> {
        let (script, seen) = (Box::new(script), Mutex::default());
        Arc::new(Self { script, seen, started: Instant::now(), waits })
    }
}

#[async_trait]
impl Invoker for Function {
    async fn invoke(
        &self,
        batch: &[Record],
        _: Option<(&crate::deliver::Window, &str)>,
        _: Duration,
    ) -> crate::deliver::Delivered {
        let bodies: Vec<String> = batch.iter().map(Named::body).collect();
        let (takes, outcome) = (self.script)(batch);
        {
            let mut seen = self.seen.lock().unwrap();
            for body in &bodies {
                assert!(seen.flying.insert(body.clone()), "{body} is in flight twice");
            }
            seen.calls.push((self.started.elapsed(), bodies.clone()));
            seen.now += 1;
            seen.most = seen.most.max(seen.now);
        }
        tokio::time::sleep(takes).await;
        let mut seen = self.seen.lock().unwrap();
        seen.flying.retain(|body| !bodies.contains(body));
        seen.now -= 1;
        outcome.into()
    }

    fn waits(&self) -> bool {
        self.waits
    }
}

pub(super) struct World {
    pub(super) queue: Arc<memory::queue::Queue>,
    pub(super) function: Arc<Function>,
    stop: CancellationToken,
    pub(super) running: tokio::task::JoinHandle<Ending>,
}

pub(super) fn settings() -> Settings {
    Settings {
        batch_size: 10,
        window: Duration::ZERO,
        budget: 6_291_456,
        lanes: crate::mapping::Lanes::Partitions,
        policy: Policy::default(),
        maximum_concurrency: None,
        timeout: None,
        strict: true,
        drain: Duration::from_secs(25),
        once: false,
    }
}

impl World {
    pub(super) fn run(
        queue: memory::queue::Queue,
        settings: Settings,
        script: impl Fn(&[Record]) -> (Duration, Outcome) + Send + Sync + 'static,
    ) -> Self {
        let queue = Arc::new(queue);
        Self::over(Box::new(Arc::clone(&queue)), queue, settings, Filters::default(), script)
    }

    /// With a function that batches wait for; told to stop, but not that the process ends.
    pub(super) fn waiting(queue: memory::queue::Queue, takes: Duration) -> Self {
        let queue = Arc::new(queue);
        let (source, filters, stop) = (Arc::clone(&queue), Filters::default(), CancellationToken::new());
        let told = Stop::new(stop.clone(), CancellationToken::new());
        let function = Function::new(move |_| (takes, done()), true);
        Self::told(Box::new(source), queue, settings(), filters, function, (stop, told))
    }

    pub(super) fn filtered(queue: memory::queue::Queue, settings: Settings, pattern: &str) -> Self {
        let queue = Arc::new(queue);
        let pattern = filter::read(pattern, crate::pattern::Source::Sqs, false).unwrap();
        let filters = Filters::of(&[pattern]);
        Self::over(Box::new(Arc::clone(&queue)), queue, settings, filters, |_| (Duration::ZERO, done()))
    }

    /// The same, through something in front of the queue.
    pub(super) fn over(
        source: Box<dyn Queue>,
        queue: Arc<memory::queue::Queue>,
        settings: Settings,
        filters: Filters,
        script: impl Fn(&[Record]) -> (Duration, Outcome) + Send + Sync + 'static,
    ) -> Self {
        let stop = CancellationToken::new();
        let told = stop.clone().into();
        Self::told(source, queue, settings, filters, Function::new(script, false), (stop, told))
    }

    fn told(
        source: Box<dyn Queue>,
        queue: Arc<memory::queue::Queue>,
        settings: Settings,
        filters: Filters,
        function: Arc<Function>,
        (stop, told): (CancellationToken, Stop),
    ) -> Self {
        let status = Arc::new(Status::new("m", Metrics::default().of("m")));
        let usage = Buffer::new(64 << 20).usage();
        let (shape, filters, invoker) = (Arc::new(Brackets), Arc::new(filters), function.clone());
        let means = Means { settings, shape, filters, invoker, destination: None, status, usage };
        let running = tokio::spawn(run(source, means, told));
        Self { queue, function, stop, running }
    }

    pub(super) fn calls(&self) -> Vec<(u64, Vec<String>)> {
        let seen = self.function.seen.lock().unwrap();
        seen.calls.iter().map(|(at, bodies)| (at.as_secs(), bodies.clone())).collect()
    }

    pub(super) async fn seconds(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    pub(super) async fn stop(self) -> Ending {
        self.stop.cancel();
        self.running.await.unwrap()
    }
}

/// A queue that is a network away.
pub(super) struct Remote(pub(super) Arc<memory::queue::Queue>);

#[async_trait]
impl Queue for Remote {
    async fn visibility(&self) -> Result<Option<Duration>, klr_contract::Error> {
        self.0.visibility().await
    }

    fn fifo(&self) -> bool {
        self.0.fifo()
    }

    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        hide: Option<Duration>,
    ) -> Result<Vec<Record>, klr_contract::Error> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.0.receive(max, wait, hide).await
    }

    async fn delete(&self, items: &[Place]) -> Result<Vec<klr_contract::Refused>, klr_contract::Error> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.0.delete(items).await
    }

    async fn hold(
        &self,
        items: &[Place],
        span: Duration,
    ) -> Result<Vec<klr_contract::Refused>, klr_contract::Error> {
        self.0.hold(items, span).await
    }
}

pub(super) fn done() -> Outcome {
    Outcome::Done(Bytes::new())
}

pub(super) fn send(queue: &memory::queue::Queue, count: usize) {
    (0..count).for_each(|n| drop(queue.send(format!("{n:03}"), None)));
}

pub(super) fn standard(visibility: u64) -> memory::queue::Queue {
    memory::queue::Queue::new(Duration::from_secs(visibility))
}
