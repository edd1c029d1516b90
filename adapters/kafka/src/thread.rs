//! The consumer's thread: joins, polls, shapes, hands over, leaves. It may block; nothing else of ours does.

#[cfg(feature = "registry")]
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use klr_contract::{Arrival, Partition, Position, Reason};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message as _};

use crate::pull::{Decoded, Pull};
use crate::rebalance::Context;
#[cfg(feature = "registry")]
use crate::registry::Decoder;
use crate::shared::Shared;
use crate::{client, error, offsets, start};

/// The longest the thread sleeps in `poll`; how soon it notices that it is to end.
const POLL: Duration = Duration::from_millis(100);
/// How long the engine may leave the inbox full before everything is paused. A pause throws the prefetched away
/// (librdkafka#5343), so it is the exception.
const FULL: Duration = Duration::from_secs(10);

/// The consumer.
pub(crate) type Consumer = BaseConsumer<Context>;

/// The thread's life.
pub(crate) fn run(shared: &Arc<Shared>, #[cfg(feature = "registry")] decoder: Option<Decoder>) {
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
    sign_in(&consumer, shared);
    if let Some(start) = start::fix(&consumer, shared) {
        // From here on nothing is missed. A broker may make the first member of a group wait for others
        // (`group.initial.rebalance.delay.ms`, 3 s by default), which is no reason to call the source unreached.
        if start.is_empty() && !shared.config.once {
            shared.inbox.reached();
        }
        *consumer.context().start.lock().unwrap_or_else(PoisonError::into_inner) = start;
        let mut reader = Reader::new(shared, &consumer);
        #[cfg(feature = "registry")]
        {
            reader.decoder = decoder;
        }
        reader.run();
    }
    // Waits for a commit that is under way. Dropping the consumer leaves the group; the last callbacks run in there.
    *slot() = None;
    drop(consumer);
}

/// Brokers that want a token are not called before librdkafka has one, and it takes it inside `poll`.
fn sign_in(consumer: &Consumer, shared: &Shared) {
    let Some(tokens) = &shared.tokens else { return };
    while !shared.ledger.stopping() {
        tokens.wait(POLL);
        match tokens.token() {
            Ok(_) => break,
            Err(why) => shared.tell(error::token(&why)),
        }
        std::thread::sleep(POLL);
    }
    if let Some(Err(error)) = consumer.poll(POLL) {
        shared.report(&error, &consumer.context().reason());
    }
}

/// Where reading a partition is.
struct Cursor {
    partition: Partition,
    next: i64,
    /// The end to stop at (`--once`).
    until: Option<i64>,
    ended: bool,
}

pub(crate) struct Reader<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) consumer: &'a Consumer,
    /// By partition number.
    cursors: Vec<Option<Cursor>>,
    pub(crate) pull: Pull,
    #[cfg(feature = "registry")]
    pub(crate) decoder: Option<Decoder>,
    /// What came while a schema was waited for.
    #[cfg(feature = "registry")]
    pub(crate) later: VecDeque<Polled<'a>>,
}

/// What came of a poll, with the epoch it came in.
pub(crate) enum Polled<'a> {
    Message(Partition, BorrowedMessage<'a>),
    /// A partition's end, and where that is.
    End(Partition, i64),
    Error(KafkaError),
    /// Of a partition that is not read.
    Nothing,
}

impl<'a> Reader<'a> {
    fn new(shared: &'a Shared, consumer: &'a Consumer) -> Self {
        Self {
            shared,
            consumer,
            cursors: Vec::new(),
            pull: Pull::new(&shared.config.topic),
            #[cfg(feature = "registry")]
            decoder: None,
            #[cfg(feature = "registry")]
            later: VecDeque::new(),
        }
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
        #[cfg(feature = "registry")]
        if let Some(polled) = self.later.pop_front() {
            self.settle(polled);
            return true;
        }
        let Some(polled) = self.ask_librdkafka(wait) else { return false };
        self.settle(polled);
        true
    }

    /// Hears what librdkafka has, and does nothing about it yet.
    pub(crate) fn ask_librdkafka(&mut self, wait: Duration) -> Option<Polled<'a>> {
        let polled = self.consumer.poll(wait);
        let changed = &self.consumer.context().changed;
        // Looked at for every record: read before it is written.
        if changed.load(Ordering::Relaxed) && changed.swap(false, Ordering::Acquire) {
            self.look_what_is_owned();
        }
        let epoch = |partition| cursor_of(&self.cursors, partition).map(|cursor| cursor.partition);
        Some(match polled? {
            Ok(message) => match epoch(message.partition()) {
                Some(partition) => Polled::Message(partition, message),
                None => Polled::Nothing,
            },
            Err(KafkaError::PartitionEOF(partition)) => {
                let end = self.consumer.context().end.swap(-1, Ordering::Relaxed);
                epoch(partition).map_or(Polled::Nothing, |partition| Polled::End(partition, end))
            }
            Err(error) => Polled::Error(error),
        })
    }

    fn settle(&mut self, polled: Polled<'a>) {
        match polled {
            Polled::Message(partition, message) => {
                #[cfg(feature = "registry")]
                if self.decoder.is_some() {
                    return self.take_decoded(partition, &message);
                }
                self.enter(partition, &message, None);
            }
            Polled::End(partition, end) => self.end_of(partition, end),
            Polled::Error(error) => self.fail(&error),
            Polled::Nothing => {}
        }
    }

    /// Adds a message to the pull, as it is or as it was decoded.
    pub(crate) fn enter(
        &mut self,
        partition: Partition,
        message: &BorrowedMessage<'_>,
        decoded: Option<Result<Decoded<'_>, Reason>>,
    ) {
        let Some(cursor) = cursor(&mut self.cursors, partition) else { return };
        let next = message.offset() + 1;
        if cursor.until.is_none_or(|until| next <= until) {
            cursor.next = next;
            match decoded {
                None => self.pull.add(partition, message),
                Some(decoded) => self.pull.add_decoded(partition, message, decoded),
            }
        } else {
            cursor.next = cursor.next.max(message.offset());
        }
        self.stop_at_end(partition);
    }

    /// The end of what is there. Markers and aborted records before it (spec: peers.md §6, 20) must not hold the commit.
    fn end_of(&mut self, partition: Partition, end: i64) {
        let Some(cursor) = cursor(&mut self.cursors, partition) else { return };
        let end = end.min(cursor.until.unwrap_or(i64::MAX));
        if cursor.next < end {
            cursor.next = end;
            self.pull.note(Arrival::Passed(partition, Position::Offset(end - 1), None));
        }
        self.stop_at_end(partition);
    }

    fn stop_at_end(&mut self, partition: Partition) {
        let Some(cursor) = cursor(&mut self.cursors, partition) else { return };
        if cursor.until.is_some_and(|until| cursor.next >= until) {
            cursor.ended = true;
            self.pull.note(Arrival::Ended(partition));
            self.shared.flow(partition, false);
        }
    }

    pub(crate) fn fail(&mut self, error: &KafkaError) {
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
            let Some(cursor) = cursor_at(&mut self.cursors, partition) else { continue };
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
                self.stop_at_end(partition);
            }
        }
    }
}

/// The cursor of a partition that is owned and still read, under the same epoch.
fn cursor(cursors: &mut [Option<Cursor>], partition: Partition) -> Option<&mut Cursor> {
    cursor_at(cursors, partition.index as i32).filter(|cursor| cursor.partition == partition)
}

fn cursor_at(cursors: &mut [Option<Cursor>], partition: i32) -> Option<&mut Cursor> {
    cursors.get_mut(usize::try_from(partition).ok()?)?.as_mut().filter(|cursor| !cursor.ended)
}

fn cursor_of(cursors: &[Option<Cursor>], partition: i32) -> Option<&Cursor> {
    cursors.get(usize::try_from(partition).ok()?)?.as_ref().filter(|cursor| !cursor.ended)
}

/// Whether the next record of a partition is not where it was to be.
#[cfg(feature = "registry")]
pub(crate) fn is_of_a_position(error: &KafkaError) -> bool {
    matches!(error.rdkafka_error_code(), Some(Code::AutoOffsetReset | Code::OffsetOutOfRange))
}
