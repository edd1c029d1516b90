//! What must hold of every invocation, failure record and checkpoint.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use klr_contract::{Partition, Position, Shape};

use super::{
    super::{Call, lane::Spot},
    place,
    world::{World, born, filtered, key},
};
use crate::mapping::{
    Lanes,
    brackets::Brackets,
    failure::Failure,
    next::{Judged, OnFailure},
};

impl World {
    fn slot(&self, offset: i64) -> usize {
        match self.settings.lanes {
            Lanes::Partitions => 0,
            lanes => key(offset) as usize % lanes.per_partition(),
        }
    }

    pub fn check_call(&self, call: &Call) {
        let records = &call.records;
        assert!(!records.is_empty() || call.window.as_ref().is_some_and(|window| window.is_final));
        assert!(records.len() <= self.settings.batch_size, "over the batch size");
        let state = call.window.as_ref().map_or(0, |window| window.state.len());
        assert!(Brackets.event(records).len() + state <= self.settings.budget, "over the byte budget");
        let mut last = BTreeMap::new();
        for (partition, offset) in records.iter().map(place) {
            let before = last.insert(partition, offset);
            assert!(before.is_none_or(|before| before < offset), "order within a batch");
            assert!(!self.settled.contains(&(partition, offset)), "a settled record was invoked again");
        }
        if self.settings.lanes != Lanes::Partitions {
            let slots: BTreeSet<_> = records.iter().map(|record| self.slot(place(record).1)).collect();
            assert!(last.len() <= 1 && slots.len() <= 1, "a batch of several lanes");
        }
        self.check_alone(call);
        self.check_order(call);
        self.check_window(call);
    }

    /// One batch in flight per lane, whoever owned it.
    fn check_alone(&self, call: &Call) {
        let lanes = self.settings.lanes.per_partition();
        let spots = |call: &Call| -> BTreeSet<(u32, usize)> {
            let of = |record| Spot::of(record, lanes).map(|spot| (spot.partition.index, spot.slot));
            call.records.iter().filter_map(of).collect()
        };
        let here = spots(call);
        for other in self.flying.values() {
            assert!(here.is_disjoint(&spots(other)), "two batches of one lane at once");
        }
    }

    /// Nothing overtakes an unsettled record of its lane.
    fn check_order(&self, call: &Call) {
        let here: BTreeSet<_> = call.records.iter().map(place).collect();
        for (partition, offset) in &here {
            let broker = &self.brokers[&partition.index];
            if broker.epoch != partition.epoch {
                continue;
            }
            for earlier in (broker.committed + 1..*offset).filter(|n| self.slot(*n) == self.slot(*offset)) {
                let place = (*partition, earlier);
                let gone = self.settled.contains(&place) || here.contains(&place);
                assert!(gone || self.may_be_gone((partition.index, earlier)), "{offset} overtook {earlier}");
            }
        }
    }

    fn check_window(&self, call: &Call) {
        let Some(length) = self.settings.lanes.tumbling() else {
            return assert_eq!(call.window, None);
        };
        let window = call.window.as_ref().expect("a window, if there are any");
        assert_eq!(window.start.as_second() % length.as_secs() as i64, 0);
        assert_eq!(window.end.duration_since(window.start).unsigned_abs(), length);
        for record in call.records.iter() {
            assert!(window.start <= record.at && record.at < window.end, "a record of another window");
        }
        if let Some((start, state)) = self.states.get(&call.partition) {
            let expected = if *start == window.start { state } else { &Bytes::from_static(b"{}") };
            assert_eq!(
                &window.state, expected,
                "the state is the last answer's, and a new window's is empty"
            );
        }
    }

    pub fn check_failure(&self, failure: &Failure) {
        assert!(!failure.records.is_empty());
        assert_ne!(self.settings.policy.on_failure, OnFailure::Drop);
        if let Some(retries) = self.settings.policy.retries {
            assert!(failure.tries.attempts <= retries + 1, "more invocations than its retries allow");
        }
        let given_up = |record| self.settled.contains(&place(record));
        assert!(!failure.records.iter().any(given_up), "a settled record was discarded");
    }

    /// What the function's answer means.
    pub fn learn(&mut self, call: &Call, judged: &Judged, state: Option<&Bytes>) {
        let len = call.records.len();
        let failed: Vec<usize> = match judged {
            Judged::Done => Vec::new(),
            Judged::Partial(failed) if self.settings.policy.from_lowest => (failed[0]..len).collect(),
            Judged::Partial(failed) => failed.clone(),
            _ => (0..len).collect(),
        };
        let progress = *judged == Judged::Done || (failed.len() < len && !failed.is_empty());
        let current = self.brokers[&call.partition.index].epoch == call.partition.epoch;
        if let (true, true, Some(window), Some(state)) = (progress, current, &call.window, state) {
            self.states.insert(call.partition, (window.start, state.clone()));
            if window.is_final && *judged == Judged::Done {
                // The next one of these seconds, for what comes late, begins anew.
                self.states.remove(&call.partition);
            }
        }
        if len == 0 && *judged != Judged::Done {
            // Its retries may be used up, or even the state alone be too large: the window closes all the same.
            self.states.remove(&call.partition);
        }
        let policy = &self.settings.policy;
        // Kafka holds what is too large by itself.
        let too_large = *judged == Judged::TooLarge && len == 1 && policy.from_lowest;
        let may_drop = policy.on_failure == OnFailure::Drop && (policy.retries.is_some() || too_large);
        for (index, record) in call.records.iter().enumerate() {
            let (partition, offset) = place(record);
            if !failed.contains(&index) {
                self.settled.insert((partition, offset));
            } else if may_drop {
                self.dropped.insert((partition.index, offset));
                self.states.remove(&partition);
            }
        }
    }

    /// Whether the mapping's own limits allow this record to be gone.
    fn may_be_gone(&self, record: (u32, i64)) -> bool {
        let policy = &self.settings.policy;
        let old = self.now.wall.as_millisecond() - born(record.1).as_millisecond();
        let age = policy.age.is_some_and(|age| old > age.as_millis() as i64);
        self.sent.contains(&record)
            || match policy.on_failure {
                OnFailure::Drop => self.dropped.contains(&record) || age,
                OnFailure::Send => false,
                OnFailure::SendOrDrop => self.dropped.contains(&record),
            }
    }

    pub fn commit(&mut self, partition: Partition, through: Option<Position>) {
        let Some(Position::Offset(through)) = through else { return };
        let broker = &self.brokers[&partition.index];
        if broker.epoch != partition.epoch {
            return;
        }
        for offset in broker.committed + 1..=through {
            let done = (0..=broker.epoch)
                .any(|epoch| self.settled.contains(&(Partition { epoch, ..partition }, offset)));
            assert!(done || self.may_be_gone((partition.index, offset)), "checkpoint passed {offset}");
        }
        // A window that is open holds the checkpoint before its first record.
        if let Some((start, _)) = self.states.get(&partition) {
            // What was filtered out before it is no part of it.
            let mut within = (0..=through).rev().take_while(|offset| born(*offset) >= *start);
            assert!(within.all(filtered), "the checkpoint moved within a window");
        }
        assert!(through >= broker.committed, "a checkpoint never goes back");
        self.brokers.get_mut(&partition.index).unwrap().committed = through;
    }
}
