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
    entries: VecDeque<(Position, bool)>,
    /// The end of the done prefix.
    through: Option<Position>,
    /// It moved since it was last taken.
    moved: bool,
    /// Records that the prefix has passed since it was last taken.
    passed: u64,
}

impl Track {
    /// A record came; answers its arrival number.
    pub fn arrive(&mut self, position: Position) -> u64 {
        self.entries.push_back((position, false));
        self.first + self.entries.len() as u64 - 1
    }

    /// The source passed over places up to this one.
    pub fn pass(&mut self, position: Position) {
        self.entries.push_back((position, true));
        self.advance();
    }

    /// A record is settled. Settling twice, or what is long done, changes nothing.
    pub fn done(&mut self, arrival: u64) {
        let Some(index) = arrival.checked_sub(self.first) else { return };
        if let Some(entry) = self.entries.get_mut(index as usize) {
            entry.1 = true;
            self.advance();
        }
    }

    fn advance(&mut self) {
        while self.entries.front().is_some_and(|(_, done)| *done) {
            if let Some((position, _)) = self.entries.pop_front() {
                self.first += 1;
                self.passed += 1;
                self.through = Some(position);
                self.moved = true;
            }
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
        self.entries.len()
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
