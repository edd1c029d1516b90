//! The state machine of a log mapping (design.md §4.2–4.5). Pure: it is told what happened and when, and says what to do.
//!
//! A *lane* is the unit of order, a partition here. A *flight* is a batch: it owns its lanes, holds a stack of pieces and
//! invokes with the top one. Lanes and flights live in [`lane`] and [`flight`]; this file is the life of a mapping: what
//! comes, what becomes due, what must be let go.

mod flight;
mod lane;
#[cfg(test)]
mod laws;

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use klr_contract::{Arrival, Partition, Place, Position, Record, Shape};
use tokio::time::Instant;

use super::{
    Settings,
    batch::Room,
    next::{GivenUp, Judged},
    window,
};
use flight::{Flight, Phase, Piece};
use lane::{Item, Lane};

/// A partition stops at this many records past its checkpoint, plus two batches.
const AHEAD: usize = 10_000;

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The source said something.
    Arrived(Vec<Arrival>),
    /// An invocation ended.
    Answered(u64, Judged),
    /// Time passed.
    Tick,
    /// Finish what is in flight and let go.
    Stop,
}

/// What to do.
#[derive(Debug)]
pub enum Action {
    /// Invoke, and answer with the flight's number.
    Invoke(u64, Arc<Vec<Record>>),
    /// Stop or reopen a partition's flow.
    Flow(Partition, bool),
    /// Let a partition go.
    Release(Partition, Option<Position>),
    /// Records were given up, without a destination.
    Dropped(usize, GivenUp),
    /// Stop the mapping: a person must change something.
    Halt(&'static str),
}

/// When something happened: on the monotonic clock, and by the wall, which record age is counted on.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For windows and back-off.
    pub instant: Instant,
    /// For record age.
    pub wall: Timestamp,
}

impl Now {
    /// The runtime's clock (paused in tests) and the wall's.
    pub fn get() -> Self {
        Self { instant: Instant::now(), wall: Timestamp::now() }
    }
}

/// A log mapping's state.
pub struct Log {
    settings: Settings,
    shape: Arc<dyn Shape>,
    /// What the mapping may hold now; moves as other mappings come and go.
    share: usize,
    lanes: BTreeMap<u32, Lane>,
    flights: BTreeMap<u64, Flight>,
    flown: u64,
    arrived: u64,
    /// Bytes of fragments buffered and in flight.
    used: usize,
    /// Records that checkpoints of partitions since released have passed.
    released: u64,
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
            lanes: BTreeMap::new(),
            flights: BTreeMap::new(),
            flown: 0,
            arrived: 0,
            used: 0,
            released: 0,
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
        let idle = self.lanes.values().any(|lane| !lane.has_work());
        if self.stopping || (spent && !idle) { 0 } else { 1000 }
    }

    /// Nothing is owned and nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.flights.values().all(|flight| flight.phase != Phase::Invoking)
    }

    /// Why records are waiting, if a person should know.
    pub fn problem(&self) -> Option<&str> {
        self.flights.values().find_map(|flight| flight.problem.as_deref())
    }

    /// The checkpoints that moved since they were last taken.
    pub fn checkpoints(&mut self) -> Vec<(Partition, Position)> {
        self.lanes.values_mut().filter_map(|lane| Some((lane.partition, lane.track.take()?))).collect()
    }

    /// Whether [`Log::checkpoints`] would answer any.
    pub fn moved(&self) -> bool {
        self.lanes.values().any(|lane| lane.track.moved())
    }

    /// These did not become durable: they are carried again.
    pub fn uncheckpointed(&mut self, lost: &[(Partition, Position)]) {
        for (partition, _) in lost {
            if let Some(lane) = self.lane(*partition) {
                lane.track.put_back();
            }
        }
    }

    /// Records the checkpoints have passed since this was last asked.
    pub fn passed(&mut self) -> u64 {
        let lanes = self.lanes.values_mut().map(|lane| lane.track.passed());
        lanes.sum::<u64>() + std::mem::take(&mut self.released)
    }

    /// Everything came that will come (`--once`), and what is left is held and stays so.
    pub fn is_stuck(&self) -> bool {
        let held = |lane: &Lane| {
            lane.ended && lane.flight.is_some_and(|number| self.flights[&number].phase == Phase::Held)
        };
        !self.lanes.is_empty() && self.lanes.values().all(held)
    }

    /// When the next tick is due.
    pub fn wake_at(&self) -> Option<Instant> {
        let windows = self
            .lanes
            .values()
            .filter(|lane| lane.is_free() && !lane.buffer.is_empty())
            .map(|lane| lane.ends);
        let backoffs = self.flights.values().filter_map(|flight| match flight.phase {
            Phase::Backoff(until) => Some(until),
            _ => None,
        });
        windows.chain(backoffs).min()
    }

    /// Takes what happened and appends what to do.
    pub fn step(&mut self, input: Input, now: Now, out: &mut Vec<Action>) {
        match input {
            Input::Arrived(arrivals) => {
                arrivals.into_iter().for_each(|arrival| self.arrive(arrival, now, out))
            }
            Input::Answered(flight, judged) => self.answered(flight, &judged, now, out),
            Input::Tick => {}
            Input::Stop => self.stop(now, out),
        }
        self.resume(now, out);
        self.launch(now, out);
        self.regulate(out);
    }

    fn arrive(&mut self, arrival: Arrival, now: Now, out: &mut Vec<Action>) {
        match arrival {
            Arrival::Record(record) => self.record(record, now),
            Arrival::Passed(partition, position) => {
                if let Some(lane) = self.lane(partition) {
                    lane.track.pass(position);
                }
                self.let_go_if_ended(partition, now, out);
            }
            Arrival::Gained(partition) => self.gain(partition, now, out),
            Arrival::Losing(partition) => self.lose(partition, now, out),
            Arrival::Lost(partition) => {
                self.clear(partition);
                self.lanes.retain(|_, lane| lane.partition != partition);
                self.leave(partition, now, out);
            }
            Arrival::Ended(partition) => {
                if let Some(lane) = self.lane(partition) {
                    lane.ended = true;
                }
                self.let_go_if_ended(partition, now, out);
            }
        }
    }

    fn record(&mut self, record: Record, now: Now) {
        let Place::At { partition, position, .. } = &record.place else { return };
        let (partition, position) = (*partition, position.clone());
        let (arrived, cost, len, window) =
            (self.arrived, self.shape.cost(&record), record.len(), self.settings.window);
        let Some(lane) = self.lane(partition) else { return };
        if lane.losing {
            return;
        }
        if lane.buffer.is_empty() {
            lane.ends = window::end(lane.opened, window, now.instant);
        }
        let arrival = lane.track.arrive(position);
        lane.push(Item { record, arrival, order: arrived }, cost);
        self.arrived += 1;
        self.used += len;
    }

    fn gain(&mut self, partition: Partition, now: Now, out: &mut Vec<Action>) {
        // A flight of an earlier ownership may still be out: one in flight per partition, whoever owned it.
        let flight =
            self.flights.iter().find(|(_, flight)| flight.owns(partition.index)).map(|(number, _)| *number);
        self.lanes.insert(partition.index, Lane::new(partition, now.instant, flight));
        if self.stopping {
            self.lose(partition, now, out);
        }
    }

    fn lose(&mut self, partition: Partition, now: Now, out: &mut Vec<Action>) {
        self.clear(partition);
        let Some(lane) = self.lane(partition) else { return };
        lane.losing = true;
        self.leave(partition, now, out);
        self.release_if_drained(partition, out);
    }

    /// Drops a lane's buffer: its records are read again by whoever owns the partition next.
    fn clear(&mut self, partition: Partition) {
        if let Some(lane) = self.lane(partition) {
            let freed = lane.clear();
            self.used -= freed;
        }
    }

    /// Takes a partition that is no longer ours out of the flights that wait; one that is invoking goes on until it ends.
    fn leave(&mut self, partition: Partition, now: Now, out: &mut Vec<Action>) {
        let waits = |flight: &Flight| flight.phase != Phase::Invoking && flight.owns(partition.index);
        let waiting: Vec<u64> =
            self.flights.iter().filter(|(_, flight)| waits(flight)).map(|(number, _)| *number).collect();
        waiting.into_iter().for_each(|number| self.land(number, now, out));
    }

    fn release_if_drained(&mut self, partition: Partition, out: &mut Vec<Action>) {
        let Some(lane) = self.lane(partition) else { return };
        if lane.losing && lane.flight.is_none() {
            out.push(Action::Release(partition, lane.track.take()));
            self.released += lane.track.passed();
            self.lanes.remove(&partition.index);
        }
    }

    /// A closed partition is let go once all of it is done.
    fn let_go_if_ended(&mut self, partition: Partition, now: Now, out: &mut Vec<Action>) {
        let done = |lane: &mut Lane| lane.ended && lane.buffer.is_empty() && lane.track.is_empty();
        if self.lane(partition).is_some_and(done) {
            self.lose(partition, now, out);
        }
    }

    fn stop(&mut self, now: Now, out: &mut Vec<Action>) {
        self.stopping = true;
        let owned: Vec<Partition> = self.lanes.values().map(|lane| lane.partition).collect();
        owned.into_iter().for_each(|partition| self.lose(partition, now, out));
    }

    /// Forms batches while any is due.
    fn launch(&mut self, now: Now, out: &mut Vec<Action>) {
        while self.due(now) {
            let Some(piece) = self.fill() else { return };
            let partitions = piece.partitions();
            let number = self.flown;
            self.flown += 1;
            for partition in &partitions {
                if let Some(lane) = self.lane(*partition) {
                    lane.flight = Some(number);
                }
            }
            self.flights.insert(number, Flight::new(partitions, piece));
            self.invoke_top(number, now, out);
        }
    }

    /// Free lanes hold together `batchSize` records or the byte budget, a window ran out with a record in it, or the
    /// memory is used up.
    fn due(&self, now: Now) -> bool {
        let mut records = 0;
        let mut bytes = self.shape.frame();
        let mut ran_out = false;
        for lane in self.lanes.values().filter(|lane| lane.is_free() && !lane.buffer.is_empty()) {
            records += lane.buffer.len();
            bytes += lane.bytes;
            ran_out |= lane.ends <= now.instant || lane.ended;
        }
        let full = records >= self.settings.batch_size || bytes >= self.settings.budget;
        records > 0 && (full || ran_out || self.used >= self.share)
    }

    /// From the lane whose first record is oldest, the next lane only while room is left: under load a batch is one
    /// partition, at rest it mixes.
    fn fill(&mut self) -> Option<Piece> {
        let mut order: Vec<(u64, u32)> = self
            .lanes
            .values()
            .filter(|lane| lane.is_free())
            .filter_map(|lane| Some((lane.buffer.front()?.order, lane.partition.index)))
            .collect();
        order.sort_unstable();
        let mut room = Room::new(self.settings.batch_size, self.settings.budget, &*self.shape);
        let mut items = Vec::new();
        for (_, index) in order {
            let Some(lane) = self.lanes.get_mut(&index) else { continue };
            while let Some(item) = lane.buffer.front() {
                if !room.take(&item.record, &*self.shape) {
                    break;
                }
                let cost = self.shape.cost(&item.record);
                items.extend(lane.pop(cost));
            }
            if room.full() {
                break;
            }
        }
        (!items.is_empty()).then(|| Piece::new(items))
    }

    /// Flow: see design.md §4.3. A lane with nothing buffered is never closed, so no lane starves another.
    fn regulate(&mut self, out: &mut Vec<Action>) {
        let spent = self.used >= self.share;
        let roomy = self.used < self.share / 2;
        let idle = self.lanes.values().any(|lane| !lane.has_work());
        let ahead = AHEAD + 2 * self.settings.batch_size;
        for lane in self.lanes.values_mut().filter(|lane| !lane.losing) {
            let far = lane.track.len() > ahead;
            let near = lane.track.len() < ahead / 2;
            let close = far || (spent && idle && !lane.buffer.is_empty());
            let open = near && (roomy || lane.buffer.is_empty());
            if lane.open && close || !lane.open && open && !close {
                lane.open = !lane.open;
                out.push(Action::Flow(lane.partition, lane.open));
            }
        }
    }

    /// The lane of this ownership, if it is still ours.
    fn lane(&mut self, partition: Partition) -> Option<&mut Lane> {
        self.lanes.get_mut(&partition.index).filter(|lane| lane.partition == partition)
    }

    /// Give or take a tenth: an xorshift is random enough to keep retries from marching in step.
    fn jitter(&mut self) -> f64 {
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        (self.jitter % 1000) as f64 / 1000.0
    }
}
