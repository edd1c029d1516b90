//! The state machine of a log mapping (design.md §4.2–4.5). Pure: it is told what happened and when, and says what to do.
//!
//! A *lane* is the unit of order: a Kafka partition, or one of a shard's key-hash slots. A *flight* is a batch: it owns its
//! lanes, holds a stack of pieces and invokes with the top one. Shards and lanes live in [`lane`], which of them are due in
//! [`due`], what a step takes and answers in [`step`], flights in [`flight`], what is given up in [`discard`], windows with a state in [`tumbling`]; this file is the
//! life of a mapping: what comes and what must be let go.

mod discard;
mod due;
mod flight;
mod lane;
#[cfg(test)]
pub(in crate::mapping) mod laws;
mod step;
mod tumbling;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use klr_contract::{Arrival, Partition, Place, Position, Record, Shape};
use tokio::time::Instant;

pub use self::step::{Action, Call, Heard, Input, Now};
use super::{Lanes, Settings, window};
use flight::{Flight, Phase};
use lane::{Item, Lane, Shard, Spot};

/// A partition stops at this many records past its checkpoint, plus two batches for each of its lanes.
const AHEAD: usize = 10_000;

/// A log mapping's state.
pub struct Log {
    settings: Settings,
    shape: Arc<dyn Shape>,
    /// What the mapping may hold now; moves as other mappings come and go.
    share: usize,
    shards: BTreeMap<u32, Shard>,
    /// The partitions there is something to do for. Thousands of shards may lie idle, and are not looked at.
    busy: BTreeSet<u32>,
    flights: BTreeMap<u64, Flight>,
    flown: u64,
    arrived: u64,
    /// Bytes of fragments buffered and in flight.
    used: usize,
    /// Records the checkpoints have passed, not asked for yet.
    passed: u64,
    stopping: bool,
    jitter: u64,
}

impl Log {
    /// Nothing owned yet. `seed` makes the jitter.
    pub fn new(settings: Settings, shape: Arc<dyn Shape>, share: usize, seed: u64) -> Self {
        Self {
            settings,
            shape,
            share,
            shards: BTreeMap::new(),
            busy: BTreeSet::new(),
            flights: BTreeMap::new(),
            flown: 0,
            arrived: 0,
            used: 0,
            passed: 0,
            stopping: false,
            jitter: seed | 1,
        }
    }

    /// What the mapping may hold from now on.
    pub fn share(&mut self, bytes: usize) {
        self.share = bytes;
    }

    /// Bytes held.
    pub fn used(&self) -> usize {
        self.used
    }

    /// How many records to ask the source for. 0: only ownership.
    pub fn want(&self) -> usize {
        let spent = self.used >= self.share;
        if self.stopping || (spent && !self.has_idle()) { 0 } else { self.settings.batch_size.max(1000) }
    }

    /// Nothing is owned and nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.shards.is_empty() && !self.flights.values().any(Flight::is_out)
    }

    /// Why records are waiting, if a person should know.
    pub fn problem(&self) -> Option<&str> {
        self.flights.values().find_map(|flight| flight.problem.as_deref())
    }

    /// The checkpoints that moved since they were last taken.
    pub fn checkpoints(&mut self) -> Vec<(Partition, Position)> {
        let busy = self.busy.iter();
        let mut moved = Vec::new();
        for index in busy {
            let Some(shard) = self.shards.get_mut(index) else { continue };
            moved.extend(shard.track.take().map(|position| (shard.partition, position)));
        }
        moved
    }

    /// Whether [`Log::checkpoints`] would answer any.
    pub fn moved(&self) -> bool {
        self.active().any(|shard| shard.track.moved())
    }

    /// These did not become durable: they are carried again.
    pub fn uncheckpointed(&mut self, lost: &[(Partition, Position)]) {
        for (partition, _) in lost {
            if let Some(shard) = self.shard(*partition) {
                shard.track.put_back();
                self.busy.insert(partition.index);
            }
        }
    }

    /// Records the checkpoints have passed since this was last asked.
    pub fn passed(&mut self) -> u64 {
        std::mem::take(&mut self.passed)
    }

    /// Everything came that will come (`--once`), and what is left is held and stays so.
    pub fn is_stuck(&self) -> bool {
        let held = |lane: &Lane| lane.flight.is_some_and(|number| self.flights[&number].phase == Phase::Held);
        let stuck = |shard: &Shard| shard.ended && shard.lanes.iter().any(held);
        !self.shards.is_empty() && self.shards.values().all(stuck)
    }

    /// When the next tick is due.
    pub fn wake_at(&self) -> Option<Instant> {
        let free = self.active().flat_map(|shard| &shard.lanes).filter(|lane| lane.is_free());
        let windows = free.flat_map(|lane| {
            let batching = (!lane.buffer.is_empty()).then_some(lane.ends);
            [batching, lane.window.as_ref().map(|window| window.closes)]
        });
        let waits = self.flights.values().map(|flight| match flight.phase {
            Phase::Backoff(until) | Phase::Refused(until) => Some(until),
            _ => None,
        });
        windows.chain(waits).flatten().min()
    }

    /// Takes what happened and appends what to do.
    pub fn step(&mut self, input: Input, now: Now, out: &mut Vec<Action>) {
        match input {
            Input::Arrived(arrivals) => {
                arrivals.into_iter().for_each(|arrival| self.arrive(arrival, now, out))
            }
            Input::Answered(flight, heard) => self.answered(flight, heard, now, out),
            Input::Discarded(flight, result) => self.discarded(flight, result, now, out),
            Input::Tick => {}
            Input::Stop => self.stop(now, out),
        }
        self.resume(now, out);
        self.launch(now, out);
        self.regulate(out);
        self.rest();
    }

    fn arrive(&mut self, arrival: Arrival, now: Now, out: &mut Vec<Action>) {
        match arrival {
            Arrival::Record(record) => self.record(record, now),
            Arrival::Passed(partition, position, at) => {
                // Once it is to be let go, records that come are not kept: what is passed behind them is not done either.
                if let Some(shard) = self.shard(partition).filter(|shard| !shard.losing) {
                    shard.track.pass(position);
                    let windows = shard.lanes.iter_mut().filter_map(|lane| lane.window.as_mut());
                    at.into_iter().zip(windows).for_each(|(at, window)| window.passed(at, now));
                    self.busy.insert(partition.index);
                }
                self.let_go_if_ended(partition, now, out);
            }
            Arrival::Gained(partition) => self.gain(partition, now, out),
            Arrival::Losing(partition) => self.lose(partition, now, out),
            Arrival::Lost(partition) => {
                self.clear(partition);
                if self.shard(partition).is_some() {
                    self.shards.remove(&partition.index);
                }
                self.leave(partition, now, out);
            }
            Arrival::Ended(partition) => {
                if let Some(shard) = self.shard(partition) {
                    shard.ended = true;
                    self.busy.insert(partition.index);
                }
                self.let_go_if_ended(partition, now, out);
            }
        }
    }

    fn record(&mut self, record: Record, now: Now) {
        let Some(spot) = Spot::of(&record, self.settings.lanes.per_partition()) else { return };
        let Place::At { position, .. } = &record.place else { return };
        let (position, order) = (position.clone(), self.arrived);
        let (cost, len, window) = (self.shape.cost(&record), record.len(), self.settings.window);
        let Some(shard) = self.shard(spot.partition).filter(|shard| !shard.losing) else { return };
        let arrival = shard.track.arrive(position);
        let lane = &mut shard.lanes[spot.slot];
        if lane.buffer.is_empty() {
            lane.ends = window::end(lane.opened, window, now.instant);
        }
        if let Some(open) = &mut lane.window {
            open.heard(now);
        }
        lane.push(Item { record, arrival, order }, cost);
        self.busy.insert(spot.partition.index);
        self.arrived += 1;
        self.used += len;
    }

    fn gain(&mut self, partition: Partition, now: Now, out: &mut Vec<Action>) {
        let mut shard = Shard::new(partition, self.settings.lanes.per_partition(), now.instant);
        // A flight of an earlier ownership may still be out: one in flight per lane, whoever owned it.
        for (number, flight) in &self.flights {
            for (slot, lane) in shard.lanes.iter_mut().enumerate() {
                lane.flight = lane.flight.or(flight.owns(&Spot { partition, slot }).then_some(*number));
            }
        }
        self.shards.insert(partition.index, shard);
        self.busy.insert(partition.index);
        if self.stopping {
            self.lose(partition, now, out);
        }
    }

    fn lose(&mut self, partition: Partition, now: Now, out: &mut Vec<Action>) {
        self.clear(partition);
        let Some(shard) = self.shard(partition) else { return };
        shard.losing = true;
        self.busy.insert(partition.index);
        self.leave(partition, now, out);
        self.release_if_drained(partition, out);
    }

    /// Drops what is buffered: it is read again by whoever owns the partition next.
    fn clear(&mut self, partition: Partition) {
        if let Some(shard) = self.shard(partition) {
            let freed = shard.clear();
            self.used -= freed;
        }
    }

    /// Takes a partition that is no longer ours out of the flights that wait; one that is out goes on until it ends.
    fn leave(&mut self, partition: Partition, now: Now, out: &mut Vec<Action>) {
        let waits = |flight: &Flight| !flight.is_out() && flight.concerns(partition);
        let waiting: Vec<u64> =
            self.flights.iter().filter(|(_, flight)| waits(flight)).map(|(number, _)| *number).collect();
        waiting.into_iter().for_each(|number| self.land(number, now, out));
    }

    fn release_if_drained(&mut self, partition: Partition, out: &mut Vec<Action>) {
        let Some(shard) = self.shard(partition) else { return };
        if shard.losing && !shard.is_flying() {
            let through = shard.track.take();
            let passed = shard.track.passed();
            self.passed += passed;
            self.shards.remove(&partition.index);
            out.push(Action::Release(partition, through));
        }
    }

    /// A closed partition is let go once all of it is done.
    fn let_go_if_ended(&mut self, partition: Partition, now: Now, out: &mut Vec<Action>) {
        let done = |shard: &mut Shard| shard.ended && !shard.has_work() && shard.track.is_empty();
        if self.shard(partition).is_some_and(done) {
            self.lose(partition, now, out);
        }
    }

    fn stop(&mut self, now: Now, out: &mut Vec<Action>) {
        self.stopping = true;
        let owned: Vec<Partition> = self.shards.values().map(|shard| shard.partition).collect();
        owned.into_iter().for_each(|partition| self.lose(partition, now, out));
    }

    /// Flow: see design.md §4.3. A partition with nothing buffered is never closed, so none starves another.
    fn regulate(&mut self, out: &mut Vec<Action>) {
        let spent = self.used >= self.share;
        let roomy = self.used < self.share / 2;
        let idle = spent && self.has_idle();
        let ahead = AHEAD + 2 * self.settings.batch_size * self.settings.lanes.per_partition();
        for index in &self.busy {
            let Some(shard) = self.shards.get_mut(index).filter(|shard| !shard.losing) else { continue };
            let (held, buffered) = (shard.ahead(), shard.has_buffer());
            let close = held > ahead || (idle && buffered);
            let open = held < ahead / 2 && (roomy || !buffered);
            if shard.open && close || !shard.open && open && !close {
                shard.open = !shard.open;
                out.push(Action::Flow(shard.partition, shard.open));
            }
        }
    }

    /// Counts what is done, and forgets the partitions there is nothing to do for.
    fn rest(&mut self) {
        let (shards, passed) = (&mut self.shards, &mut self.passed);
        self.busy.retain(|index| {
            let Some(shard) = shards.get_mut(index) else { return false };
            *passed += shard.track.passed();
            !shard.is_at_rest()
        });
    }

    /// The partitions there may be something to do for.
    fn active(&self) -> impl Iterator<Item = &Shard> {
        self.busy.iter().filter_map(|index| self.shards.get(index))
    }

    /// Some partition has nothing buffered and nothing in flight.
    fn has_idle(&self) -> bool {
        self.active().filter(|shard| shard.has_work()).count() < self.shards.len()
    }

    /// The partition, if this ownership of it is still ours.
    fn shard(&mut self, partition: Partition) -> Option<&mut Shard> {
        self.shards.get_mut(&partition.index).filter(|shard| shard.partition == partition)
    }

    /// One of its lanes.
    fn lane(&mut self, spot: Spot) -> Option<&mut Lane> {
        self.shard(spot.partition)?.lanes.get_mut(spot.slot)
    }

    /// Give or take a tenth: an xorshift is random enough to keep retries from marching in step.
    fn jitter(&mut self) -> f64 {
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        (self.jitter % 1000) as f64 / 1000.0
    }
}
