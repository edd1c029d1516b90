//! Kafka: records of 1 KB on eight partitions, in batches of 100 and of 1,000.

use std::process::Stdio;

use klr_test_support::kafka::Topic;
use klr_test_support::klr::Setup;
use klr_test_support::servers::{Kafka, Options};

use super::pair::{self, Figures, Ratio};
use super::process::{Process, this};
use super::sink::{Marks, Running};

const PARTITIONS: i32 = 8;
/// `{` of the event and of `records`; one of each record, which has no headers and base64 for the rest.
const EVENT: Marks = Marks { byte: b'{', frame: 2, each: 1 };

/// Both batch sizes; nothing where there is no Kafka.
pub fn compare(records: usize) -> Vec<Ratio> {
    let options = Options { heap: Some("512m".to_owned()), ..Options::default() };
    let Some(kafka) = Kafka::start_with(options) else { return Vec::new() };
    let topic = Topic::create(&kafka, PARTITIONS);
    topic.fill(records / PARTITIONS as usize, 1_000);
    let mut runs = 0;
    let mut group = |side: &str| {
        runs += 1;
        format!("{side}-{runs}")
    };
    [100, 1_000]
        .map(|batch| {
            let (floors, bridges) = (group("floor"), group("bridge"));
            let mut turn = (0, 0);
            pair::compare(
                &format!("kafka, {records} x 1 KB by {batch}"),
                || {
                    turn.0 += 1;
                    floor(&kafka, &topic, &format!("{floors}-{}", turn.0), batch, records)
                },
                || {
                    turn.1 += 1;
                    bridge(&topic, &format!("{bridges}-{}", turn.1), batch, records)
                },
            )
        })
        .into()
}

fn floor(kafka: &Kafka, topic: &Topic, group: &str, batch: usize, records: usize) -> Figures {
    let mut sink = Running::start(EVENT);
    let batch = batch.to_string();
    let args = ["floor", "kafka", &kafka.bootstrap, &topic.name, group, &sink.uri, &batch];
    let floor = Process::start(this().args(args).stdin(Stdio::null()));
    pair::watch(&mut sink, floor.0.id(), records)
}

fn bridge(topic: &Topic, group: &str, batch: usize, records: usize) -> Figures {
    let mut sink = Running::start(EVENT);
    let mapping = topic.mapping_without_group(&[
        &format!("selfManagedKafkaEventSourceConfig: {{ consumerGroupId: {group} }}"),
        "startingPosition: TRIM_HORIZON",
        &format!("batchSize: {batch}"),
        &format!("sink: {{ uri: '{}' }}", sink.uri),
    ]);
    let bridge = Setup::run(env!("CARGO_BIN_EXE_klr")).resources("orders.yaml", &mapping).start();
    pair::watch(&mut sink, bridge.pid(), records)
}
