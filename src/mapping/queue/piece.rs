//! A batch, or a half of one, with what is needed to settle it.

use klr_contract::{Place, Record};
use tokio::time::Instant;

use crate::mapping::buffer::Charge;

/// What goes with a record.
#[derive(Debug)]
pub(super) struct Meta {
    /// The message may be handed to somebody else from then on.
    pub invisible_until: Instant,
    /// The bytes it holds.
    pub _charge: Charge,
}

/// Records on their way through one lane, in order of arrival.
#[derive(Debug, Default)]
pub(super) struct Piece {
    /// What the function sees.
    pub records: Vec<Record>,
    meta: Vec<Meta>,
}

impl Piece {
    pub fn push(&mut self, record: Record, meta: Meta) {
        self.records.push(record);
        self.meta.push(meta);
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// No attempt may start after the earliest of its messages may be visible again.
    pub fn invisible_until(&self) -> Option<Instant> {
        self.meta.iter().map(|meta| meta.invisible_until).min()
    }

    /// The queue agreed to hide all of them until then.
    pub fn held_until(&mut self, until: Instant) {
        self.meta.iter_mut().for_each(|meta| meta.invisible_until = until);
    }

    /// Keeps the first floor(n/2), answers the rest.
    pub fn split(&mut self) -> Self {
        let half = self.len() / 2;
        Self { records: self.records.split_off(half), meta: self.meta.split_off(half) }
    }

    pub fn places(&self) -> Vec<Place> {
        self.records.iter().map(|record| record.place.clone()).collect()
    }

    /// The places of the records that are not listed in `failed` (ascending).
    pub fn places_except(&self, failed: &[usize]) -> Vec<Place> {
        let places =
            self.records.iter().enumerate().filter(|(index, _)| failed.binary_search(index).is_err());
        places.map(|(_, record)| record.place.clone()).collect()
    }
}
