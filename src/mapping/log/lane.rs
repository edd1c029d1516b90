//! A lane: the records of one partition that wait for their batch, in order.

use std::collections::VecDeque;

use klr_contract::{Partition, Record};
use tokio::time::Instant;

use crate::mapping::track::Track;

/// A record with its numbers.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub record: Record,
    /// In its lane's track.
    pub arrival: u64,
    /// Over all lanes: who came first.
    pub order: u64,
}

/// One partition, as long as it is ours.
#[derive(Debug)]
pub(super) struct Lane {
    pub partition: Partition,
    pub buffer: VecDeque<Item>,
    /// What the buffered records add to an event.
    pub bytes: usize,
    pub track: Track,
    /// When the last flight ended: the batching window opens then.
    pub opened: Instant,
    /// When the window of the first buffered record ends.
    pub ends: Instant,
    /// The flight that owns the lane.
    pub flight: Option<u64>,
    /// To be let go as soon as it is drained.
    pub losing: bool,
    /// Nothing more will come.
    pub ended: bool,
    /// The source lets it flow.
    pub open: bool,
}

impl Lane {
    pub fn new(partition: Partition, now: Instant, flight: Option<u64>) -> Self {
        Self {
            partition,
            buffer: VecDeque::new(),
            bytes: 0,
            track: Track::default(),
            opened: now,
            ends: now,
            flight,
            losing: false,
            ended: false,
            open: true,
        }
    }

    pub fn is_free(&self) -> bool {
        self.flight.is_none() && !self.losing
    }

    pub fn has_work(&self) -> bool {
        self.flight.is_some() || !self.buffer.is_empty()
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

    /// Drops the buffer; answers how many bytes of fragments it held.
    pub fn clear(&mut self) -> usize {
        self.bytes = 0;
        self.buffer.drain(..).map(|item| item.record.len()).sum()
    }
}
