//! A flight: a batch, the pieces it was cut into, and what becomes of them.

use std::sync::Arc;

use bytes::Bytes;
use klr_contract::{Partition, Record};
use tokio::time::Instant;

use super::{
    Action, Call, Heard, Log, Now,
    lane::{Item, Spot},
    tumbling::Close,
};
use crate::mapping::{
    next::{GivenUp, Judged, Next, Tries, next},
    status::CALL_FAILED,
    window,
};

/// What a flight is doing.
#[derive(Debug, PartialEq)]
pub(super) enum Phase {
    /// Its top piece is with the function.
    Invoking,
    /// Its top piece waits for the next attempt.
    Backoff(Instant),
    /// Its top piece is given up, and on its way to the on-failure destination.
    Discarding,
    /// The destination did not take it: again then.
    Refused(Instant),
    /// Its top piece cannot be delivered, and there is nowhere else to put it.
    Held,
}

/// Records invoked with together.
#[derive(Debug)]
pub(super) struct Piece {
    pub records: Arc<Vec<Record>>,
    /// Arrival and order numbers, beside `records`.
    pub numbers: Vec<(u64, u64)>,
    pub tries: Tries,
    /// It is the last of its tumbling window; it may be empty then.
    pub close: Option<Close>,
    /// It is not invoked with any more.
    pub doomed: Option<GivenUp>,
}

impl Piece {
    pub fn new(items: Vec<Item>) -> Self {
        let numbers = items.iter().map(|item| (item.arrival, item.order)).collect();
        let records = Arc::new(items.into_iter().map(|item| item.record).collect());
        Self { records, numbers, tries: Tries::default(), close: None, doomed: None }
    }

    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    pub fn bytes(&self) -> usize {
        self.records.iter().map(Record::len).sum()
    }

    /// The records whose index passes, with their numbers.
    pub fn select(&self, mut keep: impl FnMut(usize) -> bool) -> Vec<Item> {
        let all = self.records.iter().zip(&self.numbers).enumerate().filter(|(index, _)| keep(*index));
        all.map(|(_, (record, &(arrival, order)))| Item { record: record.clone(), arrival, order }).collect()
    }
}

/// A batch on its way.
#[derive(Debug)]
pub(super) struct Flight {
    spots: Vec<Spot>,
    /// The top, last, is worked on.
    pub stack: Vec<Piece>,
    pub phase: Phase,
    pub problem: Option<String>,
    /// How often in a row the destination refused the top piece.
    pub refusals: u32,
}

impl Flight {
    /// About to be invoked with.
    pub fn new(spots: Vec<Spot>, piece: Piece, now: Instant) -> Self {
        Self { spots, stack: vec![piece], phase: Phase::Backoff(now), problem: None, refusals: 0 }
    }

    pub fn owns(&self, spot: &Spot) -> bool {
        self.spots.iter().any(|own| own.is_at(spot))
    }

    pub fn concerns(&self, partition: Partition) -> bool {
        self.spots.iter().any(|own| own.partition == partition)
    }

    /// Somebody is at work on it, and will answer.
    pub fn is_out(&self) -> bool {
        matches!(self.phase, Phase::Invoking | Phase::Discarding)
    }

    /// Goes on without a partition; answers how many bytes it held of it.
    fn leave(&mut self, gone: Partition) -> usize {
        self.spots.retain(|spot| spot.partition != gone);
        let of = |record: &Record| Spot::of(record, 1).is_some_and(|spot| spot.partition == gone);
        let mut freed = 0;
        for piece in &mut self.stack {
            let before = piece.bytes();
            let records = Arc::clone(&piece.records);
            let rest = piece.select(|index| !of(&records[index]));
            if rest.len() < piece.len() {
                let Piece { tries, close, doomed, .. } = *piece;
                *piece = Piece { tries, close, doomed, ..Piece::new(rest) };
                freed += before - piece.bytes();
            }
        }
        // Of a window's last piece nobody is left to be told.
        self.stack.retain(|piece| piece.len() > 0 && !self.spots.is_empty());
        freed
    }

    /// Gives up the lanes of which it holds no record any more: what comes after need not wait for the others' retries.
    fn narrow(&mut self) {
        if self.spots.len() > 1 {
            let records = || self.stack.iter().flat_map(|piece| piece.records.iter());
            let held = |own: &Spot| {
                let mut spots = records().filter_map(|record| Spot::of(record, 1));
                spots.any(|spot| spot.partition == own.partition)
            };
            self.spots.retain(held);
        }
    }
}

impl Log {
    /// An invocation ended.
    pub(super) fn answered(&mut self, number: u64, heard: Heard, now: Now, out: &mut Vec<Action>) {
        let Heard { judged, state, request } = heard;
        let jitter = self.jitter();
        let Some(flight) = self.flights.get_mut(&number) else { return };
        let Some(piece) = flight.stack.last_mut() else { return };
        piece.tries.request = request.or(piece.tries.request);
        flight.problem = match &judged {
            Judged::Unreachable(why) => Some(why.clone()),
            Judged::Failed(_) | Judged::Misreported(_) | Judged::Partial(_) => Some(CALL_FAILED.into()),
            _ => None,
        };
        flight.phase = Phase::Backoff(now.instant);
        let what = next(&self.settings.policy, piece.len(), piece.tries, &judged, jitter);
        if matches!(what, Next::Done | Next::Shrink(..)) {
            self.keep_state(number, state);
        }
        match what {
            Next::Done => self.piece_done(number, |_| true),
            Next::Shrink(failed, wait) => self.shrink(number, &failed, now.instant + wait),
            Next::Split(wait) => self.split(number, now.instant + wait),
            Next::Again(tries, wait) => self.again(number, tries, now.instant + wait),
            Next::Discard(why, tries) => {
                self.again(number, tries, now.instant);
                self.discard(number, why, out);
            }
            Next::Halt => self.halt(number, out),
        }
        self.land(number, now, out);
    }

    fn keep_state(&mut self, number: u64, state: Option<Bytes>) {
        let spot = self.flights.get(&number).and_then(|flight| flight.spots.first().copied());
        if let Some(window) = spot.and_then(|spot| self.lane(spot)).and_then(|lane| lane.window.as_mut()) {
            window.state = state.unwrap_or_else(|| window.state.clone());
        }
    }

    /// Settles the records of the top piece that pass, and takes it off the stack.
    pub(super) fn piece_done(&mut self, number: u64, mut done: impl FnMut(usize) -> bool) {
        let Some(flight) = self.flights.get_mut(&number) else { return };
        flight.refusals = 0;
        let own = flight.spots.first().copied();
        let Some(piece) = flight.stack.pop() else { return };
        self.used -= piece.bytes();
        let per_partition = self.settings.lanes.per_partition();
        for (index, (record, (arrival, _))) in piece.records.iter().zip(&piece.numbers).enumerate() {
            let Some(spot) = Spot::of(record, per_partition).filter(|_| done(index)) else { continue };
            let Some(shard) = self.shard(spot.partition) else { continue };
            match &mut shard.lanes[spot.slot].window {
                Some(window) => window.settled.push(*arrival),
                None => shard.track.done(*arrival),
            }
        }
        if piece.close.is_some() {
            own.into_iter().for_each(|spot| self.close_window(spot));
        }
    }

    /// The tumbling window is over: what it held is done, and its state forgotten.
    fn close_window(&mut self, spot: Spot) {
        let Some(shard) = self.shard(spot.partition) else { return };
        if let Some(window) = shard.lanes[spot.slot].window.take() {
            window.settled.iter().for_each(|arrival| shard.track.done(*arrival));
        }
    }

    /// The listed records are the piece now. AWS, Kafka: the partition's commit stays below the lowest of them.
    fn shrink(&mut self, number: u64, failed: &[usize], until: Instant) {
        let Some(piece) = self.flights.get_mut(&number).and_then(|flight| flight.stack.last_mut()) else {
            return;
        };
        let close = piece.close.take();
        let tries = piece.tries.afresh();
        let rest = piece.select(|index| failed.binary_search(&index).is_ok());
        let rest = Piece { close, tries, ..Piece::new(rest) };
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
        let (half, close, tries) = (piece.len() / 2, piece.close, piece.tries.afresh());
        let first = Piece { tries, ..Piece::new(piece.select(|index| index < half)) };
        let second = Piece { close, tries, ..Piece::new(piece.select(|index| index >= half)) };
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

    fn halt(&mut self, number: u64, out: &mut Vec<Action>) {
        let Some(flight) = self.flights.get_mut(&number) else { return };
        // Not in back-off: that would be over at once, and the batch invoked with a second time.
        flight.phase = Phase::Held;
        out.push(Action::Halt("the mapping needs the function's answer, and the sink sends it elsewhere"));
    }

    /// Unless it is out: takes out of a flight what is not ours any more, ends it if it has no piece left, and frees the
    /// lanes it does not own any more.
    pub(super) fn land(&mut self, number: u64, now: Now, out: &mut Vec<Action>) {
        if self.flights.get(&number).is_none_or(Flight::is_out) {
            return;
        }
        let Some(mut flight) = self.flights.remove(&number) else { return };
        let before = flight.spots.clone();
        let ours = |spot: &Spot| {
            let shard = self.shards.get(&spot.partition.index);
            shard.is_some_and(|shard| shard.partition == spot.partition && !shard.losing)
        };
        let gone: Vec<Partition> =
            before.iter().filter(|spot| !ours(spot)).map(|spot| spot.partition).collect();
        self.used -= gone.into_iter().map(|partition| flight.leave(partition)).sum::<usize>();
        flight.narrow();
        let freed: Vec<Spot> = match flight.stack.is_empty() {
            true => before,
            false => before.into_iter().filter(|spot| !flight.owns(spot)).collect(),
        };
        if !flight.stack.is_empty() {
            self.flights.insert(number, flight);
        }
        for spot in freed {
            self.free(spot, number, now, out);
        }
    }

    /// A lane is free again, whoever owns it now.
    fn free(&mut self, spot: Spot, number: u64, now: Now, out: &mut Vec<Action>) {
        let window = self.settings.window;
        let Some(shard) = self.shards.get_mut(&spot.partition.index) else { return };
        let (partition, lane) = (shard.partition, &mut shard.lanes[spot.slot]);
        if lane.flight == Some(number) {
            lane.flight = None;
            lane.opened = now.instant;
            lane.ends = window::end(lane.opened, window, now.instant);
            self.release_if_drained(partition, out);
            self.let_go_if_ended(partition, now, out);
        }
    }

    /// What waited long enough: the next attempt.
    pub(super) fn resume(&mut self, now: Now, out: &mut Vec<Action>) {
        let over = |flight: &Flight| match flight.phase {
            Phase::Backoff(until) | Phase::Refused(until) => until <= now.instant,
            _ => false,
        };
        let due: Vec<u64> =
            self.flights.iter().filter(|(_, flight)| over(flight)).map(|(number, _)| *number).collect();
        due.into_iter().for_each(|number| self.invoke_top(number, now, out));
    }

    /// Invokes with the top piece; what is too old, or cannot be delivered even alone, is not tried.
    pub(super) fn invoke_top(&mut self, number: u64, now: Now, out: &mut Vec<Action>) {
        loop {
            self.part_expired(number, now);
            let Some(flight) = self.flights.get(&number) else { return };
            let Some(piece) = flight.stack.last() else { return self.land(number, now, out) };
            let Some(why) = piece.doomed.or_else(|| self.hopeless(piece)) else { break };
            let pieces = flight.stack.len();
            self.discard(number, why, out);
            match self.flights.get(&number) {
                // The destination has it.
                Some(flight) if flight.is_out() => return,
                // Dropped: what is below comes next.
                Some(flight) if flight.stack.len() < pieces => {}
                _ => return self.land(number, now, out),
            }
        }
        let Some(flight) = self.flights.get_mut(&number) else { return };
        let Some((piece, spot)) = flight.stack.last().zip(flight.spots.first().copied()) else { return };
        flight.phase = Phase::Invoking;
        let (records, close) = (Arc::clone(&piece.records), piece.close);
        let window = self.lane(spot).and_then(|lane| lane.window.as_ref()).map(|window| window.frame(close));
        out.push(Action::Invoke(number, Call { partition: spot.partition, records, window }));
    }
}
