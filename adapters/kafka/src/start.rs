//! Where a group without committed offsets begins, fixed before anything is delivered.

use std::time::Duration;

use klr_contract::Error;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};

use crate::offsets::{self, Offsets};
use crate::shared::Shared;
use crate::thread::Consumer;
use crate::{Start, error};

/// Between two attempts.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// Commits the starting position for every partition, if the group has none for any. Tries until it can or the source is
/// closed (`None`).
///
/// The answer is empty, except where others had joined the group meanwhile and so the broker refused the commit of one who
/// is no member: then these are the positions to begin at, committed when the partitions are assigned.
pub(crate) fn fix(consumer: &Consumer, shared: &Shared) -> Option<Offsets> {
    while !shared.ledger.stopping() {
        match attempt(consumer, shared) {
            Ok(offsets) => return Some(offsets),
            Err(error) => shared.tell(error),
        }
        wait(consumer, shared);
    }
    None
}

fn attempt(consumer: &Consumer, shared: &Shared) -> Result<Offsets, Error> {
    let topic = &shared.config.topic;
    let ask = |error: KafkaError| shared.explain(&error);
    let partitions = offsets::partitions(consumer, topic).map_err(ask)?;
    if partitions.is_empty() {
        return Err(shared.explain(&KafkaError::MetadataFetch(Code::UnknownTopicOrPartition)));
    }
    if !offsets::committed(consumer, topic, &partitions).map_err(ask)?.is_empty() {
        return Ok(Offsets::new());
    }
    let start = resolve(consumer, shared, &partitions).map_err(ask)?;
    match offsets::commit(consumer, topic, start.clone()) {
        Ok(()) => {
            tracing::info!(topic, group = shared.config.group, start = ?shared.config.start, "starting position fixed");
            Ok(Offsets::new())
        }
        Err(refused) if has_members(&refused) => {
            let committed = offsets::committed(consumer, topic, &partitions).map_err(ask)?;
            Ok(if committed.is_empty() { start } else { Offsets::new() })
        }
        Err(other) => Err(error::commit(&other, topic)),
    }
}

/// A starting position in offsets.
fn resolve(consumer: &Consumer, shared: &Shared, partitions: &[i32]) -> KafkaResult<Offsets> {
    let topic = &shared.config.topic;
    match shared.config.start {
        Start::TrimHorizon => offsets::beginnings(consumer, topic, partitions),
        Start::Latest => offsets::ends(consumer, topic, partitions),
        Start::AtTimestamp(time) => {
            // Where nothing is that young yet: at the end. Asked first, or what arrives in between would be left out.
            let mut start = offsets::ends(consumer, topic, partitions)?;
            start.extend(offsets::at_time(consumer, topic, partitions, time.as_millisecond())?);
            Ok(start)
        }
    }
}

fn has_members(refused: &KafkaError) -> bool {
    matches!(
        refused.rdkafka_error_code(),
        Some(Code::IllegalGeneration | Code::UnknownMemberId | Code::RebalanceInProgress)
    )
}

/// Waits, and meanwhile hears what librdkafka has to say: why it cannot connect comes as an event.
fn wait(consumer: &Consumer, shared: &Shared) {
    for _ in 0..10 {
        if shared.ledger.stopping() {
            return;
        }
        if let Some(Err(error)) = consumer.poll(PAUSE / 10) {
            shared.report(&error, &consumer.context().reason());
        }
    }
}
