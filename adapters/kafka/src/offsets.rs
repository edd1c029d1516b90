//! Questions to the cluster, for many partitions at once. They block: the consumer's thread asks.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// The longest one question may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// The same for the first of all, which fails when nobody is there: why, comes as an event that is heard after it.
const FIRST: Duration = Duration::from_secs(2);

/// Offsets by partition number.
pub(crate) type Offsets = BTreeMap<i32, i64>;

/// The partitions a topic has. None: there is no such topic.
pub(crate) fn partitions<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
) -> KafkaResult<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), FIRST)?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Ok(Vec::new());
    };
    match found.error() {
        Some(error) => Err(KafkaError::MetadataFetch(error.into())),
        None => Ok(found.partitions().iter().map(|partition| partition.id()).collect()),
    }
}

/// What the group has committed; partitions without a commit are missing.
pub(crate) fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partitions: &[i32],
) -> KafkaResult<Offsets> {
    known(consumer.committed_offsets(list(topic, partitions, Offset::Invalid)?, PATIENCE)?)
}

/// The first offset of each partition.
pub(crate) fn beginnings<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partitions: &[i32],
) -> KafkaResult<Offsets> {
    // ListOffsets takes -2 (first) and -1 (end) in a timestamp's place, and librdkafka hands them through.
    known(consumer.offsets_for_times(list(topic, partitions, Offset::Beginning)?, PATIENCE)?)
}

/// The offset after the last record of each partition that is stable (its transaction, if any, has ended).
pub(crate) fn ends<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partitions: &[i32],
) -> KafkaResult<Offsets> {
    known(consumer.offsets_for_times(list(topic, partitions, Offset::End)?, PATIENCE)?)
}

/// The first offset with this time (in milliseconds) or a later one; partitions that have none are missing.
pub(crate) fn at_time<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partitions: &[i32],
    time: i64,
) -> KafkaResult<Offsets> {
    let time = Offset::Offset(time.max(0));
    known(consumer.offsets_for_times(list(topic, partitions, time)?, PATIENCE)?)
}

/// Commits and waits for the broker's word.
pub(crate) fn commit<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    offsets: impl IntoIterator<Item = (i32, i64)>,
) -> KafkaResult<()> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    }
    if list.count() == 0 { Ok(()) } else { consumer.commit(&list, CommitMode::Sync) }
}

/// The same offset for every partition.
pub(crate) fn list(topic: &str, partitions: &[i32], offset: Offset) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition_offset(topic, *partition, offset)?;
    }
    Ok(list)
}

fn known(list: TopicPartitionList) -> KafkaResult<Offsets> {
    let mut offsets = Offsets::new();
    for element in list.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            offsets.insert(element.partition(), offset);
        }
    }
    Ok(offsets)
}
