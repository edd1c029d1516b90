//! Promise: memory is bounded by configuration, not by backlog. With a million records waiting in Kafka and a slow
//! function the bridge stays under 200 MB, with small batches and with the largest.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::time::Duration;

use klr_test_support::kafka::Topic;
use klr_test_support::klr::Setup;
use klr_test_support::servers::Kafka;
use klr_test_support::sink::{Answer, Sink};

#[test]
fn a_million_records_wait_in_kafka_and_not_here() {
    let Some(kafka) = Kafka::start() else { return };
    let topic = Topic::create(&kafka, 8);
    topic.fill(125_000, 1_000);
    // AWS's largest batch is cut by the 6 MB an event may have.
    for (batch_size, batches) in [(100, 200), (10_000, 30)] {
        let sink = Sink::forgetful(|_| Answer::status(200).after(Duration::from_millis(300)));
        let mapping = topic.mapping(&[
            "startingPosition: TRIM_HORIZON",
            &format!("batchSize: {batch_size}"),
            &format!("sink: {{ uri: '{}' }}", sink.uri),
        ]);
        let mut bridge = Setup::run(env!("CARGO_BIN_EXE_klr")).resources("orders.yaml", &mapping).start();
        assert!(sink.wait_for(batches, Duration::from_secs(90)), "{}:\n{}", sink.count(), bridge.stderr());
        let peak = bridge.peak_rss_bytes() >> 20;
        println!("batches of {batch_size}: peak {peak} MB");
        assert!(peak < 200, "{peak} MB with batches of {batch_size}");
        bridge.sigterm();
        assert_eq!(bridge.wait_exit(Duration::from_secs(30)), Some(0), "{}", bridge.stderr());
    }
    let waiting = 1_000_000 - topic.group().committed().values().sum::<i64>();
    assert!(waiting > 500_000, "only {waiting} were still waiting");
}
