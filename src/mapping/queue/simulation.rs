//! A queue mapping against a queue in memory and a scripted function, on paused time.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Mutex,
};

use async_trait::async_trait;
use klr_contract::{Place, Record, memory};
use serde_json::Value;

use super::*;
use crate::{
    deliver::Outcome,
    mapping::{Policy, brackets::Brackets, buffer::Buffer, filter},
    metrics::Metrics,
};

trait Named {
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

type Script = dyn Fn(&[Record]) -> (Duration, Outcome) + Send + Sync;

/// The function: answers as its script says, and remembers what it saw.
struct Function {
    script: Box<Script>,
    seen: Mutex<Seen>,
    started: Instant,
    /// Batches wait for their turn with it.
    waits: bool,
}

#[derive(Default)]
struct Seen {
    /// When, and which bodies.
    calls: Vec<(Duration, Vec<String>)>,
    flying: BTreeSet<String>,
    most: usize,
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

struct World {
    queue: Arc<memory::queue::Queue>,
    function: Arc<Function>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<Ending>,
}

fn settings() -> Settings {
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
    fn run(
        queue: memory::queue::Queue,
        settings: Settings,
        script: impl Fn(&[Record]) -> (Duration, Outcome) + Send + Sync + 'static,
    ) -> Self {
        let queue = Arc::new(queue);
        Self::over(Box::new(Arc::clone(&queue)), queue, settings, Filters::default(), script)
    }

    /// With a function that batches wait for; told to stop, but not that the process ends.
    fn waiting(queue: memory::queue::Queue, takes: Duration) -> Self {
        let queue = Arc::new(queue);
        let (source, filters, stop) = (Arc::clone(&queue), Filters::default(), CancellationToken::new());
        let told = Stop::new(stop.clone(), CancellationToken::new());
        let function = Function::new(move |_| (takes, done()), true);
        Self::told(Box::new(source), queue, settings(), filters, function, (stop, told))
    }

    fn filtered(queue: memory::queue::Queue, settings: Settings, pattern: &str) -> Self {
        let queue = Arc::new(queue);
        let pattern = filter::read(pattern, crate::pattern::Source::Sqs, false).unwrap();
        let filters = Filters::of(&[pattern]);
        Self::over(Box::new(Arc::clone(&queue)), queue, settings, filters, |_| (Duration::ZERO, done()))
    }

    /// The same, through something in front of the queue.
    fn over(
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

    fn calls(&self) -> Vec<(u64, Vec<String>)> {
        let seen = self.function.seen.lock().unwrap();
        seen.calls.iter().map(|(at, bodies)| (at.as_secs(), bodies.clone())).collect()
    }

    async fn seconds(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    async fn stop(self) -> Ending {
        self.stop.cancel();
        self.running.await.unwrap()
    }
}

fn done() -> Outcome {
    Outcome::Done(Bytes::new())
}

fn send(queue: &memory::queue::Queue, count: usize) {
    (0..count).for_each(|n| drop(queue.send(format!("{n:03}"), None)));
}

fn standard(visibility: u64) -> memory::queue::Queue {
    memory::queue::Queue::new(Duration::from_secs(visibility))
}

#[tokio::test(start_paused = true)]
async fn success_deletes_and_five_lanes_are_the_start() {
    let queue = standard(30);
    send(&queue, 200);
    let world = World::run(queue, settings(), |_| (Duration::from_millis(500), done()));
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(world.function.seen.lock().unwrap().most, 5);
    world.seconds(20).await;
    assert!(world.queue.is_empty());
    assert_eq!(world.stop().await, Ending::Settled);
}

#[tokio::test(start_paused = true)]
async fn lanes_grow_by_five_a_second_while_all_are_busy() {
    let queue = standard(600);
    send(&queue, 5000);
    let world = World::run(queue, settings(), |_| (Duration::from_secs(100), done()));
    world.seconds(4).await;
    let most = world.function.seen.lock().unwrap().most;
    assert!((10..=30).contains(&most), "{most}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_batch_comes_again_when_its_visibility_timeout_ends() {
    let queue = standard(7);
    send(&queue, 1);
    let first = std::sync::atomic::AtomicBool::new(true);
    let world = World::run(queue, settings(), move |_| {
        let failed = first.swap(false, std::sync::atomic::Ordering::Relaxed);
        (Duration::ZERO, if failed { Outcome::FunctionError } else { done() })
    });
    world.seconds(30).await;
    assert_eq!(world.calls(), [(0, vec!["000".into()]), (7, vec!["000".into()])]);
    assert!(world.queue.is_empty());
}

/// Nobody else gets it, and when its mapping is changed it is still settled before the next begins.
#[tokio::test(start_paused = true)]
async fn a_batch_that_waits_for_its_turn_is_kept_hidden_and_waited_for() {
    let queue = standard(12);
    send(&queue, 1);
    let world = World::waiting(queue, Duration::from_secs(50));
    world.seconds(5).await;
    let queue = Arc::clone(&world.queue);
    assert_eq!(world.calls().len(), 1);
    assert_eq!(world.stop().await, Ending::Settled);
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_late_in_a_long_poll_is_delivered_whatever_its_visibility_timeout() {
    let world = World::run(standard(2), settings(), |_| (Duration::ZERO, done()));
    world.seconds(19).await;
    send(&world.queue, 1);
    world.seconds(1).await;
    assert_eq!(world.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_filtered_is_deleted_at_once_and_takes_no_room_in_a_batch() {
    let queue = standard(600);
    send(&queue, 40);
    let settings = Settings { window: Duration::from_secs(60), batch_size: 4, once: true, ..settings() };
    let world = World::filtered(queue, settings, r#"{"body": [{"suffix": "0"}]}"#);
    world.seconds(1).await;
    assert!(world.queue.len() <= 4, "only what matches is left");
    world.seconds(120).await;
    assert!(world.queue.is_empty());
    let mut seen: Vec<String> = world.calls().into_iter().flat_map(|(_, bodies)| bodies).collect();
    seen.sort();
    assert_eq!(seen, ["000", "010", "020", "030"]);
    assert_eq!(world.running.await.unwrap(), Ending::Settled);
}

#[tokio::test(start_paused = true)]
async fn the_window_collects_over_several_receives() {
    let queue = standard(60);
    send(&queue, 10);
    let settings = Settings { batch_size: 15, window: Duration::from_secs(10), ..settings() };
    let world = World::run(queue, settings, |_| (Duration::ZERO, done()));
    world.seconds(3).await;
    (10..15).for_each(|n| drop(world.queue.send(format!("{n:03}"), None)));
    world.seconds(30).await;
    let sizes: Vec<usize> = world.calls().iter().map(|(_, bodies)| bodies.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 15);
    assert!(world.calls()[0].0 <= 10, "{:?}", world.calls());
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_sink_does_not_use_up_max_receive_count() {
    let queue = standard(30).max_receives(1);
    send(&queue, 100);
    let begun = Instant::now();
    let world = World::run(queue, settings(), move |_| {
        let down = begun.elapsed() < Duration::from_secs(900);
        (Duration::ZERO, if down { Outcome::Unreachable("refused".into()) } else { done() })
    });
    world.seconds(960).await;
    assert_eq!((world.queue.dead(), world.queue.len()), (vec![], 0));
    assert_eq!(world.stop().await, Ending::Settled);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_batch_is_tried_again_only_while_it_is_hidden() {
    let queue = standard(10);
    send(&queue, 1);
    let world = World::run(queue, settings(), |_| (Duration::ZERO, Outcome::Throttled { after: None }));
    world.seconds(9).await;
    let times: Vec<u64> = world.calls().iter().map(|(at, _)| *at).collect();
    assert!(times.len() >= 4 && times.iter().all(|at| *at < 10), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn too_large_is_halved_in_order_and_a_single_one_is_left_to_the_queue() {
    let queue = standard(3600);
    send(&queue, 4);
    let world = World::run(queue, settings(), |batch| {
        let large = batch.len() > 1 || batch[0].body() == "002";
        (Duration::ZERO, if large { Outcome::TooLarge } else { done() })
    });
    world.seconds(5).await;
    let bodies: Vec<String> = world.calls().iter().map(|(_, bodies)| bodies.concat()).collect();
    assert_eq!(bodies, ["000001002003", "000001", "000", "001", "002003", "002", "003"]);
    assert_eq!(world.queue.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn stopping_finishes_what_is_in_flight_and_hands_the_rest_back() {
    let queue = standard(3600);
    send(&queue, 3);
    let settings = Settings { window: Duration::from_secs(5), batch_size: 2, ..settings() };
    let world = World::run(queue, settings, |_| (Duration::from_secs(4), done()));
    world.seconds(1).await;
    let queue = Arc::clone(&world.queue);
    assert_eq!(world.stop().await, Ending::Settled);
    assert_eq!(queue.len(), 1);
    let visible = queue.receive(10, Duration::from_secs(1), None).await.unwrap();
    assert_eq!(visible.len(), 1, "handed back");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_goes_elsewhere_stops_a_mapping_that_needs_it() {
    let queue = standard(30);
    send(&queue, 1);
    let settings = Settings { policy: Policy { report: true, ..Policy::default() }, ..settings() };
    let world = World::run(queue, settings, |_| (Duration::ZERO, Outcome::Elsewhere));
    assert!(matches!(world.running.await.unwrap(), Ending::Halted(_)));
    assert_eq!(world.queue.len(), 1);
}

/// A queue that is a network away.
struct Remote(Arc<memory::queue::Queue>);

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

#[tokio::test(start_paused = true)]
async fn lanes_grow_with_a_fast_function_while_there_is_more_than_they_take() {
    let queue = Arc::new(standard(600));
    send(&queue, 20_000);
    let remote = Box::new(Remote(Arc::clone(&queue)));
    let world =
        World::over(remote, queue, settings(), Filters::default(), |_| (Duration::from_millis(1), done()));
    // Five lanes would take 5 × 10 every 41 ms: 6,100 in five seconds.
    world.seconds(5).await;
    let left = world.queue.len();
    assert!(left < 10_000, "{left}");
}

#[tokio::test(start_paused = true)]
async fn lanes_do_not_grow_where_a_few_have_time_to_wait() {
    let world = World::run(standard(600), settings(), |_| (Duration::from_millis(1), done()));
    for _ in 0..300 {
        send(&world.queue, 1);
        world.seconds(1).await;
    }
    assert!(world.calls().len() == 300);
    send(&world.queue, 1000);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let most = world.function.seen.lock().unwrap().most;
    assert!(most <= 5, "{most}");
}

/// Any mixture of answers, any group: order per group holds, nothing is lost.
#[tokio::test(start_paused = true)]
async fn fifo_order_holds_over_seeded_schedules() {
    for seed in 0..60u64 {
        // Long enough that no attempt outlasts it: then AWS too would hand the message out a second time.
        let queue = standard(120).fifo();
        let groups = 1 + seed % 5;
        for n in 0..60u64 {
            queue.send(format!("{}:{n:03}", n % groups), Some(&(n % groups).to_string()));
        }
        let dice = Mutex::new(seed + 1);
        let report = seed % 2 == 0;
        let settings = Settings { policy: Policy { report, ..Policy::default() }, ..settings() };
        let next: Arc<Mutex<BTreeMap<String, VecDeque<String>>>> = Arc::default();
        for n in 0..60u64 {
            next.lock()
                .unwrap()
                .entry((n % groups).to_string())
                .or_default()
                .push_back(format!("{}:{n:03}", n % groups));
        }
        let waiting = Arc::clone(&next);
        let world = World::run(queue, settings, move |batch| answer(batch, &dice, report, &waiting));
        world.seconds(4 * 3600).await;
        assert!(world.queue.is_empty(), "seed {seed}: {} left", world.queue.len());
        assert!(next.lock().unwrap().values().all(VecDeque::is_empty));
        world.stop().await;
    }
}

/// A function that keeps order itself, as AWS asks: it reports the first failure and everything after it in its group.
fn answer(
    batch: &[Record],
    dice: &Mutex<u64>,
    report: bool,
    waiting: &Mutex<BTreeMap<String, VecDeque<String>>>,
) -> (Duration, Outcome) {
    let mut dice = dice.lock().unwrap();
    let mut roll = |sides: u64| {
        *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*dice >> 33) % sides
    };
    let mut waiting = waiting.lock().unwrap();
    // Order: in each group the batch holds the next messages that have not succeeded, in their order.
    let mut heads: BTreeMap<String, usize> = BTreeMap::new();
    for record in batch {
        let body = record.body();
        let group = body.split_once(':').unwrap().0.to_owned();
        let head = heads.entry(group.clone()).or_default();
        assert_eq!(waiting[&group].get(*head), Some(&body), "out of order");
        *head += 1;
    }
    let takes = Duration::from_millis(roll(1500));
    let outcome = match roll(8) {
        0 => return (takes, Outcome::FunctionError),
        1 => return (takes, Outcome::Throttled { after: Some(Duration::from_secs(1)) }),
        2 => return (takes, Outcome::Unreachable("x".into())),
        3 if batch.len() > 1 => return (takes, Outcome::TooLarge),
        4 if report => {
            let bad = batch[roll(batch.len() as u64) as usize].body();
            let (group, _) = bad.split_once(':').unwrap();
            let fails =
                |record: &&Record| record.body().starts_with(&format!("{group}:")) && record.body() >= bad;
            let failed: Vec<String> = batch.iter().filter(fails).map(Named::id).collect();
            for record in batch.iter().filter(|record| !failed.contains(&record.id())) {
                let body = record.body();
                waiting.get_mut(body.split_once(':').unwrap().0).unwrap().pop_front();
            }
            let items: Vec<Value> =
                failed.iter().map(|id| serde_json::json!({ "itemIdentifier": id })).collect();
            return (
                takes,
                Outcome::Done(serde_json::json!({ "batchItemFailures": items }).to_string().into()),
            );
        }
        _ => done(),
    };
    for record in batch {
        let body = record.body();
        waiting.get_mut(body.split_once(':').unwrap().0).unwrap().pop_front();
    }
    (takes, outcome)
}
