//! Receives under way with nothing in hand, and whether one of them is a long one. Pure.

/// Counts polls, and ages them by the second.
#[derive(Debug, Default)]
pub(super) struct Polls {
    second: u64,
    /// Begun in this second.
    fresh: usize,
    /// Begun before it.
    old: usize,
}

impl Polls {
    /// One more; [`end`](Self::end) wants to have the answer back.
    pub fn begin(&mut self) -> u64 {
        self.fresh += 1;
        self.second
    }

    /// It was answered.
    pub fn end(&mut self, begun: u64) {
        if begun == self.second {
            self.fresh -= 1;
        } else {
            self.old -= 1;
        }
    }

    /// How many are under way.
    pub fn count(&self) -> usize {
        self.fresh + self.old
    }

    /// A second is over. Answers whether all of it went by in some poll: the queue has less than we could take.
    pub fn tick(&mut self) -> bool {
        let long = self.old > 0;
        self.old += std::mem::take(&mut self.fresh);
        self.second += 1;
        long
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_over_a_whole_second_is_a_long_one() {
        let mut polls = Polls::default();
        let (one, two) = (polls.begin(), polls.begin());
        assert!(!polls.tick(), "begun in that second");
        polls.end(one);
        let three = polls.begin();
        assert_eq!(polls.count(), 2);
        assert!(polls.tick());
        polls.end(two);
        polls.end(three);
        assert!(!polls.tick());
        assert_eq!(polls.count(), 0);
    }
}
