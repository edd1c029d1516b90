//! A flight: a batch, the pieces it was cut into, and what becomes of them.

use std::sync::Arc;

use klr_contract::{Partition, Place, Record, Shape};
use tokio::time::Instant;

use super::{Action, Log, Now, lane::Item};
use crate::mapping::{
    batch::Room,
    next::{GivenUp, Judged, Next, Tries, next},
    window,
};

/// What a flight is doing.
#[derive(Debug, PartialEq)]
pub(super) enum Phase {
    /// Its top piece is with the function.
    Invoking,
    /// Its top piece waits for the next attempt.
    Backoff(Instant),
    /// Its top piece cannot be delivered, and there is nowhere else to put it.
    Held,
}

/// Records invoked with together.
#[derive(Debug)]
pub(super) struct Piece {
    pub records: Arc<Vec<Record>>,
    /// Arrival and order numbers, beside `records`.
    numbers: Vec<(u64, u64)>,
    pub tries: Tries,
}

impl Piece {
    pub fn new(items: Vec<Item>) -> Self {
        let numbers = items.iter().map(|item| (item.arrival, item.order)).collect();
        let records = Arc::new(items.into_iter().map(|item| item.record).collect());
        Self { records, numbers, tries: Tries::default() }
    }

    fn len(&self) -> usize {
        self.numbers.len()
    }

    fn bytes(&self) -> usize {
        self.records.iter().map(Record::len).sum()
    }

    /// The records whose index passes, with their numbers.
    fn select(&self, mut keep: impl FnMut(usize) -> bool) -> Vec<Item> {
        let all = self.records.iter().zip(&self.numbers).enumerate().filter(|(index, _)| keep(*index));
        all.map(|(_, (record, &(arrival, order)))| Item { record: record.clone(), arrival, order }).collect()
    }

    /// In order of first appearance.
    pub fn partitions(&self) -> Vec<Partition> {
        let mut partitions = Vec::new();
        for partition in self.records.iter().filter_map(partition) {
            if !partitions.contains(&partition) {
                partitions.push(partition);
            }
        }
        partitions
    }
}

fn partition(record: &Record) -> Option<Partition> {
    match &record.place {
        Place::At { partition, .. } => Some(*partition),
        Place::Item { .. } => None,
    }
}

/// Why a record cannot be delivered even alone.
fn hopeless(record: &Record, budget: usize, shape: &dyn Shape) -> Option<GivenUp> {
    if record.json.is_err() {
        return Some(GivenUp::Unreadable);
    }
    let mut room = Room::new(1, budget, shape);
    (room.take(record, shape) && room.oversize()).then_some(GivenUp::MaximumPayloadSizeExceeded)
}

/// A batch on its way.
#[derive(Debug)]
pub(super) struct Flight {
    partitions: Vec<Partition>,
    /// The top, last, is worked on.
    stack: Vec<Piece>,
    pub phase: Phase,
    pub problem: Option<String>,
}

impl Flight {
    pub fn new(partitions: Vec<Partition>, piece: Piece) -> Self {
        Self { partitions, stack: vec![piece], phase: Phase::Invoking, problem: None }
    }

    pub fn owns(&self, index: u32) -> bool {
        self.partitions.iter().any(|partition| partition.index == index)
    }

    pub fn is_empty(&self) -> bool {
        self.stack.is_empty()
    }

    /// Goes on without a partition; answers how many bytes it held of it.
    pub fn leave(&mut self, gone: Partition) -> usize {
        self.partitions.retain(|partition| *partition != gone);
        let mut freed = 0;
        for piece in &mut self.stack {
            let before = piece.bytes();
            let records = Arc::clone(&piece.records);
            let rest = piece.select(|index| partition(&records[index]) != Some(gone));
            if rest.len() < piece.len() {
                *piece = Piece { tries: piece.tries, ..Piece::new(rest) };
                freed += before - piece.bytes();
            }
        }
        self.stack.retain(|piece| piece.len() > 0);
        freed
    }

    /// Gives up the partitions of which it holds no record any more: what comes after need not wait for the others'
    /// retries.
    fn narrow(&mut self) {
        let records = || self.stack.iter().flat_map(|piece| piece.records.iter());
        self.partitions.retain(|own| records().any(|record| partition(record) == Some(*own)));
    }
}

impl Log {
    /// An invocation ended.
    pub(super) fn answered(&mut self, number: u64, judged: &Judged, now: Now, out: &mut Vec<Action>) {
        let jitter = self.jitter();
        let Some(flight) = self.flights.get_mut(&number) else { return };
        let Some(piece) = flight.stack.last() else { return };
        flight.problem = match judged {
            Judged::Unreachable(why) => Some(why.clone()),
            Judged::Failed(_) | Judged::Partial(_) => Some("Function call failed".into()),
            _ => None,
        };
        flight.phase = Phase::Backoff(now.instant);
        match next(&self.settings.policy, piece.len(), piece.tries, judged, jitter) {
            Next::Done => self.piece_done(number, |_| true),
            Next::Shrink(failed, wait) => self.shrink(number, &failed, now.instant + wait),
            Next::Split(wait) => self.split(number, now.instant + wait),
            Next::Again(tries, wait) => self.again(number, tries, now.instant + wait),
            Next::Discard(why) => self.discard(number, why, out),
            Next::Halt => {
                // Not in back-off: that would be over at once, and the batch invoked with a second time.
                flight.phase = Phase::Held;
                out.push(Action::Halt(
                    "ReportBatchItemFailures needs the function's answer, and the sink sends it elsewhere",
                ));
            }
        }
        self.land(number, now, out);
    }

    /// Settles the records of the top piece that pass, and takes it off the stack.
    fn piece_done(&mut self, number: u64, mut done: impl FnMut(usize) -> bool) {
        let Some(piece) = self.flights.get_mut(&number).and_then(|flight| flight.stack.pop()) else { return };
        self.used -= piece.bytes();
        for (index, (record, (arrival, _))) in piece.records.iter().zip(&piece.numbers).enumerate() {
            if let Some(lane) =
                partition(record).filter(|_| done(index)).and_then(|partition| self.lane(partition))
            {
                lane.track.done(*arrival);
            }
        }
    }

    /// AWS, Kafka: only the listed records again; the partition's commit stays below the lowest of them.
    fn shrink(&mut self, number: u64, failed: &[usize], until: Instant) {
        let Some(piece) = self.flights.get(&number).and_then(|flight| flight.stack.last()) else { return };
        let rest = Piece::new(piece.select(|index| failed.binary_search(&index).is_ok()));
        self.piece_done(number, |index| failed.binary_search(&index).is_err());
        self.used += rest.bytes();
        if let Some(flight) = self.flights.get_mut(&number) {
            flight.stack.push(rest);
            flight.phase = Phase::Backoff(until);
        }
    }

    fn split(&mut self, number: u64, until: Instant) {
        let Some(flight) = self.flights.get_mut(&number) else { return };
        let Some(piece) = flight.stack.pop() else { return };
        let half = piece.len() / 2;
        let first = Piece::new(piece.select(|index| index < half));
        let second = Piece::new(piece.select(|index| index >= half));
        flight.stack.extend([second, first]);
        flight.phase = Phase::Backoff(until);
    }

    fn again(&mut self, number: u64, tries: Tries, until: Instant) {
        let Some(flight) = self.flights.get_mut(&number) else { return };
        if let Some(piece) = flight.stack.last_mut() {
            piece.tries = tries;
        }
        flight.phase = Phase::Backoff(until);
    }

    /// The top piece is given up. Retries and age are the user's own limits: without a destination it is dropped and
    /// counted, as AWS does. A record that is too large, or unreadable, was never asked to be dropped: until there is a
    /// destination it holds its partition, and only that.
    fn discard(&mut self, number: u64, why: GivenUp, out: &mut Vec<Action>) {
        let Some(flight) = self.flights.get_mut(&number) else { return };
        let Some(piece) = flight.stack.last() else { return };
        let what = match why {
            GivenUp::RetryAttemptsExhausted | GivenUp::RecordAgeExceeded => {
                out.push(Action::Dropped(piece.len(), why));
                return self.piece_done(number, |_| true);
            }
            GivenUp::MaximumPayloadSizeExceeded => "is more than the target takes",
            GivenUp::Unreadable => "cannot be read",
        };
        let Some(held) = piece.records.first().and_then(partition) else { return };
        flight.phase = Phase::Held;
        let index = held.index;
        flight.problem = Some(format!(
            "a record of partition {index} {what}; the partition holds until it can go elsewhere"
        ));
        self.put_back_all_but_top(number, held);
    }

    /// What is below a held record goes back to its lanes, and the lanes that are not the record's own are free.
    fn put_back_all_but_top(&mut self, number: u64, held: Partition) {
        let Some(flight) = self.flights.get_mut(&number) else { return };
        let below: Vec<Piece> = flight.stack.drain(..flight.stack.len() - 1).collect();
        flight.partitions.retain(|partition| *partition == held);
        // The stack's bottom is the batch's end, so from there each record goes in front of the one put back before.
        for piece in below {
            self.used -= piece.bytes();
            for item in piece.select(|_| true).into_iter().rev() {
                let cost = self.shape.cost(&item.record);
                let len = item.record.len();
                let lane = partition(&item.record).and_then(|partition| self.lane(partition));
                if let Some(lane) = lane.filter(|lane| !lane.losing) {
                    lane.put_back(item, cost);
                    self.used += len;
                }
            }
        }
    }

    /// A flight that is not out: takes out of it what is not ours any more, ends it if it has no piece left, and frees the
    /// lanes it does not own any more.
    pub(super) fn land(&mut self, number: u64, now: Now, out: &mut Vec<Action>) {
        let Some(flight) = self.flights.get_mut(&number) else { return };
        let ours = |partition: &Partition| {
            self.lanes.get(&partition.index).is_some_and(|lane| lane.partition == *partition && !lane.losing)
        };
        let gone: Vec<Partition> =
            flight.partitions.iter().copied().filter(|partition| !ours(partition)).collect();
        self.used -= gone.into_iter().map(|partition| flight.leave(partition)).sum::<usize>();
        flight.narrow();
        if flight.is_empty() {
            self.flights.remove(&number);
        }
        let flight = self.flights.get(&number);
        let mut freed = Vec::new();
        for lane in self.lanes.values_mut().filter(|lane| lane.flight == Some(number)) {
            if flight.is_some_and(|flight| flight.owns(lane.partition.index)) {
                continue;
            }
            lane.flight = None;
            lane.opened = now.instant;
            lane.ends = window::end(lane.opened, self.settings.window, now.instant);
            freed.push(lane.partition);
        }
        for partition in freed {
            self.release_if_drained(partition, out);
            self.let_go_if_ended(partition, now, out);
        }
    }

    /// Back-offs that are over: the next attempt.
    pub(super) fn resume(&mut self, now: Now, out: &mut Vec<Action>) {
        let over = |flight: &Flight| matches!(flight.phase, Phase::Backoff(until) if until <= now.instant);
        let due: Vec<u64> =
            self.flights.iter().filter(|(_, flight)| over(flight)).map(|(number, _)| *number).collect();
        due.into_iter().for_each(|number| self.invoke_top(number, now, out));
    }

    /// Invokes with the top piece; what is too old or too large by itself is not tried.
    pub(super) fn invoke_top(&mut self, number: u64, now: Now, out: &mut Vec<Action>) {
        self.drop_expired(number, now, out);
        let Some(flight) = self.flights.get_mut(&number) else { return };
        let Some(piece) = flight.stack.last() else { return self.land(number, now, out) };
        if let [record] = &piece.records[..]
            && let Some(why) = hopeless(record, self.settings.budget, &*self.shape)
        {
            self.discard(number, why, out);
            return self.land(number, now, out);
        }
        flight.phase = Phase::Invoking;
        out.push(Action::Invoke(number, Arc::clone(&piece.records)));
    }

    /// AWS: age is checked per record before each attempt; only the expired ones leave the batch.
    fn drop_expired(&mut self, number: u64, now: Now, out: &mut Vec<Action>) {
        let Some(age) = self.settings.policy.age else { return };
        let Some(piece) = self.flights.get(&number).and_then(|flight| flight.stack.last()) else { return };
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let records = Arc::clone(&piece.records);
        let fresh = |index: usize| now.wall.as_millisecond() - records[index].at.as_millisecond() <= age;
        let expired = (0..piece.len()).filter(|index| !fresh(*index)).count();
        if expired == 0 {
            return;
        }
        let rest = Piece { tries: piece.tries, ..Piece::new(piece.select(fresh)) };
        out.push(Action::Dropped(expired, GivenUp::RecordAgeExceeded));
        self.piece_done(number, |index| !fresh(index));
        self.used += rest.bytes();
        if let Some(flight) = self.flights.get_mut(&number).filter(|_| rest.len() > 0) {
            flight.stack.push(rest);
        } else {
            self.drop_expired(number, now, out);
        }
    }
}
