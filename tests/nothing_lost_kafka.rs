//! Promise: nothing is lost. Every record of a topic reaches the function at least once, through crashes of the bridge,
//! restarts of the broker, rebalances and every misbehaviour of the sink, and the group's commit ends where the topic ends.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use klr_test_support::handed::{Handed, Place};
use klr_test_support::kafka::{Topic, places};
use klr_test_support::klr::{Bridge, Setup};
use klr_test_support::random::Random;
use klr_test_support::servers::Kafka;
use klr_test_support::sink::{Answer, Request, Sink};

const KLR: &str = env!("CARGO_BIN_EXE_klr");
/// Bounds a whole run. A crashed member's partitions stand still until its session is over, 10 s each.
const PATIENCE: Duration = Duration::from_secs(120);
/// What was settled so shortly before a kill may come again. Commits go out every 100 ms, one at a time: a record that just
/// missed one waits for the whole of it, and a busy broker takes its time.
const UNSTORED: Duration = Duration::from_millis(800);

/// A sink that notes what it is handed and answers each request well after `delay`.
fn noting(handed: &Arc<Handed>, delay: Duration) -> Sink {
    answering(handed, move |_| Answer::status(200).after(delay))
}

/// A sink that notes what it is handed and answers as told; a 2xx is success.
fn answering(handed: &Arc<Handed>, answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Sink {
    let handed = Arc::clone(handed);
    Sink::forgetful(move |request| {
        let places = places(&request.body);
        handed.came(&places);
        let answer = answer(request);
        if answer.is_success() {
            handed.done(&places, Instant::now() + answer.delay());
        }
        answer
    })
}

/// `timeout` is the sink's. What it gives up is delivered again, so it is long where nothing may come again.
fn bridge(topic: &Topic, sink: &Sink, timeout: &str) -> Bridge {
    let sink = format!("sink: {{ uri: '{}', timeout: {timeout} }}", sink.uri);
    let mapping = topic.mapping(&["startingPosition: TRIM_HORIZON", "batchSize: 100", &sink]);
    Setup::run(KLR).resources("orders.yaml", &mapping).start()
}

/// Everything was answered with success, and all of it is committed.
fn assert_all(topic: &Topic, handed: &Handed, bridge: &Bridge) {
    let ends = topic.ends();
    let done = handed.wait_done(&ends, PATIENCE);
    assert!(done, "{} of {:?} came:\n{}", handed.count(), ends, bridge.stderr());
    let group = topic.group();
    let committed = group.wait_committed(&ends, Duration::from_secs(10));
    assert!(committed, "committed {:?} of {ends:?}", group.committed());
}

/// A crash may repeat what was in flight, and what was settled shortly before it. "Settled" is seen from the sink, so the
/// time of an answer's way and of a commit's is in the bound too, and it is measured per record: what comes again must
/// have been unanswered at the kill, or answered after the mark.
#[test]
fn three_kills_lose_nothing_and_repeat_little() {
    const KILLS: usize = 3;
    const RECORDS: usize = 100_000;
    let Some(kafka) = Kafka::shared() else { return };
    let random = Random::new();
    let topic = Topic::create(kafka, 8);
    topic.fill(RECORDS / 8, 100);
    let handed = Arc::new(Handed::default());
    let sink = noting(&handed, Duration::from_millis(20));
    let mut bridge = bridge(&topic, &sink, "10s");
    for kill in 0..KILLS {
        // Somewhere in this quarter of the run.
        let at = (RECORDS / (KILLS + 1) * kill) as u64 + 2_000 + random.below(20_000);
        assert!(handed.wait_for(at as usize, PATIENCE), "only {} came:\n{}", handed.count(), bridge.stderr());
        std::thread::sleep(Duration::from_millis(random.below(200)));
        let mark = Instant::now();
        bridge.kill9();
        // What was in the sink's socket at the kill is read by now, or is noted as unanswered below.
        std::thread::sleep(Duration::from_millis(300));
        let before = handed.times();
        let allowed: HashSet<Place> = handed.unsettled(mark, UNSTORED).into_iter().collect();
        bridge.start_again();
        assert!(handed.wait_for(before.len() + 5_000, PATIENCE), "after kill {kill}:\n{}", bridge.stderr());
        let after = handed.times();
        let again: Vec<Place> =
            before.iter().filter(|(place, times)| after[place] > **times).map(|(place, _)| *place).collect();
        let beyond: Vec<&Place> = again.iter().filter(|place| !allowed.contains(place)).collect();
        println!(
            "kill {kill}: {} came before, {} again, {} allowed",
            before.len(),
            again.len(),
            allowed.len()
        );
        assert!(beyond.is_empty(), "{} were settled for good and came again: {beyond:?}", beyond.len());
    }
    assert_all(&topic, &handed, &bridge);
    assert_eq!(handed.count(), RECORDS);
}

#[test]
fn a_broker_may_stop_and_may_crash() {
    let Some(mut kafka) = Kafka::start() else { return };
    let topic = Topic::create(&kafka, 4);
    topic.fill(2_000, 100);
    let handed = Arc::new(Handed::default());
    let sink = noting(&handed, Duration::from_millis(50));
    let bridge = bridge(&topic, &sink, "10s");
    assert!(handed.wait_for(3_000, PATIENCE), "{}", bridge.stderr());
    // What was prefetched is delivered meanwhile, and committed later.
    kafka.stop();
    kafka.start_again();
    topic.fill(2_000, 100);
    assert!(handed.wait_for(11_000, PATIENCE), "{}", bridge.stderr());
    kafka.kill();
    kafka.start_again();
    topic.fill(2_000, 100);
    assert_all(&topic, &handed, &bridge);
}

/// A second bridge joins and leaves, in order the first time, by a crash the second.
#[test]
fn members_come_and_go() {
    let Some(kafka) = Kafka::shared() else { return };
    let topic = Topic::create(kafka, 6);
    topic.fill(10_000, 100);
    let handed = Arc::new(Handed::default());
    let of_first = noting(&handed, Duration::from_millis(40));
    let of_second = noting(&handed, Duration::from_millis(40));
    let first = bridge(&topic, &of_first, "10s");
    assert!(handed.wait_for(5_000, PATIENCE), "{}", first.stderr());

    let mut second = bridge(&topic, &of_second, "10s");
    assert!(of_second.wait_for(20, PATIENCE), "the second has work:\n{}", second.stderr());
    second.sigterm();
    assert_eq!(second.wait_exit(Duration::from_secs(30)), Some(0), "{}", second.stderr());
    assert_eq!(handed.again(), 0, "who leaves in order leaves nothing that comes again");

    topic.fill(5_000, 100);
    let before = of_second.count();
    second.start_again();
    assert!(of_second.wait_for(before + 20, PATIENCE), "the second has work:\n{}", second.stderr());
    second.kill9();
    assert_all(&topic, &handed, &first);
}

#[test]
fn a_sink_may_be_slow_fail_cut_and_be_gone() {
    let Some(kafka) = Kafka::shared() else { return };
    let topic = Topic::create(kafka, 6);
    topic.fill(3_000, 100);
    let handed = Arc::new(Handed::default());
    let random = Random::new();
    let mut sink = answering(&handed, move |_| match random.below(20) {
        0 | 1 => Answer::status(500),
        2 => Answer::cut(),
        // Longer than the sink's timeout.
        3 if random.below(4) == 0 => Answer::status(500).after(Duration::from_secs(4)),
        4..8 => Answer::status(200).after(Duration::from_millis(200)),
        _ => Answer::status(200).after(Duration::from_millis(10)),
    });
    let bridge = bridge(&topic, &sink, "2s");
    assert!(handed.wait_for(5_000, PATIENCE), "{}", bridge.stderr());
    sink.down();
    let noticed = || bridge.get("/readyz").is_some_and(|(_, body)| body.contains("PROBLEM: cannot connect"));
    assert!(klr_test_support::eventually(Duration::from_secs(20), noticed), "{}", bridge.stderr());
    sink.up();
    assert_all(&topic, &handed, &bridge);
}

/// SIGTERM awaits what is in flight and commits it; whoever comes next repeats nothing.
fn drains(workers: Option<&str>) {
    let Some(kafka) = Kafka::shared() else { return };
    let topic = Topic::create(kafka, 4);
    topic.fill(1_000, 100);
    let handed = Arc::new(Handed::default());
    let sink = noting(&handed, Duration::from_millis(400));
    let mapping = topic.mapping(&[
        "startingPosition: TRIM_HORIZON",
        "batchSize: 100",
        &format!("sink: {{ uri: '{}' }}", sink.uri),
    ]);
    let setup = Setup::run(KLR).resources("orders.yaml", &mapping);
    let setup = workers.into_iter().fold(setup, |setup, n| setup.env("TOKIO_WORKER_THREADS", n));
    let mut bridge = setup.start();
    assert!(handed.wait_for(600, PATIENCE), "{}", bridge.stderr());
    bridge.sigterm();
    assert_eq!(bridge.wait_exit(Duration::from_secs(15)), Some(0), "{}", bridge.stderr());
    let came = handed.times();
    assert!(came.len() < 4_000, "it was to be stopped in the middle");
    let committed = topic.group().committed();
    let of = |partition| came.keys().filter(|place| place.partition == partition).count() as i64;
    for partition in 0..4 {
        let done = of(partition);
        assert_eq!(committed.get(&partition).copied().unwrap_or(0), done, "partition {partition}");
    }
    bridge.start_again();
    assert_all(&topic, &handed, &bridge);
    assert_eq!(handed.again(), 0);
}

#[test]
fn sigterm_drains() {
    drains(None);
}

#[test]
fn sigterm_drains_on_one_worker_thread() {
    drains(Some("1"));
}

/// A second SIGTERM leaves at once; what was in flight is not settled and comes again.
#[test]
fn a_second_sigterm_leaves_at_once_and_loses_nothing() {
    let Some(kafka) = Kafka::shared() else { return };
    let topic = Topic::create(kafka, 2);
    topic.fill(200, 100);
    let handed = Arc::new(Handed::default());
    let quick = Arc::new(AtomicBool::new(false));
    let sink = {
        let quick = Arc::clone(&quick);
        answering(&handed, move |_| match quick.load(Ordering::SeqCst) {
            true => Answer::status(200),
            false => Answer::status(500).after(Duration::from_secs(20)),
        })
    };
    let mapping =
        topic.mapping(&["startingPosition: TRIM_HORIZON", &format!("sink: {{ uri: '{}' }}", sink.uri)]);
    let mut bridge = Setup::run(KLR).resources("orders.yaml", &mapping).start();
    assert!(sink.wait_for(1, PATIENCE), "{}", bridge.stderr());
    bridge.sigterm();
    assert_eq!(
        bridge.wait_exit(Duration::from_millis(500)),
        None,
        "the first one waits for what is in flight"
    );
    bridge.sigterm();
    assert_eq!(bridge.wait_exit(Duration::from_secs(5)), Some(1), "{}", bridge.stderr());
    assert_eq!(topic.group().committed().values().sum::<i64>(), 0);
    quick.store(true, Ordering::SeqCst);
    bridge.start_again();
    assert_all(&topic, &handed, &bridge);
}
