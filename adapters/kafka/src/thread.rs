//! The consumer's thread: joins, polls, shapes, hands over, leaves. It may block; nothing else of ours does.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use klr_contract::{Arrival, Error, Partition, Position};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::Offset;

use crate::inbox::Inbox;
use crate::ledger::{Due, Ledger};
use crate::pull::Pull;
use crate::rebalance::Context;
use crate::{Config, client, error, offsets, start};

/// The longest the thread sleeps in `poll`; how soon it notices that it is to end.
const POLL: Duration = Duration::from_millis(100);
/// How long the engine may leave the inbox full before everything is paused. A pause throws the prefetched away
/// (librdkafka#5343), so it is the exception.
const FULL: Duration = Duration::from_secs(10);
/// How long the cause of an outage is repeated.
const REMEMBER: Duration = Duration::from_secs(60);

/// The consumer.
pub(crate) type Consumer = BaseConsumer<Context>;

/// What the thread, its callbacks and the engine's side share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) inbox: Inbox,
    pub(crate) ledger: Ledger,
    /// Lent, never given: who reads it holds the guard, so that the thread's is the last owner and the only one to close it.
    consumer: RwLock<Option<Arc<Consumer>>>,
    /// Why nobody answers, if we were told: librdkafka gives a reason once, and then only says that all brokers are down.
    cause: Mutex<Option<(Error, Instant)>>,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Self {
        Self {
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

    fn pause(&self, consumer: &Consumer, indexes: &[u32], pause: bool) {
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

/// The thread's life.
pub(crate) fn run(shared: &Arc<Shared>) {
    let context = Context::new(Arc::clone(shared));
    let consumer: Arc<Consumer> = match client::options(&shared.config).create_with_context(context) {
        Ok(consumer) => Arc::new(consumer),
        Err(refused) => {
            shared.inbox.trouble(error::configuration(&refused));
            return;
        }
    };
    let slot = || shared.consumer.write().unwrap_or_else(PoisonError::into_inner);
    *slot() = Some(Arc::clone(&consumer));
    if let Some(start) = start::fix(&consumer, shared) {
        *consumer.context().start.lock().unwrap_or_else(PoisonError::into_inner) = start;
        Reader::new(shared, &consumer).run();
    }
    // Waits for a commit that is under way. Dropping the consumer leaves the group; the last callbacks run in there.
    *slot() = None;
    drop(consumer);
}

/// Where reading a partition is.
struct Cursor {
    partition: Partition,
    next: i64,
    /// The end to stop at (`--once`).
    until: Option<i64>,
    ended: bool,
}

struct Reader<'a> {
    shared: &'a Shared,
    consumer: &'a Consumer,
    /// By partition number.
    cursors: Vec<Option<Cursor>>,
    pull: Pull,
}

impl<'a> Reader<'a> {
    fn new(shared: &'a Shared, consumer: &'a Consumer) -> Self {
        Self { shared, consumer, cursors: Vec::new(), pull: Pull::new(&shared.config.topic) }
    }

    fn run(&mut self) {
        self.join();
        while !self.shared.ledger.stopping() {
            self.turn();
            if self.consumer.context().rejoin.swap(false, Ordering::Relaxed) {
                self.consumer.unsubscribe();
                std::thread::sleep(start::PAUSE);
                self.join();
            }
        }
    }

    fn join(&self) {
        if let Err(error) = self.consumer.subscribe(&[&self.shared.config.topic]) {
            self.shared.tell(self.shared.explain(&error));
            self.consumer.context().rejoin.store(true, Ordering::Relaxed);
        }
    }

    /// Takes what is there, hands it over in one chunk.
    fn turn(&mut self) {
        self.poll(POLL);
        while self.pull.has_room() && self.poll(Duration::ZERO) {}
        let chunk = self.pull.seal();
        if chunk.is_empty() {
            return;
        }
        if let Err(held) = self.shared.inbox.push(chunk, FULL) {
            self.stall(held);
        }
    }

    /// False when there was nothing.
    fn poll(&mut self, wait: Duration) -> bool {
        let polled = self.consumer.poll(wait);
        let changed = &self.consumer.context().changed;
        // Looked at for every record: read before it is written.
        if changed.load(Ordering::Relaxed) && changed.swap(false, Ordering::Acquire) {
            self.look_what_is_owned();
        }
        match polled {
            None => return false,
            Some(Ok(message)) => self.take(&message),
            Some(Err(KafkaError::PartitionEOF(partition))) => self.end_of(partition),
            Some(Err(error)) => self.fail(&error),
        }
        true
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) {
        let Some(cursor) = cursor(&mut self.cursors, message.partition()) else { return };
        let next = message.offset() + 1;
        if cursor.until.is_none_or(|until| next <= until) {
            cursor.next = next;
            self.pull.add(cursor.partition, message);
        } else {
            cursor.next = cursor.next.max(message.offset());
        }
        self.stop_at_end(message.partition());
    }

    /// The end of what is there. Markers and aborted records before it (spec: peers.md §6, 20) must not hold the commit.
    fn end_of(&mut self, partition: i32) {
        let end = self.consumer.context().end.swap(-1, Ordering::Relaxed);
        let Some(cursor) = cursor(&mut self.cursors, partition) else { return };
        let end = end.min(cursor.until.unwrap_or(i64::MAX));
        if cursor.next < end {
            cursor.next = end;
            self.pull.note(Arrival::Passed(cursor.partition, Position::Offset(end - 1)));
        }
        self.stop_at_end(partition);
    }

    fn stop_at_end(&mut self, partition: i32) {
        let Some(cursor) = cursor(&mut self.cursors, partition) else { return };
        if cursor.until.is_some_and(|until| cursor.next >= until) {
            cursor.ended = true;
            self.pull.note(Arrival::Ended(cursor.partition));
            self.shared.flow(cursor.partition, false);
        }
    }

    fn fail(&mut self, error: &KafkaError) {
        match error.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                if let Err(error) = self.go_to_beginnings() {
                    self.shared.tell(self.shared.explain(&error));
                    self.consumer.context().rejoin.store(true, Ordering::Relaxed);
                }
            }
            _ => self.shared.report(error, &self.consumer.context().reason()),
        }
    }

    /// Some partition's next record is gone. The error does not say which, so each is looked at.
    fn go_to_beginnings(&mut self) -> KafkaResult<()> {
        let topic = &self.shared.config.topic;
        let owned: Vec<_> =
            self.cursors.iter().flatten().map(|cursor| cursor.partition.index as i32).collect();
        if owned.is_empty() {
            return Ok(());
        }
        let beginnings = offsets::beginnings(self.consumer, topic, &owned)?;
        let ends = offsets::ends(self.consumer, topic, &owned)?;
        let mut moved = false;
        for (partition, beginning) in beginnings {
            let Some(cursor) = cursor(&mut self.cursors, partition) else { continue };
            let end = ends.get(&partition).copied().unwrap_or(i64::MAX);
            let expected = cursor.next;
            if (beginning..=end).contains(&expected) {
                continue;
            }
            moved = true;
            tracing::warn!(
                topic,
                partition,
                expected,
                beginning,
                end,
                "the next record is gone (retention, or the topic was made anew): going on at the beginning"
            );
            let context = self.consumer.context();
            if expected < beginning {
                cursor.next = beginning;
                context.skip_to(self.consumer, partition, beginning)?;
            } else {
                context.begin_again(self.consumer, partition, beginning)?;
            }
        }
        if moved { Ok(()) } else { self.go_on() }
    }

    /// The topic was made anew, and has grown past where we stand since the broker refused us: which partition that was
    /// cannot be seen any more. librdkafka does not read it again unless told to.
    fn go_on(&self) -> KafkaResult<()> {
        let topic = &self.shared.config.topic;
        tracing::warn!(
            topic,
            "a partition was made anew and has grown since: going on at the same offset of it"
        );
        for cursor in self.cursors.iter().flatten().filter(|cursor| !cursor.ended) {
            self.consumer.context().skip_to(self.consumer, cursor.partition.index as i32, cursor.next)?;
        }
        Ok(())
    }

    /// The engine leaves the inbox full. Pauses everything and goes on polling, so that the group does not think us dead.
    fn stall(&mut self, mut held: Vec<Arrival>) {
        tracing::debug!(topic = self.shared.config.topic, "nobody takes records: paused");
        self.shared.ledger.stall(true, |open| self.shared.pause(self.consumer, open, true));
        while !self.shared.ledger.stopping() {
            self.poll(POLL);
            held.append(&mut self.pull.seal());
            match self.shared.inbox.push(held, Duration::ZERO) {
                Ok(()) => break,
                Err(back) => held = back,
            }
        }
        self.shared.ledger.stall(false, |open| self.shared.pause(self.consumer, open, false));
    }

    fn look_what_is_owned(&mut self) {
        let mut before = std::mem::take(&mut self.cursors);
        for (partition, next, until) in self.shared.ledger.owned() {
            let index = partition.index as usize;
            if self.cursors.len() <= index {
                self.cursors.resize_with(index + 1, || None);
            }
            let known =
                before.get_mut(index).and_then(Option::take).filter(|known| known.partition == partition);
            let is_new = known.is_none();
            self.cursors[index] = known.or(Some(Cursor { partition, next, until, ended: false }));
            if is_new {
                self.stop_at_end(partition.index as i32);
            }
        }
    }
}

/// The cursor of a partition that is owned and still read.
fn cursor(cursors: &mut [Option<Cursor>], partition: i32) -> Option<&mut Cursor> {
    cursors.get_mut(usize::try_from(partition).ok()?)?.as_mut().filter(|cursor| !cursor.ended)
}
