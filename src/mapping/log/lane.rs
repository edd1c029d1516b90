//! Where records wait for their batch, in order: a shard is a partition as long as it is ours, a lane the unit of order in it.

use std::collections::VecDeque;

use klr_contract::{Partition, Place, Record};
use tokio::time::Instant;

use super::tumbling::Window;
use crate::mapping::track::Track;

/// A record with its numbers.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub record: Record,
    /// In its shard's track.
    pub arrival: u64,
    /// Over all lanes: who came first.
    pub order: u64,
}

/// Which lane: one of a partition's key-hash slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub partition: Partition,
    pub slot: usize,
}

impl Spot {
    /// Where a record belongs, with so many lanes a partition.
    pub fn of(record: &Record, lanes: usize) -> Option<Self> {
        match &record.place {
            Place::At { partition, key, .. } => {
                Some(Self { partition: *partition, slot: *key as usize % lanes })
            }
            Place::Item { .. } => None,
        }
    }

    /// The same place, whoever owns it.
    pub fn is_at(&self, other: &Self) -> bool {
        self.partition.index == other.partition.index && self.slot == other.slot
    }
}

/// One partition, as long as it is ours.
#[derive(Debug)]
pub(super) struct Shard {
    pub partition: Partition,
    pub lanes: Vec<Lane>,
    pub track: Track,
    /// To be let go as soon as it is drained.
    pub losing: bool,
    /// Nothing more will come.
    pub ended: bool,
    /// The source lets it flow.
    pub open: bool,
}

impl Shard {
    pub fn new(partition: Partition, lanes: usize, now: Instant) -> Self {
        let lanes = (0..lanes).map(|_| Lane::new(now)).collect();
        Self { partition, lanes, track: Track::default(), losing: false, ended: false, open: true }
    }

    pub fn spots(&self) -> impl Iterator<Item = (Spot, &Lane)> {
        let spot = |slot| Spot { partition: self.partition, slot };
        self.lanes.iter().enumerate().map(move |(slot, lane)| (spot(slot), lane))
    }

    pub fn has_buffer(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.buffer.is_empty())
    }

    pub fn is_flying(&self) -> bool {
        self.lanes.iter().any(|lane| lane.flight.is_some())
    }

    pub fn has_work(&self) -> bool {
        self.has_buffer() || self.is_flying()
    }

    /// Records past the checkpoint that are not done, or whose being done does not wait for a window's end: what more of
    /// would only grow the memory.
    pub fn ahead(&self) -> usize {
        let settled: usize =
            self.lanes.iter().filter_map(|lane| Some(lane.window.as_ref()?.settled.len())).sum();
        self.track.len().saturating_sub(settled)
    }

    /// Whether there is nothing to look at until something comes.
    pub fn is_at_rest(&self) -> bool {
        !self.has_work()
            && self.track.is_empty()
            && !self.track.moved()
            && self.open
            && !self.losing
            && !self.ended
    }

    /// Drops what is buffered; answers how many bytes of fragments that was.
    pub fn clear(&mut self) -> usize {
        self.lanes.iter_mut().map(Lane::clear).sum()
    }
}

/// The unit of order.
#[derive(Debug)]
pub(super) struct Lane {
    pub buffer: VecDeque<Item>,
    /// What the buffered records add to an event.
    pub bytes: usize,
    /// When the last flight ended: the batching window opens then.
    pub opened: Instant,
    /// When the batching window of the first buffered record ends.
    pub ends: Instant,
    /// The flight that owns the lane.
    pub flight: Option<u64>,
    /// The tumbling window that is open.
    pub window: Option<Box<Window>>,
}

impl Lane {
    fn new(now: Instant) -> Self {
        Self { buffer: VecDeque::new(), bytes: 0, opened: now, ends: now, flight: None, window: None }
    }

    pub fn is_free(&self) -> bool {
        self.flight.is_none()
    }

    pub fn push(&mut self, item: Item, cost: usize) {
        self.bytes += cost;
        self.buffer.push_back(item);
    }

    pub fn pop(&mut self, cost: usize) -> Option<Item> {
        self.bytes -= cost;
        self.buffer.pop_front()
    }

    /// Puts records back where they came from.
    pub fn put_back(&mut self, item: Item, cost: usize) {
        self.bytes += cost;
        self.buffer.push_front(item);
    }

    fn clear(&mut self) -> usize {
        self.bytes = 0;
        self.buffer.drain(..).map(|item| item.record.len()).sum()
    }
}
