//! Promise: a mapping begins where `startingPosition` says, and that place is fixed before the first delivery; a group that
//! has committed goes on where it was; the group is the mapping's own UUID unless another is named.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::collections::BTreeMap;
use std::time::Duration;

use klr_test_support::handed::Place;
use klr_test_support::kafka::{Message, Topic, places};
use klr_test_support::klr::{Bridge, Setup};
use klr_test_support::servers::Kafka;
use klr_test_support::sink::{Answer, Sink};

const PATIENCE: Duration = Duration::from_secs(60);

fn recording() -> Sink {
    Sink::start(|_| Answer::status(200))
}

fn bridge(topic: &Topic, sink: &Sink, position: &str) -> Bridge {
    start(&topic.mapping(&[position, &format!("sink: {{ uri: '{}' }}", sink.uri)]))
}

fn start(mapping: &str) -> Bridge {
    let mut bridge = Setup::run(env!("CARGO_BIN_EXE_klr")).resources("orders.yaml", mapping).start();
    bridge.wait_ready();
    bridge
}

/// What has come once everything is committed, in order.
fn delivered(topic: &Topic, sink: &Sink, bridge: &Bridge) -> Vec<Place> {
    let group = topic.group();
    let committed = group.wait_committed(&topic.ends(), PATIENCE);
    assert!(committed, "{:?}:\n{}", group.committed(), bridge.stderr());
    all(sink)
}

fn all(sink: &Sink) -> Vec<Place> {
    let mut all: Vec<_> = sink.requests().iter().flat_map(|request| places(&request.body)).collect();
    all.sort_unstable();
    all
}

/// These offsets of every partition.
fn of_each(topic: &Topic, offsets: std::ops::Range<i64>) -> Vec<Place> {
    let of = |partition| offsets.clone().map(move |offset| Place { partition, offset });
    (0..topic.partitions).flat_map(of).collect()
}

#[test]
fn trim_horizon_is_the_beginning() {
    let Some(kafka) = Kafka::shared() else { return };
    let (topic, sink) = (Topic::create(kafka, 2), recording());
    topic.fill(10, 10);
    let bridge = bridge(&topic, &sink, "startingPosition: TRIM_HORIZON");
    assert_eq!(delivered(&topic, &sink, &bridge), of_each(&topic, 0..10));
}

/// The end as of the first start, wherever a crash puts the first delivery.
#[test]
fn latest_is_fixed_before_the_first_delivery() {
    let Some(kafka) = Kafka::shared() else { return };
    let (topic, sink) = (Topic::create(kafka, 2), recording());
    topic.fill(10, 10);
    let mut bridge = bridge(&topic, &sink, "startingPosition: LATEST");
    bridge.kill9();
    topic.fill(5, 10);
    bridge.start_again();
    assert_eq!(delivered(&topic, &sink, &bridge), of_each(&topic, 10..15));
}

#[test]
fn at_timestamp_is_the_first_record_of_that_time_or_later() {
    let Some(kafka) = Kafka::shared() else { return };
    let (topic, sink) = (Topic::create(kafka, 2), recording());
    let noon = 1_790_000_000;
    for second in 0..10 {
        let timestamp = Some((noon + second) * 1000);
        topic.send(Message { value: Some(b"x"), timestamp, ..Message::default() });
    }
    topic.flush();
    let position = format!("startingPosition: AT_TIMESTAMP\n  startingPositionTimestamp: {}", noon + 6);
    let bridge = bridge(&topic, &sink, &position);
    // Partition 1 has nothing that young: its beginning is its end.
    topic.send(Message { partition: 1, value: Some(b"x"), ..Message::default() });
    topic.flush();
    let expected: Vec<_> = [(0, 6), (0, 7), (0, 8), (0, 9), (1, 0)]
        .map(|(partition, offset)| Place { partition, offset })
        .into();
    assert_eq!(delivered(&topic, &sink, &bridge), expected);
}

#[test]
fn a_group_that_has_committed_goes_on_where_it_was() {
    let Some(kafka) = Kafka::shared() else { return };
    let (topic, sink) = (Topic::create(kafka, 2), recording());
    topic.fill(10, 10);
    topic.group().commit(7).unwrap();
    let bridge = bridge(&topic, &sink, "startingPosition: TRIM_HORIZON");
    assert_eq!(delivered(&topic, &sink, &bridge), of_each(&topic, 7..10));
}

#[test]
fn the_group_is_the_mappings_uuid_and_stays_so() {
    let Some(kafka) = Kafka::shared() else { return };
    let (topic, sink) = (Topic::create(kafka, 1), recording());
    topic.fill(3, 10);
    let to = format!("sink: {{ uri: '{}' }}", sink.uri);
    let mapping = topic.mapping_without_group(&["startingPosition: TRIM_HORIZON", &to]);
    let mut bridge = start(&mapping);
    assert!(sink.wait_for(1, PATIENCE), "{}", bridge.stderr());
    let uuid = sink.requests()[0].header("ce-mappinguid").unwrap().to_owned();
    let group = topic.group_named(&uuid);
    assert!(group.wait_committed(&BTreeMap::from([(0, 3)]), PATIENCE), "{:?}", group.committed());
    bridge.sigterm();
    assert_eq!(bridge.wait_exit(PATIENCE), Some(0));

    topic.fill(2, 10);
    bridge.start_again();
    assert!(group.wait_committed(&BTreeMap::from([(0, 5)]), PATIENCE), "{:?}", group.committed());
    assert_eq!(all(&sink), of_each(&topic, 0..5), "each once");
    let uuids = sink.requests().iter().all(|request| request.header("ce-mappinguid") == Some(&uuid));
    assert!(uuids && uuid.len() == 36, "{uuid}");
}
