//! Promise: order is kept per Kafka partition, whatever fails. One batch of a partition is with the function at a time, a
//! batch may mix partitions, and a partition that is stuck holds nobody else, settles nothing past its place and costs
//! bounded memory.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use klr_test_support::eventually;
use klr_test_support::handed::Place;
use klr_test_support::kafka::{Topic, failures, places};
use klr_test_support::klr::{Bridge, Setup};
use klr_test_support::random::Random;
use klr_test_support::servers::Kafka;
use klr_test_support::sink::{Answer, Request, Sink};

const PATIENCE: Duration = Duration::from_secs(120);

fn bridge(topic: &Topic, sink: &Sink, lines: &[&str]) -> Bridge {
    let sink = format!("sink: {{ uri: '{}', timeout: 4s }}", sink.uri);
    let own = ["startingPosition: TRIM_HORIZON", "functionResponseTypes: [ReportBatchItemFailures]", &sink];
    let mapping = topic.mapping(&[&own, lines].concat());
    Setup::run(env!("CARGO_BIN_EXE_klr")).resources("orders.yaml", &mapping).start()
}

fn failed(topic: &str, places: &[Place]) -> String {
    let pairs: Vec<_> = places.iter().map(|place| (place.partition, place.offset)).collect();
    failures(topic, &pairs)
}

fn of(places: &[Place], partition: i32) -> Vec<i64> {
    places.iter().filter(|place| place.partition == partition).map(|place| place.offset).collect()
}

/// What a function may expect of each partition next.
#[derive(Default)]
struct Expected {
    partitions: BTreeMap<i32, Lane>,
    broken: Vec<String>,
}

#[derive(Default)]
struct Lane {
    /// Everything before it succeeded.
    next: i64,
    /// What must come again, all of it and nothing else, before anything later.
    again: Vec<i64>,
    /// No other batch may come before its answer.
    busy_until: Option<Instant>,
}

impl Expected {
    /// Checks an event on arrival.
    fn check(&mut self, places: &[Place]) {
        for partition in partitions(places) {
            let offsets = of(places, partition);
            let lane = self.partitions.entry(partition).or_default();
            let fresh: Vec<i64> = (lane.next..).take(offsets.len()).collect();
            let expected = if lane.again.is_empty() { &fresh } else { &lane.again };
            if offsets != *expected {
                self.broken.push(format!("partition {partition}: {offsets:?} came, {expected:?} was next"));
            }
            if lane.busy_until.is_some_and(|until| Instant::now() < until) {
                self.broken.push(format!("partition {partition}: {offsets:?} came while a batch was out"));
            }
            lane.next = lane.next.max(offsets.last().map_or(0, |last| last + 1));
        }
    }

    /// Notes how it will be answered: `again` failed, the rest succeeded.
    fn answer(&mut self, places: &[Place], again: &[Place], busy: Duration) {
        for partition in partitions(places) {
            let lane = self.partitions.entry(partition).or_default();
            lane.again = of(again, partition);
            lane.busy_until = Some(Instant::now() + busy);
        }
    }

    fn done(&self, ends: &BTreeMap<i32, i64>) -> bool {
        let done = |(partition, end): (&i32, &i64)| {
            self.partitions.get(partition).is_some_and(|lane| lane.next == *end && lane.again.is_empty())
        };
        ends.iter().all(done)
    }
}

fn partitions(places: &[Place]) -> Vec<i32> {
    let mut partitions: Vec<_> = places.iter().map(|place| place.partition).collect();
    partitions.dedup();
    partitions
}

#[test]
fn order_is_kept_under_random_failures() {
    let Some(kafka) = Kafka::shared() else { return };
    let topic = Topic::create(kafka, 6);
    topic.fill(1_500, 50);
    let expected = Arc::new(Mutex::new(Expected::default()));
    let random = Random::new();
    let (judge, name) = (Arc::clone(&expected), topic.name.clone());
    let sink = Sink::forgetful(move |request| {
        let places = places(&request.body);
        let mut judge = judge.lock().unwrap();
        judge.check(&places);
        let delay = Duration::from_millis(random.below(10));
        let some = |one_of: u64| places.iter().filter(|_| random.below(one_of) == 0).copied().collect();
        let (answer, again): (_, Vec<Place>) = match random.below(80) {
            0..6 => (Answer::status(500), places.clone()),
            6..10 => (Answer::status(429).header("retry-after", "0"), places.clone()),
            // The bridge gives up after four seconds; nothing says that the function does too.
            10 => (Answer::status(200).after(Duration::from_secs(15)), places.clone()),
            11..14 => (Answer::cut(), places.clone()),
            14..24 => {
                let again: Vec<Place> = some(10);
                (Answer::json(failed(&name, &again)), again)
            }
            _ => (Answer::status(200), Vec::new()),
        };
        let answer = if answer.delay().is_zero() { answer.after(delay) } else { answer };
        judge.answer(&places, &again, answer.delay().min(Duration::from_millis(3500)));
        answer
    });
    let bridge = bridge(&topic, &sink, &["batchSize: 50"]);
    let ends = topic.ends();
    let done = eventually(PATIENCE, || {
        let expected = expected.lock().unwrap();
        !expected.broken.is_empty() || expected.done(&ends)
    });
    assert_eq!(expected.lock().unwrap().broken, Vec::<String>::new());
    assert!(done, "not all came:\n{}", bridge.stderr());
    assert!(topic.group().wait_committed(&ends, Duration::from_secs(10)));
    assert!((2..=6).contains(&sink.most_in_flight()), "{} at once", sink.most_in_flight());
}

#[test]
fn a_batch_may_mix_partitions() {
    let Some(kafka) = Kafka::shared() else { return };
    let topic = Topic::create(kafka, 4);
    let sink = Sink::start(|_| Answer::status(200));
    let mut bridge = bridge(&topic, &sink, &["maximumBatchingWindowInSeconds: 3"]);
    bridge.wait_ready();
    topic.fill(3, 10);
    let ends = topic.ends();
    assert!(topic.group().wait_committed(&ends, PATIENCE), "{}", bridge.stderr());
    let requests = sink.requests();
    let mixed = |request: &Request| {
        let places = places(&request.body);
        partitions(&places).iter().any(|&partition| of(&places, partition).len() < places.len())
    };
    assert!(requests.iter().any(mixed) && requests.len() <= 4, "{} batches", requests.len());
}

/// One record that always fails, on partition 0, in the midst of a topic larger than what the bridge may hold.
#[test]
fn a_stuck_partition_holds_nobody_else_and_costs_bounded_memory() {
    const POISON: Place = Place { partition: 0, offset: 500 };
    const EACH: i64 = 60_000;
    let Some(kafka) = Kafka::shared() else { return };
    let topic = Topic::create(kafka, 4);
    topic.fill(EACH as usize, 1_000);
    let healed = Arc::new(AtomicBool::new(false));
    let (well, name) = (Arc::clone(&healed), topic.name.clone());
    let sink = Sink::forgetful(move |request| {
        let poisoned = !well.load(Ordering::SeqCst) && places(&request.body).contains(&POISON);
        let answer = Answer::json(if poisoned { failed(&name, &[POISON]) } else { "{}".to_owned() });
        answer.after(Duration::from_millis(5))
    });
    let bridge = bridge(&topic, &sink, &["batchSize: 1000"]);
    let group = topic.group();
    let stuck = BTreeMap::from([(0, POISON.offset), (1, EACH), (2, EACH), (3, EACH)]);
    assert!(group.wait_committed(&stuck, PATIENCE), "{:?}:\n{}", group.committed(), bridge.stderr());
    let peak = bridge.peak_rss_bytes() >> 20;
    assert!(peak < 200, "{peak} MB");
    assert_eq!(bridge.metric("klr_mapping_problem", "orders"), 1.0, "a person should know");

    healed.store(true, Ordering::SeqCst);
    let all = (0..4).map(|partition| (partition, EACH)).collect();
    assert!(group.wait_committed(&all, PATIENCE), "{:?}:\n{}", group.committed(), bridge.stderr());
    let peak = bridge.peak_rss_bytes() >> 20;
    assert!(peak < 200, "{peak} MB");
    println!("peak {peak} MB");
}
