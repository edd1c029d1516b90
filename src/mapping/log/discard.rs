//! Records that are given up: too old, too often, too large, unreadable. They go to the on-failure destination, and are done
//! when it has confirmed.

use std::sync::Arc;

use klr_contract::Record;

use super::{
    Action, Lanes, Log, Now,
    flight::{Phase, Piece},
    lane::Spot,
};
use crate::mapping::{
    batch::Room,
    failure::Failure,
    next::{GivenUp, OnFailure, backoff},
};

impl Log {
    /// Why a piece of one record cannot be delivered at all.
    pub(super) fn hopeless(&self, piece: &Piece) -> Option<GivenUp> {
        let [record] = &piece.records[..] else { return None };
        if record.json.is_err() {
            return Some(GivenUp::Unreadable);
        }
        let mut room = Room::new(1, self.settings.budget, &*self.shape);
        let oversize = room.take(record, &*self.shape) && room.oversize();
        oversize.then_some(GivenUp::MaximumPayloadSizeExceeded)
    }

    /// AWS: age is checked per record before each attempt; only the expired ones leave the batch. They become the top piece.
    pub(super) fn part_expired(&mut self, number: u64, now: Now) {
        let Some(age) = self.settings.policy.age else { return };
        let Some(flight) = self.flights.get_mut(&number) else { return };
        let Some(piece) = flight.stack.last().filter(|piece| piece.doomed.is_none()) else { return };
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let is_old = |record: &Record| now.wall.as_millisecond() - record.at.as_millisecond() > age;
        let records = Arc::clone(&piece.records);
        if !records.iter().any(is_old) {
            return;
        }
        let (tries, close) = (piece.tries, piece.close);
        let fresh = Piece { tries, close, ..Piece::new(piece.select(|index| !is_old(&records[index]))) };
        let old = Piece::new(piece.select(|index| is_old(&records[index])));
        let old = Piece { tries, doomed: Some(GivenUp::RecordAgeExceeded), ..old };
        flight.stack.pop();
        // A window is closed even if nothing of it is fresh.
        flight.stack.extend(Some(fresh).filter(|fresh| fresh.len() > 0 || close.is_some()));
        flight.stack.push(old);
    }

    /// The top piece is given up.
    pub(super) fn discard(&mut self, number: u64, why: GivenUp, out: &mut Vec<Action>) {
        let Some(flight) = self.flights.get_mut(&number) else { return };
        let Some(piece) = flight.stack.last_mut() else { return };
        piece.doomed = Some(why);
        // A window's last: nothing is left to be sent, but its state is lost.
        if piece.len() == 0 {
            return self.drop_top(number, why, out);
        }
        if self.settings.policy.on_failure != OnFailure::Drop {
            flight.phase = Phase::Discarding;
            let (records, tries) = (Arc::clone(&piece.records), piece.tries);
            out.push(Action::Discard(number, Failure { records, why, tries }));
        } else if self.must_hold(why) {
            self.hold(number);
        } else {
            self.drop_top(number, why, out);
        }
    }

    /// Retries and age are the user's own limits: without a destination their records are dropped and counted, as AWS does,
    /// which drops what cannot be decoded, too. What Kafka holds that is too large nobody asked to be dropped: its partition
    /// waits, and only that.
    fn must_hold(&self, why: GivenUp) -> bool {
        why == GivenUp::MaximumPayloadSizeExceeded && self.settings.lanes == Lanes::Partitions
    }

    fn drop_top(&mut self, number: u64, why: GivenUp, out: &mut Vec<Action>) {
        let piece = self.flights.get(&number).and_then(|flight| flight.stack.last());
        out.push(Action::Dropped(piece.map_or(0, Piece::len), why));
        self.piece_done(number, |_| true);
    }

    /// The destination answered.
    pub(super) fn discarded(
        &mut self,
        number: u64,
        result: Result<(), String>,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        let jitter = self.jitter();
        let Some(flight) = self.flights.get_mut(&number) else { return };
        let why = flight.stack.last().and_then(|piece| piece.doomed);
        flight.phase = Phase::Backoff(now.instant);
        match result {
            Ok(()) => {
                flight.problem = None;
                self.piece_done(number, |_| true);
            }
            // AWS counts a drop, and goes on.
            Err(_) if self.settings.policy.on_failure == OnFailure::SendOrDrop => {
                self.drop_top(number, why.unwrap_or(GivenUp::RetryAttemptsExhausted), out);
            }
            Err(problem) => {
                flight.problem = Some(format!("on-failure destination: {problem}"));
                flight.phase = Phase::Refused(now.instant + backoff(flight.refusals, jitter));
                flight.refusals = flight.refusals.saturating_add(1);
            }
        }
        self.land(number, now, out);
    }

    fn hold(&mut self, number: u64) {
        let Some(flight) = self.flights.get_mut(&number) else { return };
        let first = flight.stack.last().and_then(|piece| piece.records.first());
        let Some(held) = first.and_then(|record| Spot::of(record, 1)) else { return };
        flight.phase = Phase::Held;
        let index = held.partition.index;
        flight.problem = Some(format!(
            "a record of partition {index} is more than the target takes; the partition holds until there is an on-failure destination"
        ));
        self.put_back_all_but_top(number);
    }

    /// What is below a held record goes back to its lanes; those that are not the record's own are free when it lands.
    fn put_back_all_but_top(&mut self, number: u64) {
        let Some(flight) = self.flights.get_mut(&number) else { return };
        let below: Vec<Piece> = flight.stack.drain(..flight.stack.len() - 1).collect();
        // The stack's bottom is the batch's end, so from there each record goes in front of the one put back before.
        for piece in below {
            self.used -= piece.bytes();
            for item in piece.select(|_| true).into_iter().rev() {
                let cost = self.shape.cost(&item.record);
                let len = item.record.len();
                let Some(spot) = Spot::of(&item.record, 1) else { continue };
                let Some(shard) = self.shard(spot.partition).filter(|shard| !shard.losing) else { continue };
                shard.lanes[0].put_back(item, cost);
                self.used += len;
            }
        }
    }
}
