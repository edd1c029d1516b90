//! Reads: one task begins them all, when they are due and there is room.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use klr_contract::{Kind, Mark, Partition};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::agenda::Order;
use super::lost::{self, Why};
use super::source::Shared;
use super::{Answer, Failure, Reading, Service, pace};

/// After so many failures in a row of one shard the engine is told, and then each time they have doubled: a shard that
/// others read too is throttled now and then.
const TELL_AFTER: u32 = 3;

/// A read under way.
struct Flight {
    partition: Partition,
    turn: u32,
    behind: bool,
    began: Instant,
}

/// How a read ended.
enum Outcome<C> {
    Read(Result<Answer<C>, Failure>),
    /// The position is lost: on from here.
    Lost(Mark),
}

pub(super) async fn run<S: Service>(shared: Arc<Shared<S>>) {
    let mut reads = JoinSet::new();
    let mut flights: HashMap<Id, Flight> = HashMap::new();
    loop {
        let now = Instant::now();
        let (orders, next) = {
            let mut state = shared.state();
            (state.due(now), state.next_due(now))
        };
        for order in orders {
            let (partition, turn, behind) = (order.reading.partition, order.turn, order.behind);
            let task = reads.spawn(read(Arc::clone(&shared), order));
            flights.insert(task.id(), Flight { partition, turn, behind, began: now });
            shared.state().began(partition, turn, task);
        }
        let due = async {
            match next {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(ended) = reads.join_next_with_id(), if !reads.is_empty() => {
                let (id, outcome) = match ended {
                    Ok((id, outcome)) => (id, Some(outcome)),
                    Err(error) => (error.id(), None),
                };
                if let Some(flight) = flights.remove(&id) {
                    land(&shared, &flight, outcome);
                }
            }
            () = shared.read.notified() => {}
            () = due => {}
        }
    }
}

async fn read<S: Service>(shared: Arc<Shared<S>>, order: Order<S::Cursor>) -> Outcome<S::Cursor> {
    let Order { reading, cursor, mark, .. } = order;
    let result = async {
        let cursor = match cursor {
            Some(cursor) => cursor,
            None => shared.service.seek(&reading, &mark).await?,
        };
        shared.service.read(&reading, cursor).await
    };
    match result.await {
        Err(Failure::Trimmed) => trimmed(&shared, &reading).await,
        result => Outcome::Read(result),
    }
}

/// Where to go on is stored before anything is read there: else a crash would go on somewhere else again.
async fn trimmed<S: Service>(shared: &Arc<Shared<S>>, reading: &Reading) -> Outcome<S::Cursor> {
    let error = lost::report(&shared.settings, Why::Trimmed, &reading.shard);
    let Some(mark) = lost::go_on(shared.settings.on_lost_position, Timestamp::now()) else {
        return Outcome::Read(Err(Failure::Failed(error)));
    };
    shared.state().mark_lost(reading.partition, &mark);
    if let Err(error) = super::pen::flush(shared).await {
        return Outcome::Read(Err(Failure::Failed(error)));
    }
    tracing::warn!(stream = shared.settings.stream, shard = &*reading.shard, %error, "position lost");
    shared.tell(error);
    Outcome::Lost(mark)
}

/// `None`: it was cut off, because it does not count any more (or panicked, and is tried again).
fn land<S: Service>(shared: &Shared<S>, flight: &Flight, outcome: Option<Outcome<S::Cursor>>) {
    let now = Instant::now();
    let chance = shared.chance();
    let mut state = shared.state();
    if !state.landed(flight.partition, flight.turn, flight.behind) {
        return;
    }
    let retry = |failures| now + pace::backoff(failures, chance);
    match outcome {
        None => {
            state.failed(flight.partition, retry);
        }
        Some(Outcome::Lost(mark)) => state.reposition(flight.partition, mark, now),
        Some(Outcome::Read(Ok(answer))) => state.arrived(flight.partition, answer, flight.began),
        // An iterator's own time, behind a closed flow perhaps: once is no failure.
        Some(Outcome::Read(Err(Failure::Expired))) => {
            state.failed(flight.partition, |failures| if failures > 1 { retry(failures) } else { now });
        }
        Some(Outcome::Read(Err(failure))) => {
            let gone = matches!(failure, Failure::Gone(_));
            let error = shared.explain(failure);
            let asked = match error.kind() {
                Kind::Retry { after } => after,
                Kind::Stop => None,
            };
            let due = |failures| asked.map_or_else(|| retry(failures), |after| now + after);
            let failures = state.failed(flight.partition, due);
            tracing::debug!(stream = shared.settings.stream, failures, %error, "a read failed");
            if error.kind() == Kind::Stop || is_telling(failures) {
                state.complain(error);
            }
            if gone {
                shared.look.notify_one();
            }
        }
    }
    drop(state);
    shared.heard.notify_waiters();
}

fn is_telling(failures: u32) -> bool {
    failures.is_multiple_of(TELL_AFTER) && (failures / TELL_AFTER).is_power_of_two()
}
