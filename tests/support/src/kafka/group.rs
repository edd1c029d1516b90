use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Topic;
use super::topic::client;
use crate::eventually;

/// A consumer group, looked at from outside: it is never joined.
pub struct Group {
    topic: String,
    partitions: i32,
    consumer: BaseConsumer,
}

impl Group {
    pub(super) fn new(topic: &Topic, name: &str) -> Self {
        let consumer = client(&topic.bootstrap).set("group.id", name).create();
        let consumer = consumer.expect("a consumer can be made");
        Self { topic: topic.name.clone(), partitions: topic.partitions, consumer }
    }

    /// What it has committed; partitions without a commit are missing, and so are all while the broker is away.
    pub fn committed(&self) -> BTreeMap<i32, i64> {
        let known = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
        let committed = self.consumer.committed_offsets(self.list(Offset::Invalid), Duration::from_secs(10));
        let committed = committed.unwrap_or_default();
        let elements = committed.elements();
        elements.iter().filter_map(|element| Some((element.partition(), known(element.offset())?))).collect()
    }

    /// Waits until it has committed just this; false when `timeout` passes first.
    pub fn wait_committed(&self, expected: &BTreeMap<i32, i64>, timeout: Duration) -> bool {
        eventually(timeout, || self.committed() == *expected)
    }

    /// Commits the same offset for every partition, as a consumer before us would have.
    pub fn commit(&self, offset: i64) -> KafkaResult<()> {
        self.consumer.commit(&self.list(Offset::Offset(offset)), rdkafka::consumer::CommitMode::Sync)
    }

    fn list(&self, offset: Offset) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions {
            list.add_partition_offset(&self.topic, partition, offset).expect("a partition and an offset");
        }
        list
    }
}
