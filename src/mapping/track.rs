//! How far a partition is done. Pure.

use std::collections::VecDeque;

use klr_contract::Position;

/// The records of one partition and ownership, in order of arrival, each done or not.
///
/// The checkpoint is the end of the done prefix, nothing else: it never passes an unsettled record.
#[derive(Debug, Default)]
pub struct Track {
    /// The arrival number of the first entry.
    first: u64,
    entries: VecDeque<Entry>,
    /// How many of them are records.
    records: usize,
    /// The end of the done prefix.
    through: Option<Position>,
    /// It moved since it was last taken.
    moved: bool,
    /// Records that the prefix has passed since it was last taken.
    passed: u64,
}

/// A record, or a run of places without one.
#[derive(Debug)]
struct Entry {
    /// The last, of a run.
    position: Position,
    done: bool,
    /// Of how many places it is a run.
    run: Option<u64>,
}

impl Track {
    /// A record came; answers its arrival number.
    pub fn arrive(&mut self, position: Position) -> u64 {
        self.entries.push_back(Entry { position, done: false, run: None });
        self.records += 1;
        self.first + self.entries.len() as u64 - 1
    }

    /// The source passed over places up to this one. However many follow each other, they take the memory of one: behind
    /// a record that takes long there may be any number.
    pub fn pass(&mut self, position: Position) {
        match self.entries.back_mut() {
            Some(Entry { position: last, run: Some(run), .. }) => (*last, *run) = (position, *run + 1),
            _ => self.entries.push_back(Entry { position, done: true, run: Some(1) }),
        }
        self.advance();
    }

    /// A record is settled. Settling twice, or what is long done, changes nothing.
    pub fn done(&mut self, arrival: u64) {
        let Some(index) = arrival.checked_sub(self.first) else { return };
        if let Some(entry) = self.entries.get_mut(index as usize) {
            entry.done = true;
            self.advance();
        }
    }

    fn advance(&mut self) {
        while let Some(entry) = self.entries.pop_front_if(|entry| entry.done) {
            self.first += 1;
            self.records -= usize::from(entry.run.is_none());
            self.passed += entry.run.unwrap_or(1);
            self.through = Some(entry.position);
            self.moved = true;
        }
    }

    /// The checkpoint, if it moved since it was last taken.
    pub fn take(&mut self) -> Option<Position> {
        std::mem::take(&mut self.moved).then(|| self.through.clone()).flatten()
    }

    /// What was taken did not become durable: take it again.
    pub fn put_back(&mut self) {
        self.moved = self.through.is_some();
    }

    /// Whether there is a checkpoint to take.
    pub fn moved(&self) -> bool {
        self.moved
    }

    /// Records the checkpoint passed since this was last asked.
    pub fn passed(&mut self) -> u64 {
        std::mem::take(&mut self.passed)
    }

    /// Records past the checkpoint.
    pub fn len(&self) -> usize {
        self.records
    }

    /// Whether everything that came is done.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_passed_over_takes_no_room_and_is_counted() {
        let mut track = Track::default();
        let first = track.arrive(Position::Offset(0));
        (1..1000).for_each(|at| track.pass(Position::Offset(at)));
        let last = track.arrive(Position::Offset(1000));
        assert_eq!((track.len(), track.entries.len()), (2, 3));
        track.done(last);
        assert_eq!(track.take(), None);
        track.done(first);
        assert_eq!((track.take(), track.passed()), (Some(Position::Offset(1000)), 1001));
        track.pass(Position::Offset(1001));
        assert!(track.is_empty() && track.take() == Some(Position::Offset(1001)));
    }

    proptest! {
        /// A checkpoint never passes an unsettled record, and reaches the end once all are settled, in any order.
        #[test]
        fn the_checkpoint_is_the_end_of_the_done_prefix(order in Just((0..40u64).collect::<Vec<_>>()).prop_shuffle()) {
            let mut track = Track::default();
            for n in 0..40 {
                prop_assert_eq!(track.arrive(Position::Offset(n * 3)), n as u64);
            }
            let mut done = [false; 40];
            for arrival in order {
                track.done(arrival);
                done[arrival as usize] = true;
                let prefix = done.iter().take_while(|d| **d).count();
                let expected = (prefix > 0).then(|| Position::Offset((prefix as i64 - 1) * 3));
                prop_assert_eq!(track.through.clone(), expected);
                prop_assert_eq!(track.len(), 40 - prefix);
            }
            prop_assert_eq!(track.take(), Some(Position::Offset(39 * 3)));
            prop_assert_eq!(track.take(), None);
            track.put_back();
            prop_assert_eq!(track.take(), Some(Position::Offset(39 * 3)));
        }
    }
}
