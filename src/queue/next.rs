//! What becomes of an event, decided (spec/async.md §1). Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    event::{Answer, Condition, Errand, Verdict},
    policy::{Outcome, Settings},
};

/// How long is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delays {
    /// After the first function error; twice as long after the second. AWS: a minute.
    pub retry: Duration,
    /// After the first throttle, and the first failed call of a destination; doubling. AWS: a second.
    pub first: Duration,
    /// As far as it doubles. AWS: five minutes.
    pub longest: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            retry: Duration::from_secs(60),
            first: Duration::from_secs(1),
            longest: Duration::from_secs(300),
        }
    }
}

impl Delays {
    /// After so many in a row, at least one.
    pub fn back_off(&self, times: u32) -> Duration {
        let doubled = 2u32.saturating_pow(times.saturating_sub(1));
        self.first.saturating_mul(doubled).min(self.longest)
    }
}

/// An event that waits for an attempt.
#[derive(Debug, Clone)]
pub struct Tries {
    /// When it was taken in.
    pub accepted: Timestamp,
    /// Attempts spent.
    pub attempts: u32,
    /// What the function said last.
    pub last: Option<Answer>,
}

/// What to do with it.
#[derive(Debug, Clone)]
pub enum Next {
    /// It is over.
    Over(Verdict),
    /// Another attempt, not before `due`.
    Again {
        /// With this much behind it.
        tries: Tries,
        /// When.
        due: Timestamp,
    },
    /// The same attempt once more, when its function takes events again.
    Later {
        /// Asked for.
        after: Option<Duration>,
    },
}

/// Before an attempt: whether there is to be one.
pub fn before(settings: &Settings, tries: &Tries, now: Timestamp) -> Option<Verdict> {
    if settings.paused {
        return Some(over(tries, Condition::ZeroReservedConcurrency, now));
    }
    exceeded(settings, tries, Duration::ZERO, now).then(|| over(tries, Condition::EventAgeExceeded, now))
}

/// After an attempt. `wait` is how long the function's events wait now if it was throttled.
///
/// AWS checks the age ahead: an event that would be too old by its next attempt is given up at once.
pub fn after(
    settings: &Settings,
    delays: &Delays,
    tries: Tries,
    outcome: Outcome,
    wait: Duration,
    now: Timestamp,
) -> Next {
    let (version, error, reply) = match outcome {
        Outcome::Success { version, reply } => (version, None, reply),
        Outcome::Error { version, kind, reply } => (version, Some(kind), reply),
        Outcome::Gone => return Next::Over(over(&tries, Condition::FunctionGone, now)),
        Outcome::Throttled { after } => {
            return later(settings, &tries, after, after.map_or(wait, |after| after.max(wait)), now);
        }
        Outcome::Unreachable(_) => return later(settings, &tries, None, wait, now),
    };
    let failed = error.is_some();
    let tries = Tries {
        attempts: tries.attempts.saturating_add(1),
        last: Some(Answer::new(version, error, &reply)),
        ..tries
    };
    if !failed {
        return Next::Over(over(&tries, Condition::Success, now));
    }
    if tries.attempts > settings.retries {
        return Next::Over(over(&tries, Condition::RetriesExhausted, now));
    }
    let wait = delays.retry.saturating_mul(tries.attempts);
    if exceeded(settings, &tries, wait, now) {
        return Next::Over(over(&tries, Condition::EventAgeExceeded, now));
    }
    Next::Again { tries, due: plus(now, wait) }
}

fn later(
    settings: &Settings,
    tries: &Tries,
    after: Option<Duration>,
    wait: Duration,
    now: Timestamp,
) -> Next {
    if exceeded(settings, tries, wait, now) {
        return Next::Over(over(tries, Condition::EventAgeExceeded, now));
    }
    Next::Later { after }
}

/// Whether it is too old once `wait` has passed.
fn exceeded(settings: &Settings, tries: &Tries, wait: Duration, now: Timestamp) -> bool {
    let age = now.duration_since(tries.accepted);
    // A clock that was set back makes nothing younger than new.
    let age = Duration::try_from(age.max(SignedDuration::ZERO)).unwrap_or_default();
    age.saturating_add(wait) > settings.age
}

fn over(tries: &Tries, condition: Condition, now: Timestamp) -> Verdict {
    Verdict { condition, attempts: tries.attempts, at: now, answer: tries.last.clone() }
}

/// Where a verdict goes. The on-failure destination comes first, the dead-letter queue after it.
pub fn errands(settings: &Settings, condition: Condition) -> Vec<Errand> {
    let targets = match condition {
        Condition::Success => [settings.on_success.as_ref().map(|_| Errand::Destination), None],
        _ => [
            settings.on_failure.as_ref().map(|_| Errand::Destination),
            settings.dead_letter.as_ref().map(|_| Errand::DeadLetter),
        ],
    };
    targets.into_iter().flatten().collect()
}

/// When to try once more to deliver a verdict after so many failed tries. `None`: it is given up. AWS does not say how
/// long it tries; here it is as long as an event may be old.
pub fn redeliver(
    settings: &Settings,
    delays: &Delays,
    verdict: &Verdict,
    tries: u32,
    now: Timestamp,
) -> Option<Timestamp> {
    let due = plus(now, delays.back_off(tries));
    let late = SignedDuration::try_from(settings.age).unwrap_or(SignedDuration::MAX);
    (due.duration_since(verdict.at) <= late).then_some(due)
}

/// Later, as far as there are times.
pub(super) fn plus(now: Timestamp, wait: Duration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn tries(attempts: u32) -> Tries {
        Tries { accepted: at(0), attempts, last: None }
    }

    fn settings(retries: u32, age: u64) -> Settings {
        Settings { retries, age: Duration::from_secs(age), ..Settings::default() }
    }

    fn error() -> Outcome {
        Outcome::Error {
            version: "7".to_owned(),
            kind: "Unhandled".to_owned(),
            reply: Bytes::from_static(br#"{"errorMessage":"no"}"#),
        }
    }

    fn next(settings: &Settings, tries: Tries, outcome: Outcome, now: i64) -> Next {
        after(settings, &Delays::default(), tries, outcome, SECOND, at(now))
    }

    #[test]
    fn an_error_is_retried_after_a_minute_and_after_two() {
        let settings = settings(2, 21_600);
        let Next::Again { tries, due } = next(&settings, tries(0), error(), 1) else { panic!() };
        assert_eq!((tries.attempts, due), (1, at(61)));
        let Next::Again { tries, due } = next(&settings, tries, error(), 62) else { panic!() };
        assert_eq!((tries.attempts, due), (2, at(182)));
        let Next::Over(verdict) = next(&settings, tries, error(), 183) else { panic!() };
        assert_eq!((verdict.condition, verdict.attempts), (Condition::RetriesExhausted, 3));
        let answer = verdict.answer.unwrap();
        assert_eq!((answer.version.as_str(), answer.error.as_deref()), ("7", Some("Unhandled")));
    }

    /// AWS, recorded: with an age of 60 s the first error ends it, with 90 s one retry happens.
    #[test]
    fn the_age_is_checked_ahead() {
        let Next::Over(verdict) = next(&settings(2, 60), tries(0), error(), 1) else { panic!() };
        assert_eq!((verdict.condition, verdict.attempts), (Condition::EventAgeExceeded, 1));
        assert!(verdict.answer.is_some(), "with the last error");
        let settings = settings(2, 90);
        let Next::Again { tries, due } = next(&settings, tries(0), error(), 1) else { panic!() };
        assert_eq!(due, at(61));
        let Next::Over(verdict) = next(&settings, tries, error(), 62) else { panic!() };
        assert_eq!((verdict.condition, verdict.attempts), (Condition::EventAgeExceeded, 2));
        // Retries are counted first.
        let Next::Over(verdict) = next(&self::settings(0, 60), self::tries(0), error(), 1) else { panic!() };
        assert_eq!(verdict.condition, Condition::RetriesExhausted);
    }

    #[test]
    fn a_throttle_spends_nothing() {
        let throttled = || Outcome::Throttled { after: None };
        assert!(matches!(next(&settings(0, 60), tries(0), throttled(), 59), Next::Later { after: None }));
        let gone = Outcome::Unreachable("nobody".to_owned());
        let Next::Over(verdict) = next(&settings(0, 60), tries(0), gone, 60) else { panic!() };
        assert_eq!((verdict.condition, verdict.attempts), (Condition::EventAgeExceeded, 0));
        assert!(verdict.answer.is_none());
        let long = Outcome::Throttled { after: Some(70 * SECOND) };
        assert!(matches!(next(&settings(0, 60), tries(0), long, 0), Next::Over(_)), "later than it may be");
    }

    #[test]
    fn no_concurrency_no_attempt() {
        let paused = Settings { paused: true, ..settings(2, 60) };
        let verdict = before(&paused, &tries(0), at(1)).unwrap();
        assert_eq!((verdict.condition, verdict.attempts), (Condition::ZeroReservedConcurrency, 0));
        assert!(verdict.answer.is_none());
        assert!(before(&settings(2, 60), &tries(0), at(60)).is_none());
        assert_eq!(
            before(&settings(2, 60), &tries(0), at(61)).unwrap().condition,
            Condition::EventAgeExceeded
        );
        assert!(before(&settings(2, 60), &tries(0), at(-100)).is_none(), "a clock that was set back");
    }

    #[test]
    fn both_are_told_of_a_failure() {
        let all = Settings {
            on_success: Some("s".to_owned()),
            on_failure: Some("f".to_owned()),
            dead_letter: Some("d".to_owned()),
            ..Settings::default()
        };
        assert_eq!(errands(&all, Condition::Success), [Errand::Destination]);
        assert_eq!(errands(&all, Condition::EventAgeExceeded), [Errand::Destination, Errand::DeadLetter]);
        assert!(errands(&Settings::default(), Condition::Success).is_empty());
    }

    proptest! {
        /// However an event fares, it is over: after so many attempts, and not later than its age and one wait.
        #[test]
        fn every_event_ends(
            retries in 0u32..3,
            age in 60u64..21_600,
            kinds in proptest::collection::vec(0u8..3, 1..200),
            spent in 0i64..900,
        ) {
            let settings = settings(retries, age);
            let (mut tries, mut now, mut throttles) = (tries(0), at(0), 0);
            let mut kinds = kinds.into_iter().cycle();
            let verdict = loop {
                if let Some(verdict) = before(&settings, &tries, now) {
                    break verdict;
                }
                now = plus(now, Duration::from_secs(spent.unsigned_abs()));
                let outcome = match kinds.next() {
                    Some(0) => Outcome::Throttled { after: None },
                    Some(1) => Outcome::Unreachable(String::new()),
                    _ => error(),
                };
                let delays = Delays::default();
                throttles += 1;
                let wait = delays.back_off(throttles);
                prop_assert!(wait <= delays.longest && wait >= delays.first);
                match after(&settings, &delays, tries.clone(), outcome, wait, now) {
                    Next::Over(verdict) => break verdict,
                    Next::Again { tries: more, due } => {
                        prop_assert_eq!(more.attempts, tries.attempts + 1);
                        prop_assert!(due.duration_since(at(0)).as_secs() <= i64::try_from(age).unwrap());
                        (tries, now, throttles) = (more, due, 0);
                    }
                    Next::Later { .. } => now = plus(now, wait),
                }
            };
            prop_assert!(verdict.attempts <= retries + 1);
            prop_assert!(now.duration_since(at(0)).as_secs() <= i64::try_from(age).unwrap() + spent);
            match verdict.condition {
                Condition::RetriesExhausted => prop_assert_eq!(verdict.attempts, retries + 1),
                condition => prop_assert_eq!(condition, Condition::EventAgeExceeded),
            }
        }
    }
}
