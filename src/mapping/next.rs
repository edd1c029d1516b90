//! What becomes of a piece of a batch after an answer. Pure.

use std::time::Duration;

use klr_contract::{Record, Shape};
use uuid::Uuid;

use crate::deliver::{
    Outcome,
    reply::{self, Failed},
};

/// What a mapping does about failures.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// `ReportBatchItemFailures`.
    pub report: bool,
    /// `MaximumRetryAttempts`; `None` retries until success.
    pub retries: Option<u32>,
    /// `MaximumRecordAgeInSeconds`.
    pub age: Option<Duration>,
    /// `BisectBatchOnFunctionError`.
    pub bisect: bool,
    /// A partial response is a checkpoint: the lowest record it lists and everything after it comes again (Kinesis,
    /// DynamoDB). Else only the listed ones do (Kafka).
    pub from_lowest: bool,
    /// Where what is given up goes.
    pub on_failure: OnFailure,
}

/// What becomes of records that are given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// There is no destination: they are dropped, and counted.
    #[default]
    Drop,
    /// To the destination, however long it takes.
    Send,
    /// To the destination; what it does not take is dropped, and counted, as AWS does.
    SendOrDrop,
}

/// An outcome, with the reply read.
#[derive(Debug, Clone, PartialEq)]
pub enum Judged {
    /// Everything succeeded.
    Done,
    /// These records failed (indices, ascending), the others succeeded.
    Partial(Vec<usize>),
    /// The batch failed as a whole.
    Failed(&'static str),
    /// The function ran, and its partial response cannot be trusted: the batch failed as a whole.
    Misreported(&'static str),
    /// The connection was lost after sending.
    Broken,
    /// The batch is more than the target takes.
    TooLarge,
    /// The target will never take the batch.
    Rejected,
    /// Not now.
    Throttled(Option<Duration>),
    /// Nobody there.
    Unreachable(String),
    /// The mapping needs the function's answer, and it went to somebody else.
    Unanswered,
}

/// Reads the reply, where the mapping asks for it.
pub fn judge(policy: &Policy, outcome: Outcome, batch: &[Record], shape: &dyn Shape) -> Judged {
    match outcome {
        Outcome::Done(body) if policy.report => match reply::parse(&body, batch, shape) {
            Failed::None => Judged::Done,
            Failed::Some(failed) => Judged::Partial(failed),
            Failed::All(why) => Judged::Misreported(why),
        },
        Outcome::Elsewhere if policy.report => Judged::Unanswered,
        Outcome::Done(_) | Outcome::Accepted | Outcome::Elsewhere => Judged::Done,
        Outcome::FunctionError => Judged::Failed("the function failed"),
        Outcome::TimedOut => Judged::Failed("the function timed out"),
        Outcome::Broken => Judged::Broken,
        Outcome::TooLarge => Judged::TooLarge,
        Outcome::Rejected => Judged::Rejected,
        Outcome::Throttled { after } => Judged::Throttled(after),
        Outcome::Unreachable(why) => Judged::Unreachable(why),
    }
}

/// What has happened to a piece so far. Kept in memory only: a restart begins anew, as AWS's pollers do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tries {
    /// Function errors, what `MaximumRetryAttempts` counts, and `approximateInvokeCount` in a failure record. AWS: starts afresh
    /// when a partial response makes progress.
    pub attempts: u32,
    /// Answers in a row that were no success: what the back-off grows with.
    pub streak: u32,
    /// The last answer was a lost connection.
    pub broken: bool,
    /// The last failure was a partial response, were it one that cannot be read, not a function error.
    pub reported: bool,
    /// What the function knew the last invocation by, as far as is known: a failure record names it.
    pub request: Option<Uuid>,
}

impl Tries {
    /// A new count of attempts.
    pub fn afresh(self) -> Self {
        Self { request: self.request, ..Self::default() }
    }
}

/// Why a piece is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUp {
    /// AWS: condition `RetryAttemptsExhausted`.
    RetryAttemptsExhausted,
    /// AWS: condition `RecordAgeExceeded`.
    RecordAgeExceeded,
    /// AWS: condition `MaximumPayloadSizeExceeded`.
    MaximumPayloadSizeExceeded,
    /// It could not be shaped.
    Unreadable,
}

/// What to do with a piece of a log's batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Settled.
    Done,
    /// The listed records (indices) are the piece now, the others are settled. A new count of attempts.
    Shrink(Vec<usize>, Duration),
    /// Two halves, floor(n/2) first, each with a new count of attempts.
    Split(Duration),
    /// The same again.
    Again(Tries, Duration),
    /// To the failure path.
    Discard(GivenUp, Tries),
    /// A person must change something before this mapping can go on.
    Halt,
}

/// Decides for a log's piece of `len` records. `jitter` is in 0..1.
pub fn next(policy: &Policy, len: usize, tries: Tries, judged: &Judged, jitter: f64) -> Next {
    // Most pieces are done, and wait for nothing.
    if *judged == Judged::Done {
        return Next::Done;
    }
    let wait = backoff(tries.streak, jitter);
    let again = |attempts, broken, wait| {
        Next::Again(Tries { attempts, streak: tries.streak.saturating_add(1), broken, ..tries }, wait)
    };
    match judged {
        Judged::Done => Next::Done,
        Judged::Partial(failed) => match rest(policy, failed, len) {
            rest if rest.len() < len => Next::Shrink(rest, backoff(0, jitter)),
            // No progress: the count goes on.
            _ => spend(policy, Tries { reported: true, ..tries }, wait),
        },
        Judged::Failed(_) => whole_batch(policy, len, Tries { reported: false, ..tries }, wait),
        Judged::Misreported(_) => whole_batch(policy, len, Tries { reported: true, ..tries }, wait),
        Judged::Broken if tries.broken => whole_batch(policy, len, Tries { reported: false, ..tries }, wait),
        Judged::Broken => again(tries.attempts, true, wait),
        Judged::Throttled(after) => {
            again(tries.attempts, tries.broken, throttled(*after, tries.streak, jitter))
        }
        Judged::Unreachable(_) => again(tries.attempts, tries.broken, wait.min(PROBE)),
        Judged::TooLarge if len > 1 => Next::Split(Duration::ZERO),
        Judged::TooLarge => Next::Discard(GivenUp::MaximumPayloadSizeExceeded, tries),
        Judged::Rejected => Next::Discard(GivenUp::RetryAttemptsExhausted, tries),
        Judged::Unanswered => Next::Halt,
    }
}

/// How long a throttled batch waits: as it was asked to, but never not at all, and no longer than any back-off. Nothing is looked
/// at meanwhile, not even its age.
pub fn throttled(asked: Option<Duration>, streak: u32, jitter: f64) -> Duration {
    asked.map_or_else(|| backoff(streak, jitter), |asked| asked.clamp(backoff(0, jitter), LONGEST))
}

fn whole_batch(policy: &Policy, len: usize, tries: Tries, wait: Duration) -> Next {
    if policy.bisect && len > 1 {
        return Next::Split(wait);
    }
    spend(policy, tries, wait)
}

/// AWS: N retries are at most 1 + N invocations.
fn spend(policy: &Policy, tries: Tries, wait: Duration) -> Next {
    let tries = Tries {
        attempts: tries.attempts.saturating_add(1),
        streak: tries.streak.saturating_add(1),
        broken: false,
        ..tries
    };
    match policy.retries {
        Some(retries) if tries.attempts > retries => Next::Discard(GivenUp::RetryAttemptsExhausted, tries),
        _ => Next::Again(tries, wait),
    }
}

/// What comes again of a batch of `len` after a partial response.
fn rest(policy: &Policy, failed: &[usize], len: usize) -> Vec<usize> {
    match failed.first() {
        Some(lowest) if policy.from_lowest => (*lowest..len).collect(),
        _ => failed.to_vec(),
    }
}

/// An unreachable sink costs nothing but a connection: it is probed at least this often, so that a long outage does not
/// leave a minute of silence behind it.
pub const PROBE: Duration = Duration::from_secs(5);

/// The longest back-off, before its jitter.
const LONGEST: Duration = Duration::from_secs(60);

/// 250 ms doubling to 60 s, give or take a tenth.
pub fn backoff(streak: u32, jitter: f64) -> Duration {
    let base = Duration::from_millis(250) * 2u32.pow(streak.min(8));
    base.min(LONGEST).mul_f64(0.9 + 0.2 * jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: Judged = Judged::Failed("x");

    fn tries(attempts: u32) -> Tries {
        Tries { attempts, ..Tries::default() }
    }

    #[test]
    fn n_retries_are_at_most_n_plus_one_invocations() {
        let policy = Policy { retries: Some(2), ..Policy::default() };
        let mut now = Tries::default();
        let mut invocations = 0;
        loop {
            invocations += 1;
            match next(&policy, 3, now, &FAILED, 0.5) {
                Next::Again(tries, _) => now = tries,
                other => {
                    let exhausted = |next| matches!(next, Next::Discard(GivenUp::RetryAttemptsExhausted, _));
                    break assert!(exhausted(other));
                }
            }
        }
        assert_eq!(invocations, 3);
    }

    #[test]
    fn throttles_and_unreachable_sinks_spend_no_attempt() {
        let policy = Policy { retries: Some(0), ..Policy::default() };
        for judged in [Judged::Throttled(None), Judged::Unreachable("x".into()), Judged::Broken] {
            let Next::Again(after, _) = next(&policy, 1, tries(0), &judged, 0.5) else {
                panic!("{judged:?}")
            };
            assert_eq!(after.attempts, 0);
        }
    }

    #[test]
    fn a_second_lost_connection_in_a_row_is_a_function_error() {
        let policy = Policy { retries: Some(5), ..Policy::default() };
        let Next::Again(first, _) = next(&policy, 1, tries(0), &Judged::Broken, 0.5) else { panic!() };
        let Next::Again(second, _) = next(&policy, 1, first, &Judged::Broken, 0.5) else { panic!() };
        assert_eq!((first.attempts, second.attempts), (0, 1));
    }

    #[test]
    fn bisect_halves_before_it_counts() {
        let policy = Policy { retries: Some(0), bisect: true, ..Policy::default() };
        assert!(matches!(next(&policy, 2, tries(0), &FAILED, 0.5), Next::Split(_)));
        let alone = next(&policy, 1, tries(0), &FAILED, 0.5);
        assert!(matches!(alone, Next::Discard(GivenUp::RetryAttemptsExhausted, _)));
    }

    #[test]
    fn a_partial_response_without_progress_counts() {
        let policy = Policy { retries: Some(0), report: true, ..Policy::default() };
        assert!(matches!(next(&policy, 2, tries(0), &Judged::Partial(vec![1]), 0.5), Next::Shrink(..)));
        assert!(matches!(next(&policy, 2, tries(0), &Judged::Partial(vec![0, 1]), 0.5), Next::Discard(..)));
    }

    /// AWS: `functionError` is null in the failure record then, as recorded.
    #[test]
    fn a_response_that_cannot_be_trusted_is_no_function_error() {
        let policy = Policy { retries: Some(0), report: true, ..Policy::default() };
        let reported = |judged| match next(&policy, 1, tries(0), &judged, 0.5) {
            Next::Discard(GivenUp::RetryAttemptsExhausted, tries) => tries.reported,
            other => panic!("{other:?}"),
        };
        assert!(reported(Judged::Misreported("x")) && !reported(FAILED));
    }

    #[test]
    fn back_off_doubles_to_a_minute() {
        let seconds: Vec<f64> = (0..10).map(|n| backoff(n, 0.5).as_secs_f64()).collect();
        assert_eq!(seconds, [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
    }
}
