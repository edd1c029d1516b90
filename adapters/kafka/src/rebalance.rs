//! librdkafka's callbacks. They run inside `poll` (and inside the consumer's drop), on the consumer's thread.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use klr_contract::{Arrival, Partition};
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use serde::Deserialize;

use crate::client::MAX_POLL_INTERVAL;
use crate::ledger::Span;
use crate::offsets::{self, Offsets};
use crate::shared::Shared;
use crate::token::hand_over;

/// What the callbacks know and leave behind.
pub(crate) struct Context {
    shared: Arc<Shared>,
    /// Positions for partitions without a commit, where they could not be committed before joining (see `start`).
    pub(crate) start: Mutex<Offsets>,
    /// What is owned has changed since the reader looked.
    pub(crate) changed: AtomicBool,
    /// An assignment could not be resolved: leave and join again.
    pub(crate) rejoin: AtomicBool,
    /// Where the partition ended whose end is reported next.
    pub(crate) end: AtomicI64,
    /// librdkafka's text for the error `poll` returns next.
    reason: Mutex<String>,
}

impl Context {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            start: Mutex::default(),
            changed: AtomicBool::new(false),
            rejoin: AtomicBool::new(false),
            end: AtomicI64::new(-1),
            reason: Mutex::default(),
        }
    }

    /// The text that came with the last error.
    pub(crate) fn reason(&self) -> String {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, partitions: &[i32]) -> KafkaResult<()> {
        let topic = &self.shared.config.topic;
        // More members than partitions, or a rebalance that changes nothing for us. (Nothing may be asked about no partition.)
        if partitions.is_empty() {
            take(consumer, &TopicPartitionList::new())?;
            self.shared.well();
            self.shared.inbox.reached();
            return Ok(());
        }
        let spans = match self.spans(consumer, partitions) {
            Ok(spans) => spans,
            Err(error) => {
                // Taken as the protocol wants it, read by no one, and handed back at once.
                tracing::warn!(topic, %error, "the assigned partitions' positions are unknown: joining again");
                self.shared.tell(self.shared.explain(&error));
                self.rejoin.store(true, Ordering::Relaxed);
                return take(consumer, &offsets::list(topic, partitions, Offset::Stored)?);
            }
        };
        let mut list = TopicPartitionList::with_capacity(spans.len());
        for span in &spans {
            list.add_partition_offset(topic, span.index as i32, Offset::Offset(span.start))?;
        }
        take(consumer, &list)?;
        // A partition that was paused when it was lost may still be (librdkafka#5591).
        if self.shared.ledger.stalled() {
            consumer.pause(&list)?
        } else {
            consumer.resume(&list)?
        }
        for span in spans {
            self.shared.inbox.gained(self.shared.ledger.gain(span));
        }
        self.changed.store(true, Ordering::Release);
        self.shared.well();
        Ok(())
    }

    /// Where each begins: at its commit, else at its starting position, which is committed before the first delivery.
    fn spans(&self, consumer: &BaseConsumer<Self>, partitions: &[i32]) -> KafkaResult<Vec<Span>> {
        let topic = &self.shared.config.topic;
        let committed = offsets::committed(consumer, topic, partitions)?;
        let beginnings = offsets::beginnings(consumer, topic, partitions)?;
        let ends = offsets::ends(consumer, topic, partitions)?;
        let first = self.start.lock().unwrap_or_else(PoisonError::into_inner);
        let mut spans = Vec::with_capacity(partitions.len());
        let mut fresh = Vec::new();
        for partition in partitions {
            let beginning = beginnings.get(partition).copied().unwrap_or(0);
            let start = match committed.get(partition) {
                Some(committed) if *committed < beginning => {
                    tracing::warn!(
                        topic,
                        partition,
                        committed,
                        beginning,
                        "records between the committed offset and the beginning are gone (retention): going on at the beginning"
                    );
                    beginning
                }
                Some(committed) => *committed,
                None => {
                    let start = first.get(partition).copied().unwrap_or(beginning);
                    fresh.push((*partition, start));
                    start
                }
            };
            let high = ends.get(partition).copied().unwrap_or(start);
            let until = self.shared.config.once.then_some(high);
            spans.push(Span { index: *partition as u32, start, until, high });
        }
        offsets::commit(consumer, topic, fresh)?;
        Ok(spans)
    }

    /// Goes on at a later offset under the same epoch. A partition whose fetch was refused is stopped, and one that is
    /// stopped cannot be sought: it is handed back and taken again, which the group does not see.
    pub(crate) fn skip_to(
        &self,
        consumer: &BaseConsumer<Self>,
        partition: i32,
        offset: i64,
    ) -> KafkaResult<()> {
        let list = offsets::list(&self.shared.config.topic, &[partition], Offset::Offset(offset))?;
        give(consumer, &list)?;
        take(consumer, &list)
    }

    /// The partition is another one than it was (its topic was made anew): under a new epoch, from its beginning.
    pub(crate) fn begin_again(
        &self,
        consumer: &BaseConsumer<Self>,
        partition: i32,
        offset: i64,
    ) -> KafkaResult<()> {
        let topic = &self.shared.config.topic;
        let owned = self.shared.ledger.owned_of(&[partition.cast_unsigned()]);
        for ended in self.shared.ledger.end(&owned) {
            self.shared.inbox.over(ended.partition, Arrival::Lost(ended.partition));
        }
        self.changed.store(true, Ordering::Release);
        offsets::commit(consumer, topic, [(partition, offset)])?;
        give(consumer, &offsets::list(topic, &[partition], Offset::Offset(offset))?)?;
        self.assign(consumer, &[partition])
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, partitions: &[i32], list: &TopicPartitionList) {
        let indexes: Vec<_> = partitions.iter().map(|partition| *partition as u32).collect();
        let owned = self.shared.ledger.owned_of(&indexes);
        if !consumer.assignment_lost() {
            self.drain(&owned);
        }
        let lost = consumer.assignment_lost();
        let mut due = Vec::new();
        for ended in self.shared.ledger.end(&owned) {
            if !lost {
                due.extend(ended.due.map(|offset| (ended.partition.index as i32, offset)));
            }
            if !ended.released {
                self.shared.inbox.over(ended.partition, Arrival::Lost(ended.partition));
            }
        }
        let topic = &self.shared.config.topic;
        if let Err(error) = offsets::commit(consumer, topic, due) {
            tracing::warn!(topic, ?partitions, %error, "the last commit failed: what was done since the one before comes again");
        }
        if let Err(error) = give(consumer, list) {
            tracing::warn!(topic, ?partitions, %error, "partitions could not be handed back");
        }
        self.changed.store(true, Ordering::Release);
    }

    /// Asks the engine to let go, and waits for it: half of what the group allows between two polls at most.
    fn drain(&self, owned: &[Partition]) {
        // What was released already, on the way out, needs no asking.
        for partition in owned.iter().filter(|partition| !self.shared.ledger.is_released(**partition)) {
            if !self.shared.inbox.over(*partition, Arrival::Losing(*partition)) {
                self.shared.ledger.release(*partition);
            }
        }
        let longest = self.shared.config.drain_timeout.min(MAX_POLL_INTERVAL / 2);
        self.shared.ledger.wait_released(owned, longest);
    }
}

fn take(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list),
    }
}

fn give(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<_> = list.elements().iter().map(|element| element.partition()).collect();
        match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                tracing::info!(topic = self.shared.config.topic, ?partitions, "assigned");
                if let Err(error) = self.assign(consumer, &partitions) {
                    self.shared.tell(self.shared.explain(&error));
                    self.rejoin.store(true, Ordering::Relaxed);
                }
            }
            _ => {
                tracing::info!(topic = self.shared.config.topic, ?partitions, "revoked");
                self.revoke(consumer, &partitions, list);
            }
        }
    }
}

impl ClientContext for Context {
    /// Asked only where the mechanism is OAUTHBEARER.
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        hand_over(self.shared.tokens.as_ref(), Duration::ZERO)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel::{Alert, Critical, Debug, Emerg, Error, Info, Notice, Warning};
        match level {
            Emerg | Alert | Critical | Error => tracing::error!(target: "librdkafka", facility, "{message}"),
            Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
            Notice | Info => tracing::info!(target: "librdkafka", facility, "{message}"),
            Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
        }
    }

    /// Called just before `poll` returns the same error without its text.
    fn error(&self, _: KafkaError, reason: &str) {
        if let Some(end) = end_of_partition(reason) {
            self.end.store(end, Ordering::Relaxed);
        }
        reason.clone_into(&mut self.reason.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn stats_raw(&self, statistics: &[u8]) {
        let Ok(mut statistics) = serde_json::from_slice::<Statistics>(statistics) else { return };
        // Who owns nothing hears of the next rebalance.
        if statistics.brokers.values().any(BrokerStatistics::answers) && !self.shared.ledger.is_empty() {
            self.shared.inbox.answered();
        }
        let Some(topic) = statistics.topics.remove(&self.shared.config.topic) else { return };
        // Negative: not known yet; partition -1 is librdkafka's own.
        let known = topic.partitions.values().filter(|p| p.partition >= 0 && p.hi_offset >= 0);
        self.shared.ledger.ends(known.map(|p| (p.partition as u32, p.hi_offset)));
    }
}

/// rdkafka drops the offset of an end-of-partition event, but its text has it: "… reached end of partition at offset 42
/// (HighwaterMark 42)". Should the text ever change, the places passed over are no longer reported (a test tells), and the
/// commit waits for the next record.
fn end_of_partition(reason: &str) -> Option<i64> {
    let (_, rest) = reason.split_once("reached end of partition at offset ")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The little we read of librdkafka's statistics.
#[derive(Deserialize)]
struct Statistics {
    brokers: BTreeMap<String, BrokerStatistics>,
    topics: BTreeMap<String, TopicStatistics>,
}

#[derive(Deserialize)]
struct BrokerStatistics {
    nodeid: i32,
    state: String,
}

impl BrokerStatistics {
    /// (-1 is the node of a bootstrap address.)
    fn answers(&self) -> bool {
        self.nodeid >= 0 && self.state == "UP"
    }
}

#[derive(Deserialize)]
struct TopicStatistics {
    partitions: BTreeMap<String, PartitionStatistics>,
}

#[derive(Deserialize)]
struct PartitionStatistics {
    partition: i32,
    hi_offset: i64,
}
