//! What became of each record a sink was handed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::eventually;

/// Partition and offset: what a record is, whoever delivers it. (Of a stream: whatever keeps an order, and a number in it.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "kafka", derive(serde::Deserialize))]
pub struct Place {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// What a sink was handed, record by record. For the scripts of [`Sink`](crate::sink::Sink)s.
#[derive(Debug, Default)]
pub struct Handed(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    fates: HashMap<Place, Fate>,
    /// How many of them ended well.
    done: usize,
}

#[derive(Debug, Default, Clone, Copy)]
struct Fate {
    times: usize,
    done: Option<Instant>,
}

impl Handed {
    /// An event came.
    pub fn came(&self, places: &[Place]) {
        let mut all = self.lock();
        places.iter().for_each(|place| all.fates.entry(*place).or_default().times += 1);
    }

    /// It is answered with success, now or in a moment.
    pub fn done(&self, places: &[Place], at: Instant) {
        let mut all = self.lock();
        for place in places {
            let before = all.fates.entry(*place).or_default().done.replace(at);
            all.done += usize::from(before.is_none());
        }
    }

    /// How many records came, each counted once.
    pub fn count(&self) -> usize {
        self.lock().fates.len()
    }

    /// How many deliveries were not the first of their record.
    pub fn again(&self) -> usize {
        self.lock().fates.values().map(|fate| fate.times - 1).sum()
    }

    /// Waits until so many records came; false when `timeout` passes first.
    pub fn wait_for(&self, records: usize, timeout: Duration) -> bool {
        eventually(timeout, || self.count() >= records)
    }

    /// Waits until all of these were answered with success: every offset before each partition's end.
    pub fn wait_done(&self, ends: &BTreeMap<i32, i64>, timeout: Duration) -> bool {
        let total = ends.values().sum::<i64>();
        eventually(timeout, || {
            let all = self.lock();
            let done = |place| all.fates.get(&place).is_some_and(|fate| fate.done.is_some());
            let all_of = |(&partition, &end)| (0..end).all(|offset| done(Place { partition, offset }));
            i64::try_from(all.done).is_ok_and(|done| done >= total) && ends.iter().all(all_of)
        })
    }

    /// Records that came before `now` and of which a crash at `now` may make the bridge deliver again what it has not
    /// committed: those without success, and those whose success is younger than `recent`.
    pub fn unsettled(&self, now: Instant, recent: Duration) -> Vec<Place> {
        let young = |fate: &Fate| fate.done.is_none_or(|at| now.saturating_duration_since(at) < recent);
        self.lock().fates.iter().filter(|(_, fate)| young(fate)).map(|(place, _)| *place).collect()
    }

    /// How often each record came.
    pub fn times(&self) -> BTreeMap<Place, usize> {
        self.lock().fates.iter().map(|(place, fate)| (*place, fate.times)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
