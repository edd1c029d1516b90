//! The batching window. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// When the window that a record falls into ends.
///
/// AWS: for SQS, Kinesis, DynamoDB and Kafka the window opens when the previous invocation has completed, not at the first
/// record; a window that runs out empty is followed by the next at once.
pub fn end(opened: Instant, window: Duration, first_record: Instant) -> Instant {
    if window.is_zero() {
        return first_record;
    }
    let waited = first_record.saturating_duration_since(opened);
    let rest = window.as_nanos() - waited.as_nanos() % window.as_nanos();
    first_record + Duration::from_nanos(u64::try_from(rest).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_opens_when_the_last_invocation_ended_and_reopens_when_it_ran_out_empty() {
        let opened = Instant::now();
        let at = |seconds| opened + Duration::from_secs(seconds);
        let window = Duration::from_secs(5);
        for (first, ends) in [(0, 5), (3, 5), (4, 5), (5, 10), (12, 15)] {
            assert_eq!(end(opened, window, at(first)), at(ends), "first record at {first}");
        }
        assert_eq!(end(opened, Duration::ZERO, at(7)), at(7));
    }
}
