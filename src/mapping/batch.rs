//! What fits into one event. Pure.

use klr_contract::{Place, Record, Shape};

/// Counts the records and bytes of a batch as it grows. The sizes are the shape's, and exact.
#[derive(Debug, Clone)]
pub struct Room {
    batch_size: usize,
    budget: usize,
    count: usize,
    bytes: usize,
    closed: bool,
    /// Partitions seen; a batch has few, so a scan beats a set.
    partitions: Vec<u32>,
}

impl Room {
    /// An empty batch.
    pub fn new(batch_size: usize, budget: usize, shape: &dyn Shape) -> Self {
        Self { batch_size, budget, count: 0, bytes: shape.frame(), closed: false, partitions: Vec::new() }
    }

    /// Takes a record if there is room for it. The first always has room to be judged alone: see [`Room::oversize`].
    #[must_use]
    pub fn take(&mut self, record: &Record, shape: &dyn Shape) -> bool {
        let partition = partition(record);
        let opens = partition.is_some_and(|index| !self.partitions.contains(&index));
        let cost = shape.cost(record) + if opens { shape.opening(record) } else { 0 };
        // What could not be shaped keeps its place, in a batch of its own.
        let alone = record.json.is_err();
        if self.count > 0 && (alone || self.full() || self.bytes + cost > self.budget) {
            return false;
        }
        self.closed |= alone;
        self.count += 1;
        self.bytes += cost;
        if let (true, Some(index)) = (opens, partition) {
            self.partitions.push(index);
        }
        true
    }

    /// Nothing more goes in, by count or because the bytes are used up.
    pub fn full(&self) -> bool {
        self.closed || self.count >= self.batch_size || self.bytes >= self.budget
    }

    /// The event is over the budget: it holds one record that is too large by itself.
    pub fn oversize(&self) -> bool {
        self.bytes > self.budget
    }

    /// Records that still fit by count.
    pub fn left(&self) -> usize {
        self.batch_size.saturating_sub(self.count)
    }

    /// Records taken.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes of the finished event.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

fn partition(record: &Record) -> Option<u32> {
    match &record.place {
        Place::At { partition, .. } => Some(partition.index),
        Place::Item { .. } => None,
    }
}
