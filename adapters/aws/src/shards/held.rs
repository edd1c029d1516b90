//! One shard that is ours: how far it was read, handed over, done and stored. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use klr_contract::{Arrival, Mark, Partition, Position, Row};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::share::hash;
use super::state::position_of;

/// Answers in hand of one shard: one that is being taken, one read ahead.
const AHEAD: usize = 2;
/// Whether the engine knows of the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// There is none yet.
    No,
    /// Behind the last record in hand.
    InHand,
    /// Said.
    Told,
}

pub(super) struct Held<C> {
    pub partition: Partition,
    pub name: Arc<str>,
    /// Closed when last listed.
    pub closed: bool,
    /// What the row says, and its version.
    pub stored: Mark,
    pub version: u64,
    /// To be written: a checkpoint; the last word before it is let go.
    pub pending: Option<Mark>,
    pub release: Option<Mark>,
    /// Read so far; handed over so far.
    pub read: Mark,
    pub handed: Mark,
    /// Where the next read begins; without one, at `read`.
    pub cursor: Option<C>,
    pub open: bool,
    pub losing: bool,
    pub end: End,
    /// The end is the shard's own, not only that of `--once`.
    pub drained: bool,
    /// What was handed over and is not done: a hash of each position, in order.
    unsettled: VecDeque<u64>,
    /// Answers in hand.
    pub in_hand: usize,
    /// A read is under way; on the agenda.
    pub reading: bool,
    pub task: Option<AbortHandle>,
    pub queued: bool,
    /// The last read left something behind.
    pub behind: bool,
    /// Reads in a row that found nothing, and that failed.
    pub quiet: u32,
    pub failures: u32,
    /// No read before then.
    pub due: Instant,
    /// Changes when what is under way does not count any more.
    pub turn: u32,
}

impl<C> Held<C> {
    pub fn new(
        partition: Partition,
        name: Arc<str>,
        row: Row,
        closed: bool,
        cursor: Option<C>,
        now: Instant,
    ) -> Self {
        Self {
            partition,
            name,
            closed,
            stored: row.mark.clone(),
            version: row.version,
            pending: None,
            release: None,
            read: row.mark.clone(),
            handed: row.mark,
            cursor,
            open: true,
            losing: false,
            end: End::No,
            drained: false,
            unsettled: VecDeque::new(),
            in_hand: 0,
            reading: false,
            task: None,
            queued: false,
            // Until the first answer says otherwise.
            behind: true,
            quiet: 0,
            failures: 0,
            due: now,
            turn: 0,
        }
    }

    pub fn may_read(&self) -> bool {
        let flows = self.open && !self.losing && self.release.is_none();
        flows && self.end == End::No && !self.reading && self.in_hand < AHEAD
    }

    pub fn hand_over(&mut self, arrival: &Arrival) {
        if let Some(position) = position_of(arrival) {
            self.handed = mark_of(position);
            self.unsettled.push_back(number(position));
        } else if matches!(arrival, Arrival::Ended(_)) {
            self.end = End::Told;
        }
    }

    /// Everything through `position` is done. A place that was never handed over settles nothing.
    pub fn settle(&mut self, position: &Position) {
        let number = number(position);
        if let Some(at) = self.unsettled.iter().position(|one| *one == number) {
            self.unsettled.drain(..=at);
            if self.unsettled.is_empty() {
                self.unsettled.shrink_to(0);
            }
            self.pending = Some(mark_of(position));
        }
    }

    /// The mark of all that is done.
    pub fn settled_mark(&self) -> Mark {
        self.pending.clone().unwrap_or_else(|| self.stored.clone())
    }

    /// Said to its end, and all of it done.
    pub fn over(&self) -> bool {
        self.drained && self.end == End::Told && self.unsettled.is_empty()
    }

    pub fn unsettled(&self) -> usize {
        self.unsettled.len()
    }

    /// Back to what was handed over.
    pub fn rewind(&mut self) {
        self.read = self.handed.clone();
        self.cursor = None;
        self.in_hand = 0;
        self.reading = false;
        self.turn += 1;
        // One that waits for what is pushed would wait for minutes.
        if let Some(task) = self.task.take() {
            task.abort();
        }
        if self.end == End::InHand {
            (self.end, self.drained) = (End::No, false);
        }
    }
}

/// Where reading goes on after a position.
pub(super) fn mark_of(position: &Position) -> Mark {
    match position {
        Position::Opaque(bytes) => Mark::After(String::from_utf8_lossy(bytes).into_owned()),
        Position::Offset(offset) => Mark::After(offset.to_string()),
    }
}

fn number(position: &Position) -> u64 {
    match position {
        Position::Opaque(bytes) => hash(bytes),
        Position::Offset(offset) => hash(&offset.to_le_bytes()),
    }
}
