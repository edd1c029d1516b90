//! The part of the state that reads begin from and end in.

use std::cmp::Reverse;
use std::sync::Arc;

use jiff::Timestamp;
use klr_contract::{Arrival, Mark, Partition};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::held::{End, mark_of};
use super::state::{Parcel, State, position_of};
use super::{Answer, Reading};

/// Answers in hand, and reads under way that are sure to bring one: no read begins above this (design.md §4.3).
pub(super) const IN_HAND: usize = 8;
/// Reads under way at a time. Most are of shards at rest, and bring nothing or what arrived within the last second.
pub(super) const READS: usize = 32;
/// A read to begin.
pub(super) struct Order<C> {
    pub reading: Reading,
    pub turn: u32,
    /// It is sure to bring an answer: there was more last time.
    pub behind: bool,
    pub cursor: Option<C>,
    /// Where to seek, without a cursor.
    pub mark: Mark,
}

impl<C> State<C> {
    /// The reads that are due and for which there is room.
    pub fn due(&mut self, now: Instant) -> Vec<Order<C>> {
        let mut orders = Vec::new();
        while let Some(Reverse((at, index, epoch))) = self.agenda.peek().copied() {
            let room = self.hand.len() + self.reads.1 < IN_HAND && (self.pushes || self.reads.0 < READS);
            if at > now || !room {
                break;
            }
            self.agenda.pop();
            let Some(held) = self.held.get_mut(&index).filter(|held| held.partition.epoch == epoch) else {
                continue;
            };
            held.queued = false;
            if !held.may_read() {
                continue;
            }
            held.reading = true;
            let behind = held.behind && !self.pushes;
            self.reads.0 += 1;
            self.reads.1 += usize::from(behind);
            let reading =
                Reading { partition: held.partition, shard: Arc::clone(&held.name), closed: held.closed };
            let (turn, cursor, mark) = (held.turn, held.cursor.take(), held.read.clone());
            orders.push(Order { reading, turn, behind, cursor, mark });
        }
        orders
    }

    /// When the next read is due; reads that wait for room are begun when there is some.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        self.agenda.peek().map(|Reverse((at, ..))| *at).filter(|at| *at > now)
    }

    /// A read of [`due`](Self::due) is under way.
    pub fn began(&mut self, partition: Partition, turn: u32, task: AbortHandle) {
        match self.held.get_mut(&partition.index) {
            Some(held) if held.partition == partition && held.turn == turn => held.task = Some(task),
            _ => task.abort(),
        }
    }

    /// A read is over, however it went: its room is free again. Answers whether what it brought still counts.
    pub fn landed(&mut self, partition: Partition, turn: u32, behind: bool) -> bool {
        self.reads.0 -= 1;
        self.reads.1 -= usize::from(behind);
        let Some(held) = self.held.get_mut(&partition.index).filter(|held| held.partition == partition)
        else {
            return false;
        };
        if held.turn != turn {
            return false;
        }
        held.reading = false;
        held.task = None;
        true
    }

    /// What a read that began at `began` brought.
    pub fn arrived(&mut self, partition: Partition, mut answer: Answer<C>, began: Instant) {
        let (until, pace) = (self.until, self.pace);
        let Some(held) = self.current(partition) else { return };
        held.failures = 0;
        let cut = until.is_some_and(|until| cut_off(&mut answer.arrivals, until));
        let drained = answer.next.is_none();
        held.quiet = if answer.caught_up { held.quiet + 1 } else { 0 };
        let at_end = until.is_some() && (cut || held.quiet >= pace.quiet);
        held.behind = !answer.caught_up && !drained;
        held.due = pace.next(began, answer.bytes, held.behind);
        if let Some(position) = answer.arrivals.iter().rev().find_map(position_of) {
            held.read = mark_of(position);
        }
        held.cursor = answer.next;
        if (drained || at_end) && held.end == End::No {
            held.end = End::InHand;
            held.drained = drained && !cut;
            answer.arrivals.push(Arrival::Ended(partition));
        }
        if !answer.arrivals.is_empty() {
            held.in_hand += 1;
            self.hand.push_back(Parcel { index: partition.index, arrivals: answer.arrivals.into() });
        }
        self.queue(partition.index);
    }

    /// A read failed and is to be tried again from its mark. Answers how often it has failed in a row.
    pub fn failed(&mut self, partition: Partition, due: impl FnOnce(u32) -> Instant) -> u32 {
        let Some(held) = self.current(partition) else { return 0 };
        held.failures += 1;
        held.cursor = None;
        held.due = due(held.failures);
        let failures = held.failures;
        self.queue(partition.index);
        failures
    }

    /// The position is lost and reading goes on at `mark`, which is to be stored first.
    pub fn mark_lost(&mut self, partition: Partition, mark: &Mark) {
        if let Some(held) = self.current(partition) {
            held.pending = Some(mark.clone());
        }
    }

    /// Reads on from `mark`.
    pub fn reposition(&mut self, partition: Partition, mark: Mark, now: Instant) {
        self.drop_hand(partition.index);
        let Some(held) = self.current(partition) else { return };
        (held.read, held.handed) = (mark.clone(), mark);
        held.due = now;
        self.queue(partition.index);
    }
}

/// `--once`: what came after the start is not part of it. Whether there was any.
fn cut_off(arrivals: &mut Vec<Arrival>, until: Timestamp) -> bool {
    let late = |arrival: &Arrival| matches!(arrival, Arrival::Record(record) if record.at > until);
    let Some(first) = arrivals.iter().position(late) else { return false };
    arrivals.truncate(first);
    true
}
