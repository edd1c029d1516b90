//! Promise: no message of an SQS queue is lost or given up while it could be delivered, whatever happens to the bridge, to
//! the sink or to the queue's server; and leaving is orderly.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use klr_test_support::eventually;
use klr_test_support::klr::{Bridge, Setup};
use klr_test_support::random::Random;
use klr_test_support::servers::{ElasticMq, Moto};
use klr_test_support::sink::{Answer, Request, Sink};
use klr_test_support::sqs::{self, Counts, Queue};

const KLR: &str = env!("CARGO_BIN_EXE_klr");
/// AWS: a long poll. What was received by one that was under way at SIGTERM is handed back, so it is waited for.
const LONG_POLL: Duration = Duration::from_secs(20);

/// How often each of the numbered messages was answered with success.
#[derive(Clone)]
struct Tally(Arc<Mutex<Vec<usize>>>);

impl Tally {
    fn of(count: usize) -> Self {
        Self(Arc::new(Mutex::new(vec![0; count])))
    }

    fn note(&self, request: &Request) {
        let mut times = self.0.lock().unwrap();
        sqs::bodies(request).iter().for_each(|body| times[body.parse::<usize>().unwrap()] += 1);
    }

    fn seen(&self) -> usize {
        self.0.lock().unwrap().iter().filter(|times| **times > 0).count()
    }

    fn complete(&self) -> bool {
        self.0.lock().unwrap().iter().all(|times| *times > 0)
    }

    /// Successes beyond the first.
    fn duplicates(&self) -> usize {
        self.0.lock().unwrap().iter().map(|times| times.saturating_sub(1)).sum()
    }
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

fn run(mappings: &str) -> Bridge {
    let mut bridge = Setup::run(KLR).resources("m.yaml", mappings).start();
    bridge.wait_ready();
    bridge
}

fn emptied(queue: &Queue, patience: u64) -> bool {
    eventually(Duration::from_secs(patience), || queue.counts() == Counts::EMPTY)
}

#[test]
fn through_kill_9() {
    const COUNT: usize = 30_000;
    let Some(server) = ElasticMq::start_with_heap("256m") else { return };
    let queue = Queue::standard(&server.endpoint, "killed", 10);
    queue.send_all(&numbers(0..COUNT));
    let (random, tally) = (Random::new(), Tally::of(COUNT));
    let seen = tally.clone();
    let sink = Sink::forgetful(move |request| {
        seen.note(request);
        Answer::status(200)
    });
    let mut bridge = run(&queue.mapping(&sink.uri, ""));

    let mut in_flight = 0;
    for kill in 1..=3 {
        let moment = COUNT * kill / 5 + random.below(COUNT as u64 / 10) as usize;
        assert!(eventually(Duration::from_secs(60), || tally.seen() >= moment), "{}", tally.seen());
        bridge.kill9();
        // All it had received and not deleted; some of it may be hidden since the last kill.
        in_flight += queue.counts().hidden;
        bridge.start_again();
    }
    assert!(eventually(Duration::from_secs(60), || tally.complete()), "{}", tally.seen());
    assert!(emptied(&queue, 30), "{:?}", queue.counts());
    println!("{} duplicates, {in_flight} in flight at the kills", tally.duplicates());
    assert!(tally.duplicates() <= in_flight);
}

/// Nobody listens for longer than the redrive policy has patience: twice, from the start and in the middle.
#[test]
fn through_an_outage_of_the_sink_that_outlasts_the_redrive_policy() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "outage", 4);
    let dead = queue.dead_letters(2);
    let tally = Tally::of(300);
    let seen = tally.clone();
    let mut sink = Sink::forgetful(move |request| {
        seen.note(request);
        Answer::status(200).after(Duration::from_millis(20))
    });
    let delivered = |count| eventually(Duration::from_secs(40), || tally.seen() == count);
    let loses = || eventually(Duration::from_secs(14), || dead.counts() != Counts::EMPTY);

    sink.down();
    queue.send_all(&numbers(0..100));
    let _bridge = run(&queue.mapping(&sink.uri, ""));
    assert!(!loses(), "{:?} given up at the start", dead.counts());
    sink.up();
    assert!(delivered(100), "{}", tally.seen());

    queue.send_all(&numbers(100..200));
    assert!(eventually(Duration::from_secs(20), || tally.seen() > 120));
    sink.down();
    queue.send_all(&numbers(200..300));
    assert!(!loses(), "{:?} given up in the middle", dead.counts());
    sink.up();
    assert!(delivered(300), "{}", tally.seen());
    assert!(emptied(&queue, 20) && dead.counts() == Counts::EMPTY, "{:?}", queue.counts());
}

#[test]
fn with_a_sink_that_is_slow_fails_throttles_and_cuts_connections() {
    const COUNT: usize = 400;
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "moody", 3);
    queue.send_all(&numbers(0..COUNT));
    let (random, tally) = (Random::new(), Tally::of(COUNT));
    let seen = tally.clone();
    let sink = Sink::forgetful(move |request| {
        let answer = match random.below(100) {
            0..10 => Answer::status(500),
            10..20 => Answer::cut(),
            20..25 => Answer::status(503),
            25..30 => Answer::status(429).header("retry-after", "1"),
            30..32 => Answer::status(200).after(Duration::from_secs(5)),
            _ => {
                seen.note(request);
                Answer::status(200)
            }
        };
        let pause = answer.delay() + Duration::from_millis(random.below(200));
        answer.after(pause)
    });
    let _bridge = run(&queue.mapping(&sink.uri, ""));

    assert!(eventually(Duration::from_secs(90), || tally.complete()), "{}", tally.seen());
    assert!(emptied(&queue, 20), "{:?}", queue.counts());
}

/// Both servers forget everything when they stop: what is sent afterwards has to arrive.
fn recovers(endpoint: &str, restart: impl FnOnce(&dyn Fn())) {
    let queue = Queue::standard(endpoint, "away", 10);
    queue.send_all(&numbers(0..20));
    let tally = Tally::of(40);
    let seen = tally.clone();
    let sink = Sink::forgetful(move |request| {
        seen.note(request);
        Answer::status(200)
    });
    let bridge = run(&queue.mapping(&sink.uri, ""));
    assert!(eventually(Duration::from_secs(30), || tally.seen() == 20) && emptied(&queue, 10));

    restart(&|| {
        let noticed = || bridge.metric("klr_polling_error_count_total", "") >= 2.0;
        assert!(eventually(Duration::from_secs(40), noticed), "{}", bridge.stderr());
    });
    queue.create_again(10);
    queue.send_all(&numbers(20..40));
    assert!(eventually(Duration::from_secs(60), || tally.complete()), "{}", bridge.stderr());
    assert!(emptied(&queue, 10));
    let well = || bridge.metric("klr_mapping_problem", "") == 0.0;
    assert!(eventually(Duration::from_secs(30), well), "{}", bridge.stderr());
}

#[test]
fn when_elasticmq_was_away() {
    let Some(mut server) = ElasticMq::start() else { return };
    recovers(&server.endpoint.clone(), |noticed| {
        server.stop();
        noticed();
        server.start_again();
    });
}

#[test]
fn when_moto_was_away() {
    let Some(mut server) = Moto::start() else { return };
    recovers(&server.endpoint.clone(), |noticed| {
        server.stop();
        noticed();
        server.start_again();
    });
}

#[test]
fn sigterm_finishes_what_is_in_flight_and_takes_no_more() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "drained", 60);
    queue.send_all(&numbers(0..6));
    let sink = Sink::start(|_| Answer::status(200).after(Duration::from_secs(6)));
    let two = "batchSize: 1\nscalingConfig: {maximumConcurrency: 2}";
    let mut bridge = run(&queue.mapping(&sink.uri, two));

    assert!(sink.wait_for(2, Duration::from_secs(20)));
    bridge.sigterm();
    assert!(eventually(Duration::from_secs(5), || !bridge.ready()), "draining is not ready");
    assert_eq!(bridge.wait_exit(LONG_POLL), Some(0), "{}", bridge.stderr());
    assert_eq!(sink.count(), 2);
    assert_eq!(queue.counts(), Counts { visible: 4, hidden: 0 });
}

#[test]
fn sigterm_hands_back_what_was_received_and_not_invoked() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "returned", 60);
    queue.send_all(&numbers(0..3));
    let sink = Sink::start(|_| Answer::status(200));
    let mut bridge = run(&queue.mapping(&sink.uri, "maximumBatchingWindowInSeconds: 300"));

    let received = Counts { visible: 0, hidden: 3 };
    assert!(eventually(Duration::from_secs(20), || queue.counts() == received));
    bridge.sigterm();
    assert_eq!(bridge.wait_exit(LONG_POLL + Duration::from_secs(5)), Some(0), "{}", bridge.stderr());
    assert_eq!(sink.count(), 0);
    assert_eq!(queue.counts(), Counts { visible: 3, hidden: 0 }, "there for the next at once");
}

#[test]
fn a_second_sigterm_leaves_at_once_and_settles_nothing() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "impatient", 60);
    queue.send("0");
    let sink = Sink::start(|_| Answer::status(200).after(Duration::from_secs(30)));
    let mut bridge = run(&queue.mapping(&sink.uri, ""));

    assert!(sink.wait_for(1, Duration::from_secs(20)));
    bridge.sigterm();
    assert!(eventually(Duration::from_secs(5), || !bridge.ready()));
    // It would wait for the sink for 25 seconds.
    sleep(Duration::from_secs(1));
    bridge.sigterm();
    assert_eq!(bridge.wait_exit(Duration::from_secs(5)), Some(1), "{}", bridge.stderr());
    assert_eq!(queue.counts(), Counts { visible: 0, hidden: 1 });
}
