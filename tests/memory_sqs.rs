//! Promise: memory is bounded by configuration, not by the backlog. With 100,000 messages waiting in SQS, batches as large as
//! they may be, and a slow sink, or with a message group that is stuck, the bridge stays under 200 MB.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::time::Duration;

use klr_test_support::eventually;
use klr_test_support::klr::Setup;
use klr_test_support::servers::ElasticMq;
use klr_test_support::sink::{Answer, Sink};
use klr_test_support::sqs::{self, Queue};

const KLR: &str = env!("CARGO_BIN_EXE_klr");
const COUNT: usize = 100_000;
const LIMIT: u64 = 200_000_000;

#[test]
fn a_backlog_and_a_slow_sink() {
    let Some(server) = ElasticMq::start_with_heap("768m") else { return };
    let [large, many] = ["large", "many"].map(|name| Queue::standard(&server.endpoint, name, 300));
    for queue in [&large, &many] {
        queue.send_all(&vec!["x".repeat(1000); COUNT / 2]);
    }
    let sink = Sink::forgetful(|_| Answer::status(200).after(Duration::from_secs(30)));
    // One lane may fill a whole event (6 MB); ten at a time may have many lanes.
    let mappings = large.mapping(&sink.uri, "batchSize: 10000\nmaximumBatchingWindowInSeconds: 300")
        + &many.mapping(&sink.uri, "");
    let bridge = Setup::run(KLR).resources("m.yaml", &mappings).start();

    assert!(sink.wait_for(1, Duration::from_secs(30)));
    let holds_much = || large.counts().hidden > 10_000;
    assert!(
        eventually(Duration::from_secs(60), holds_much),
        "the test is to weigh something: {:?}",
        large.counts()
    );
    let too_much = || bridge.peak_rss_bytes() > LIMIT;
    assert!(!eventually(Duration::from_secs(15), too_much), "{} bytes", bridge.peak_rss_bytes());
    let (large, many) = (large.counts(), many.counts());
    assert!(large.visible + many.visible > COUNT / 4, "a backlog is left: {large:?}, {many:?}");
    println!("{} bytes at most; {large:?}, {many:?}", bridge.peak_rss_bytes());
}

/// The function fails on whatever the one group holds; the others run on.
#[test]
fn a_stuck_message_group() {
    const OTHERS: usize = 30;
    const EACH: usize = 50;
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::fifo(&server.endpoint, "stuck", 5);
    let bodies = vec!["x".repeat(1000); EACH];
    queue.send_to_group("stuck", &vec!["x".repeat(1000); OTHERS * EACH]);
    (0..OTHERS).for_each(|group| queue.send_to_group(&format!("g{group}"), &bodies));
    let sink = Sink::forgetful(|request| {
        let records = sqs::records(request);
        let stuck = records.iter().filter(|record| record["attributes"]["MessageGroupId"] == "stuck");
        Answer::json(sqs::failures(stuck))
    });
    let report = "functionResponseTypes: [ReportBatchItemFailures]";
    let bridge = Setup::run(KLR).resources("m.yaml", &queue.mapping(&sink.uri, report)).start();

    let left = || queue.counts().visible + queue.counts().hidden;
    let others_are_through = eventually(Duration::from_secs(60), || left() == OTHERS * EACH);
    assert!(others_are_through, "{} left", left());
    assert!(bridge.peak_rss_bytes() < LIMIT, "{} bytes", bridge.peak_rss_bytes());
}
