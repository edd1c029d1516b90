//! Promise: batches of SQS messages are cut as on AWS, by count, by window and by bytes, and no more of them are under way
//! at a time than allowed, or than the function can bear.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::thread::sleep;
use std::time::Duration;

use klr_test_support::eventually;
use klr_test_support::klr::{Bridge, Setup};
use klr_test_support::servers::ElasticMq;
use klr_test_support::sink::{Answer, Request, Sink};
use klr_test_support::sqs::{self, Counts, Queue};

const KLR: &str = env!("CARGO_BIN_EXE_klr");
const PATIENCE: Duration = Duration::from_secs(30);

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

fn run(mapping: &str) -> Bridge {
    Setup::run(KLR).resources("m.yaml", mapping).start()
}

fn sizes(requests: &[Request]) -> Vec<usize> {
    requests.iter().map(|request| sqs::records(request).len()).collect()
}

fn emptied(queue: &Queue) -> bool {
    eventually(PATIENCE, || queue.counts() == Counts::EMPTY)
}

/// Between the arrivals of two requests.
fn gap(requests: &[Request], from: usize) -> Duration {
    requests[from + 1].at.duration_since(requests[from].at).unwrap()
}

#[test]
fn without_a_window_one_message_does_not_wait_for_others() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "at-once", 30);
    let sink = Sink::start(|_| Answer::status(200));
    let mut bridge = run(&queue.mapping(&sink.uri, "batchSize: 10"));
    bridge.wait_ready();
    queue.send("a");
    assert!(sink.wait_for(1, Duration::from_secs(10)));
}

#[test]
fn without_a_window_a_receive_is_a_batch() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "receives", 30);
    queue.send_all(&numbers(24));
    let sink = Sink::start(|_| Answer::status(200));
    let _bridge = run(&queue.mapping(&sink.uri, "batchSize: 10"));
    assert!(emptied(&queue));
    let mut sizes = sizes(&sink.requests());
    sizes.sort();
    assert_eq!(sizes, [4, 10, 10]);
}

/// Five lanes find 75 messages: each receives ten and then five.
#[test]
fn a_batch_of_fifteen_takes_several_receives() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "fifteen", 30);
    queue.send_all(&numbers(75));
    let sink = Sink::start(|_| Answer::status(200).after(Duration::from_secs(3)));
    let _bridge = run(&queue.mapping(&sink.uri, "batchSize: 15\nmaximumBatchingWindowInSeconds: 10"));

    assert!(emptied(&queue));
    let sizes = sizes(&sink.requests());
    assert_eq!(sizes.iter().sum::<usize>(), 75);
    let full = sizes.iter().filter(|size| **size == 15).count();
    assert!(full >= 3 && sizes.iter().all(|size| *size <= 15), "{sizes:?}");
}

#[test]
fn the_window_opens_when_the_previous_invocation_has_ended() {
    const WINDOW: Duration = Duration::from_secs(4);
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "window", 60);
    let sink = Sink::start(|request| match sqs::bodies(request)[0].as_str() {
        "plug" => Answer::status(200).after(Duration::from_secs(40)),
        _ => Answer::status(200),
    });
    let spec = "maximumBatchingWindowInSeconds: 4\nscalingConfig: {maximumConcurrency: 2}";
    let _bridge = run(&queue.mapping(&sink.uri, spec));

    // One of the two lanes is kept busy, so that the other's window is the only one.
    queue.send("plug");
    assert!(sink.wait_for(1, PATIENCE));
    queue.send("a");
    assert!(sink.wait_for(2, PATIENCE));
    queue.send("b");
    sleep(Duration::from_secs(1));
    queue.send("c");
    assert!(sink.wait_for(3, PATIENCE));
    let requests = sink.requests();
    let mut bodies = sqs::bodies(&requests[2]);
    bodies.sort();
    assert_eq!(bodies, ["b", "c"]);
    // A long poll counts in whole seconds, so a window may end up to one late; the rest is the machine's.
    let waited = gap(&requests, 1);
    assert!(waited > WINDOW - Duration::from_millis(100), "{waited:?}");
    assert!(waited < WINDOW + Duration::from_secs(8), "{waited:?}");
}

#[test]
fn no_event_exceeds_the_sinks_budget_and_what_never_fits_is_left_to_the_redrive_policy() {
    const BUDGET: usize = 8_000;
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "budget", 5);
    let dead = queue.dead_letters(2);
    let mut bodies: Vec<String> = (0..60).map(|n| format!("{n} {}", "é\"".repeat(10 * n))).collect();
    queue.send_all(&bodies);
    let giant = "x".repeat(BUDGET);
    queue.send(&giant);
    let sink = Sink::start(|_| Answer::status(200));
    let target = format!("sink: {{uri: \"{}\", maximumPayloadBytes: {BUDGET}}}", sink.uri);
    let _bridge = run(&queue.mapping_spec(&target));

    assert!(eventually(PATIENCE, || dead.counts().visible == 1), "{:?}", dead.counts());
    assert!(emptied(&queue));
    let requests = sink.requests();
    let largest = requests.iter().map(|request| request.body.len()).max();
    assert!(largest <= Some(BUDGET), "{largest:?}");
    assert!(sizes(&requests).iter().any(|size| *size > 2), "{:?}", sizes(&requests));
    let mut delivered: Vec<String> = requests.iter().flat_map(sqs::bodies).collect();
    delivered.sort();
    bodies.sort();
    assert!(delivered == bodies, "each of the others once");
    assert!(dead.take_bodies() == [giant]);
}

#[test]
fn too_large_for_the_sink_is_halved_in_order() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::fifo(&server.endpoint, "halved", 30);
    queue.send_to_group("g", &numbers(8));
    let sink = Sink::start(|request| match sqs::records(request).len() {
        4.. => Answer::status(413),
        _ => Answer::status(200),
    });
    let _bridge = run(&queue.mapping(&sink.uri, ""));

    assert!(emptied(&queue));
    let requests = sink.requests();
    assert_eq!(sizes(&requests), [8, 4, 2, 2, 4, 2, 2]);
    let taken = requests.iter().filter(|request| sqs::records(request).len() < 4);
    assert_eq!(taken.flat_map(sqs::bodies).collect::<Vec<_>>(), numbers(8));
}

#[test]
fn a_throttled_batch_is_the_same_batch_later() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "throttled", 30);
    queue.send("a");
    let sink = Sink::start(|request| match request.index {
        0 => Answer::status(429).header("retry-after", "2"),
        1..4 => Answer::status(429),
        _ => Answer::status(200),
    });
    let _bridge = run(&queue.mapping(&sink.uri, ""));

    assert!(sink.wait_for(5, PATIENCE) && emptied(&queue));
    let requests = sink.requests();
    for request in &requests {
        assert_eq!(request.header("ce-id"), requests[0].header("ce-id"));
        let count = sqs::text(&sqs::records(request)[0], "attributes.ApproximateReceiveCount");
        assert_eq!(count, "1", "it is never let go");
    }
    let gaps: Vec<Duration> = (0..4).map(|n| gap(&requests, n)).collect();
    assert!(gaps[0] >= Duration::from_secs(2), "as it was asked to: {gaps:?}");
    assert!(gaps[3] > gaps[2] && gaps[2] > gaps[1], "longer and longer: {gaps:?}");
}

#[test]
fn maximum_concurrency_is_reached_and_never_exceeded() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "two", 30);
    queue.send_all(&numbers(30));
    let sink = Sink::start(|_| Answer::status(200).after(Duration::from_millis(300)));
    let spec = "batchSize: 1\nscalingConfig: {maximumConcurrency: 2}";
    let _bridge = run(&queue.mapping(&sink.uri, spec));

    assert!(emptied(&queue));
    assert_eq!((sink.count(), sink.most_in_flight()), (30, 2));
}

#[test]
fn concurrency_begins_at_five_and_grows_by_five_a_second_while_all_are_busy() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "growing", 30);
    queue.send_all(&numbers(100));
    let sink = Sink::start(|_| Answer::status(200).after(Duration::from_secs(20)));
    let _bridge = run(&queue.mapping(&sink.uri, "batchSize: 1"));

    // Nothing is answered meanwhile: every request is one more at a time.
    assert!(sink.wait_for(20, Duration::from_secs(15)), "{}", sink.count());
    let requests = sink.requests();
    for (n, request) in requests.iter().enumerate().skip(5) {
        let since = request.at.duration_since(requests[0].at).unwrap();
        // The first step may come as soon as five are busy, each further one a second later.
        let steps = u32::try_from(n / 5).unwrap();
        let earliest = Duration::from_secs(1) * (steps - 1);
        assert!(since + Duration::from_millis(500) > earliest, "request {n} after {since:?}");
    }
}
