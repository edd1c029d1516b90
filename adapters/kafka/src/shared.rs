//! What the consumer's thread, its callbacks and the engine's side share.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use klr_contract::{Error, Partition};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::Offset;

use crate::inbox::Inbox;
use crate::ledger::{Due, Ledger};
use crate::thread::Consumer;
use crate::token::Keeper;
use crate::{Config, error, offsets};

/// How long the cause of an outage is repeated.
const REMEMBER: Duration = Duration::from_secs(60);

/// What the thread, its callbacks and the engine's side share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) inbox: Inbox,
    pub(crate) ledger: Ledger,
    /// Lent, never given: who reads it holds the guard, so that the thread's is the last owner and the only one to close it.
    pub(crate) consumer: RwLock<Option<Arc<Consumer>>>,
    /// What brokers ask for that want tokens.
    pub(crate) tokens: Option<Keeper>,
    /// Why nobody answers, if we were told: librdkafka gives a reason once, and then only says that all brokers are down.
    cause: Mutex<Option<(Error, Instant)>>,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            tokens: Keeper::of(config.security.sasl.as_ref()),
            config,
            inbox: Inbox::default(),
            ledger: Ledger::default(),
            consumer: RwLock::default(),
            cause: Mutex::default(),
        }
    }

    /// Commits on the caller's thread and waits for the broker. Independent of the consumer's thread, which may be waiting
    /// for the engine just now.
    pub(crate) fn commit(&self, due: &Due) -> KafkaResult<()> {
        let consumer = self.consumer.read().unwrap_or_else(PoisonError::into_inner);
        let result = match &*consumer {
            Some(consumer) => {
                let offsets = due.iter().map(|(partition, offset)| (partition.index as i32, *offset));
                offsets::commit(consumer, &self.config.topic, offsets)
            }
            None => Ok(()),
        };
        self.ledger.finish(due, result.is_ok());
        result
    }

    /// Pauses or resumes one partition. Never waits: with the consumer on its way out there is nothing to do.
    pub(crate) fn flow(&self, partition: Partition, open: bool) {
        let Ok(consumer) = self.consumer.try_read() else { return };
        let Some(consumer) = &*consumer else { return };
        self.ledger.flow(partition, open, || self.pause(consumer, &[partition.index], !open));
    }

    /// Tells the engine of what librdkafka reported, if a person needs to hear of it.
    pub(crate) fn report(&self, error: &KafkaError, reason: &str) {
        match error::classify(error, reason) {
            Some(error) if error.code() == error::UNREACHABLE => self.tell(self.unreachable(reason)),
            Some(error) => self.tell(error),
            None => {}
        }
    }

    /// Tells the engine of an error. Where nobody answers it hears the cause, if there was one lately.
    pub(crate) fn tell(&self, error: Error) {
        let mut cause = self.cause.lock().unwrap_or_else(PoisonError::into_inner);
        if error.code() != error::UNREACHABLE {
            *cause = Some((error.clone(), Instant::now()));
        }
        let known = cause.as_ref().filter(|(_, at)| at.elapsed() < REMEMBER).map(|(known, _)| known.clone());
        self.inbox.trouble(known.unwrap_or(error));
    }

    /// Something works: whatever was wrong before is no cause of what may come.
    pub(crate) fn well(&self) {
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What a failed question means.
    pub(crate) fn explain(&self, error: &KafkaError) -> Error {
        let context = format!("topic {}, group {}, {error}", self.config.topic, self.config.group);
        error::classify(error, &context).unwrap_or_else(|| self.unreachable(&error.to_string()))
    }

    fn unreachable(&self, reason: &str) -> Error {
        error::unreachable(&format!("{}: {reason}", self.config.bootstrap.join(",")))
    }

    pub(crate) fn pause(&self, consumer: &Consumer, indexes: &[u32], pause: bool) {
        let partitions: Vec<_> = indexes.iter().map(|index| *index as i32).collect();
        let act = || {
            let list = offsets::list(&self.config.topic, &partitions, Offset::Invalid)?;
            if pause { consumer.pause(&list) } else { consumer.resume(&list) }
        };
        if let Err(error) = act() {
            tracing::warn!(topic = self.config.topic, ?partitions, pause, %error, "pause or resume failed");
        }
    }
}
