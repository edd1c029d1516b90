//! How many lanes a queue mapping may have. Pure.

/// AWS: a mapping starts with five concurrent batches …
const START: usize = 5;
/// … adds up to 300 concurrent invocations a minute …
const STEP: usize = 5;
/// … and ends at 1,250 unless `MaximumConcurrency` says less.
const CEILING: usize = 1250;
/// AWS: it may drop to two.
const FLOOR: usize = 2;

/// The number of lanes allowed now.
#[derive(Debug, Clone)]
pub struct Limit {
    now: usize,
    ceiling: usize,
    /// AWS: with `ReportBatchItemFailures` a mapping does not scale down on failures.
    report: bool,
}

impl Limit {
    /// At the start, or when quiet.
    pub fn new(maximum_concurrency: Option<usize>, report: bool) -> Self {
        let ceiling = maximum_concurrency.unwrap_or(CEILING);
        Self { now: START.min(ceiling), ceiling, report }
    }

    /// Lanes allowed.
    pub fn get(&self) -> usize {
        self.now
    }

    /// A second in which every lane was busy.
    pub fn grow(&mut self) {
        self.now = (self.now + STEP).min(self.ceiling);
    }

    /// The function was throttled.
    pub fn throttled(&mut self) {
        self.now = (self.now / 2).max(FLOOR.min(self.ceiling));
    }

    /// The function failed.
    pub fn failed(&mut self) {
        if !self.report {
            self.now = (self.now - 1).max(FLOOR.min(self.ceiling));
        }
    }

    /// The queue is empty.
    pub fn quiet(&mut self) {
        self.now = START.min(self.ceiling);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_from_five_by_five_to_its_ceiling() {
        let mut limit = Limit::new(Some(12), false);
        let mut seen = vec![limit.get()];
        for _ in 0..3 {
            limit.grow();
            seen.push(limit.get());
        }
        assert_eq!(seen, [5, 10, 12, 12]);
        let mut limit = Limit::new(None, false);
        (0..1000).for_each(|_| limit.grow());
        assert_eq!(limit.get(), 1250);
    }

    #[test]
    fn throttles_halve_and_failures_take_one_but_never_below_two() {
        let mut limit = Limit::new(None, false);
        limit.failed();
        assert_eq!(limit.get(), 4);
        (0..9).for_each(|_| limit.throttled());
        assert_eq!(limit.get(), 2);
        limit.failed();
        assert_eq!(limit.get(), 2);
        limit.quiet();
        assert_eq!(limit.get(), 5);
    }

    #[test]
    fn a_mapping_that_reports_failures_is_not_scaled_down_by_them() {
        let mut limit = Limit::new(None, true);
        limit.failed();
        assert_eq!(limit.get(), 5);
    }
}
