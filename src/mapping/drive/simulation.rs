//! A log mapping against a log in memory and a scripted function, on paused time.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use klr_contract::{BatchInfo, FailureRecord, Record, memory::log::Topic};

use super::*;
use crate::{
    deliver::{
        Delivered, Outcome, Window,
        failure::{Form, Template},
    },
    mapping::{Lanes, Policy, brackets::Brackets, buffer::Buffer, filter, next::OnFailure},
    metrics::Metrics,
};

type Script = dyn Fn(&[Record]) -> Outcome + Send + Sync;

/// The function: answers as its script says, and counts.
struct Function {
    script: Box<Script>,
    calls: Mutex<usize>,
}

#[async_trait]
impl Invoker for Function {
    async fn invoke(&self, batch: &[Record], _: Option<(&Window, &str)>, _: Duration) -> Delivered {
        *self.calls.lock().unwrap() += 1;
        (self.script)(batch).into()
    }
}

/// A destination that is down at first.
struct Destination {
    refusals: AtomicUsize,
    taken: Mutex<Vec<String>>,
}

impl Destination {
    fn refusing(times: usize) -> Arc<Self> {
        Arc::new(Self { refusals: AtomicUsize::new(times), taken: Mutex::default() })
    }

    fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }
}

#[async_trait]
impl klr_contract::Destination for Destination {
    async fn put(&self, record: &FailureRecord) -> Result<(), Error> {
        let count = |left: usize| left.checked_sub(1);
        if self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).is_ok() {
            return Err(Error::retry("test.down", "nobody there"));
        }
        let record: serde_json::Value = serde_json::from_slice(&record.json).unwrap();
        self.taken.lock().unwrap().push(record["Numbers"].to_string());
        Ok(())
    }
}

/// Says how many, and of which partition.
struct Numbers;

impl BatchInfo for Numbers {
    fn name(&self) -> &'static str {
        "Numbers"
    }

    fn of_batch(&self, batch: &[Record], partition: &str, _: usize) -> Bytes {
        format!("[{},{partition:?}]", batch.len()).into()
    }
}

struct World {
    topic: Topic,
    function: Arc<Function>,
    status: Arc<Status>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<Ending>,
}

fn settings() -> Settings {
    Settings {
        batch_size: 10,
        window: Duration::ZERO,
        budget: 6_291_456,
        lanes: Lanes::Partitions,
        policy: Policy::default(),
        maximum_concurrency: None,
        timeout: None,
        strict: true,
        drain: Duration::from_secs(25),
        once: false,
    }
}

fn topic(records: usize) -> Topic {
    let topic = Topic::new(1);
    for n in 0..records {
        topic.append(0, &n.to_string());
    }
    topic
}

fn done() -> Outcome {
    Outcome::Done(bytes::Bytes::new())
}

impl World {
    fn run(
        topic: Topic,
        settings: Settings,
        script: impl Fn(&[Record]) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        Self::with_destination(topic, settings, None, script)
    }

    fn filtered(topic: Topic, settings: Settings, pattern: &str) -> Self {
        let pattern = filter::read(pattern, crate::pattern::Source::DynamoDb, false).unwrap();
        Self::with(topic, settings, None, Filters::of(&[pattern]), |_| done())
    }

    fn with_destination(
        topic: Topic,
        settings: Settings,
        destination: Option<Arc<dyn klr_contract::Destination>>,
        script: impl Fn(&[Record]) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        Self::with(topic, settings, destination, Filters::default(), script)
    }

    fn with(
        topic: Topic,
        settings: Settings,
        destination: Option<Arc<dyn klr_contract::Destination>>,
        filters: Filters,
        script: impl Fn(&[Record]) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        let template = || Template {
            function_arn: "arn:aws:lambda:us-east-1:123456789012:function:f".to_owned(),
            mapping: uuid::Uuid::nil(),
            form: Form::Batch,
            shape: Arc::new(Brackets),
            info: Arc::new(Numbers),
        };
        let destination =
            destination.map(|destination| Arc::new(Delivery { template: template(), destination }));
        let function = Arc::new(Function { script: Box::new(script), calls: Mutex::default() });
        let status = Arc::new(Status::new("m", Metrics::default().of("m")));
        let stop = CancellationToken::new();
        let means = Means {
            settings,
            shape: Arc::new(Brackets),
            filters: Arc::new(filters),
            invoker: function.clone(),
            destination,
            status: Arc::clone(&status),
            usage: Buffer::new(64 << 20).usage(),
        };
        let running = tokio::spawn(run(Box::new(topic.join()), means, stop.clone().into()));
        Self { topic, function, status, stop, running }
    }

    async fn seconds(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    async fn stop(self) -> Ending {
        self.stop.cancel();
        self.running.await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn once_tells_of_a_record_that_is_held() {
    let topic = topic(3);
    topic.seal(0);
    let world = World::run(topic, Settings { budget: 10, once: true, ..settings() }, |_| done());
    assert!(matches!(world.running.await.unwrap(), Ending::LeftBehind(why) if why.contains("holds")));
    assert_eq!(world.topic.committed(0), 0);
}

#[tokio::test(start_paused = true)]
async fn records_given_up_long_ago_do_not_make_a_stop_a_failure() {
    let policy = Policy { retries: Some(0), ..Policy::default() };
    let given_up = |once| {
        let topic = topic(3);
        topic.seal(0);
        World::run(topic, Settings { policy: policy.clone(), once, ..settings() }, |_| Outcome::FunctionError)
    };
    let world = given_up(false);
    world.seconds(5).await;
    assert_eq!(world.topic.committed(0), 3);
    assert_eq!(world.stop().await, Ending::Settled);
    assert!(matches!(given_up(true).running.await.unwrap(), Ending::LeftBehind(_)));
}

#[tokio::test(start_paused = true)]
async fn once_waits_for_a_partition_that_was_lost_before_its_end() {
    let topic = Topic::new(3);
    let (first, second) = (topic.join(), topic.join());
    topic.append(2, "x");
    (0..3).for_each(|partition| topic.seal(partition));
    let up = Arc::new(AtomicBool::new(false));
    let sink = Arc::clone(&up);
    let world = World::run(topic, Settings { once: true, ..settings() }, move |_| {
        if sink.load(Ordering::Relaxed) { done() } else { Outcome::Unreachable("x".into()) }
    });
    // One for each; then, of two, the second one's is ours, and it does not let it go.
    (0..3).for_each(|partition| world.topic.lose(partition));
    world.seconds(1).await;
    drop(first);
    world.topic.lose(2);
    up.store(true, Ordering::Relaxed);
    world.seconds(60).await;
    assert!(!world.running.is_finished());
    drop(second);
    assert_eq!(world.running.await.unwrap(), Ending::Settled);
    assert_eq!(world.topic.committed(2), 1);
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_halts_does_not_invoke_again() {
    let policy = Policy { report: true, ..Policy::default() };
    let world = World::run(topic(3), Settings { policy, ..settings() }, |_| Outcome::Elsewhere);
    assert!(matches!(world.running.await.unwrap(), Ending::Halted(_)));
    assert_eq!(*world.function.calls.lock().unwrap(), 1);
    assert_eq!(world.topic.committed(0), 0);
}

#[tokio::test(start_paused = true)]
async fn a_member_without_a_partition_is_ready() {
    let topic = topic(3);
    let _first = topic.join();
    let world = World::run(topic, settings(), |_| done());
    world.seconds(1).await;
    assert!(world.status.is_ready());
    assert_eq!(world.stop().await, Ending::Settled);
}

#[tokio::test(start_paused = true)]
async fn nothing_passes_a_destination_that_is_down() {
    let policy = Policy { retries: Some(1), on_failure: OnFailure::Send, ..Policy::default() };
    let down = Destination::refusing(4);
    let run = |destination: &Arc<Destination>, policy: &Policy| {
        let settings = Settings { policy: policy.clone(), ..settings() };
        let destination: Arc<dyn klr_contract::Destination> = destination.clone();
        World::with_destination(topic(3), settings, Some(destination), |_| Outcome::FunctionError)
    };
    let world = run(&down, &policy);
    world.seconds(2).await;
    assert_eq!((world.topic.committed(0), down.taken()), (0, vec![]));
    let problem = "PROBLEM: on-failure destination: nobody there [test.down]";
    assert_eq!(world.status.last_processing_result(), problem);
    assert!(world.status.figures.destination_errors.get() > 0);
    world.seconds(60).await;
    assert_eq!((world.topic.committed(0), down.taken()), (3, vec![r#"[3,"partition-0"]"#.to_owned()]));
    assert_eq!(world.status.last_processing_result(), "PROBLEM: Function call failed");
    // Twice by its retries, and not once more for the destination's sake.
    assert_eq!(*world.function.calls.lock().unwrap(), 2);
    assert_eq!(world.stop().await, Ending::Settled);

    // As AWS has it: what the destination does not take is dropped, and counted.
    let down = Destination::refusing(usize::MAX);
    let world = run(&down, &Policy { on_failure: OnFailure::SendOrDrop, ..policy });
    world.seconds(5).await;
    assert_eq!((world.topic.committed(0), down.taken()), (3, vec![]));
    assert_eq!(world.status.figures.dropped.get(), 3);
    assert_eq!(world.stop().await, Ending::Settled);
}

#[tokio::test(start_paused = true)]
async fn what_is_filtered_is_passed_and_checkpointed_even_if_that_is_all() {
    let settings = Settings { window: Duration::from_secs(5), batch_size: 4, ..settings() };
    let world = World::filtered(topic(50), settings.clone(), r#"{"body": [{"suffix": "0"}]}"#);
    world.seconds(20).await;
    assert_eq!(world.topic.committed(0), 50);
    assert_eq!(*world.function.calls.lock().unwrap(), 2, "five records of fifty, four and one");
    let figures = &world.status.figures;
    assert_eq!((figures.polled.get(), figures.filtered.get(), figures.invoked.get()), (50, 45, 5));
    world.stop().await;
    let world = World::filtered(topic(50), settings, r#"{"body": ["nobody"]}"#);
    world.seconds(1).await;
    assert_eq!((world.topic.committed(0), *world.function.calls.lock().unwrap()), (50, 0));
    world.stop().await;
}
