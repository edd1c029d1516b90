//! How often a shard may be read. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// A service's limits, and our manners within them.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between two reads of a shard at rest.
    pub idle: Duration,
    /// Between two reads of a shard we are behind on.
    pub busy: Duration,
    /// Bytes a shard gives in a second: a larger answer is paid for with a longer wait. `None`: no such limit.
    pub bytes_per_second: Option<u32>,
    /// Reads that found nothing, one after the other, until a shard counts as read to its end (`--once`).
    pub quiet: u32,
}

impl Pace {
    /// When a shard may be read next after a read that began then and brought so much.
    pub(super) fn next(&self, began: Instant, bytes: usize, behind: bool) -> Instant {
        let rest = if behind { self.busy } else { self.idle };
        let paid = self
            .bytes_per_second
            .map_or(Duration::ZERO, |rate| Duration::from_secs_f64(bytes as f64 / f64::from(rate.max(1))));
        began + rest.max(paid)
    }
}

/// The first wait after a failed call; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

/// How long to wait after so many failures in a row; `chance` in 0..1 keeps shards from marching in step.
pub(super) fn backoff(failures: u32, chance: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST);
    doubled.mul_f64(0.75 + chance / 2.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PACE: Pace = Pace {
        idle: Duration::from_secs(1),
        busy: Duration::from_millis(200),
        bytes_per_second: Some(2_000_000),
        quiet: 1,
    };

    #[test]
    fn large_answers_are_paid_for() {
        let now = Instant::now();
        assert_eq!(PACE.next(now, 0, false) - now, Duration::from_secs(1));
        assert_eq!(PACE.next(now, 1000, true) - now, Duration::from_millis(200));
        assert_eq!(PACE.next(now, 10_000_000, true) - now, Duration::from_secs(5));
    }

    proptest! {
        /// Over any run of reads: at most five calls and two megabytes a second (after the one answer that is out).
        #[test]
        fn limits_hold(answers in prop::collection::vec((0_usize..10_000_000, any::<bool>()), 1..50)) {
            let start = Instant::now();
            let (mut at, mut bytes) = (start, 0);
            for (n, (size, behind)) in answers.iter().enumerate() {
                let elapsed = (at - start).as_secs_f64();
                prop_assert!(n as f64 <= elapsed * 5.0 + 0.001);
                prop_assert!(bytes as f64 <= elapsed * 2e6 + 1.0);
                at = PACE.next(at, *size, *behind);
                bytes += size;
            }
        }

        #[test]
        fn back_off_grows_and_is_bounded(failures in 1_u32..1000, chance in 0.0..1.0) {
            let wait = backoff(failures, chance);
            prop_assert!(wait >= FIRST.mul_f64(0.74) && wait <= LONGEST.mul_f64(1.26));
            prop_assert!(backoff(failures + 2, chance) >= wait);
        }
    }
}
