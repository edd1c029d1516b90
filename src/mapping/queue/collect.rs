//! A lane: receive until there is a batch, invoke with it, again.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use klr_contract::{Error, Kind, Record};
use tokio::time::Instant;

use super::{
    Engine, LONG_POLL,
    piece::{Meta, Piece},
};
use crate::{
    mapping::{batch::Room, next::backoff, window},
    pattern::Scratch,
};

/// How long an answer may have been on its way.
const MARGIN: Duration = Duration::from_secs(1);

/// What a lane keeps from one batch to the next.
struct Lane {
    /// When its last invocation ended: the batching window opens then.
    opened: Instant,
    /// What did not fit into the last batch opens the next.
    carry: VecDeque<(Record, Meta)>,
    /// Receives in a row that failed.
    errors: u32,
    /// What the filters work in.
    scratch: Scratch,
}

/// What a lane does next.
enum Step {
    Receive,
    Invoke,
    Park,
}

/// One lane, from waking to parking.
pub(super) async fn lane(engine: &Arc<Engine>) {
    let mut lane =
        Lane { opened: Instant::now(), carry: VecDeque::new(), errors: 0, scratch: Scratch::default() };
    while let Some(piece) = collect(engine, &mut lane).await {
        let complete = engine.invoke(piece).await;
        lane.opened = Instant::now();
        // FIFO: what was received after a failed message would overtake it.
        if !complete && engine.source.fifo() {
            lane.carry.clear();
        }
        let lanes = engine.lanes();
        if lane.carry.is_empty() && lanes.alive > lanes.limit.get() {
            break;
        }
    }
}

async fn collect(engine: &Arc<Engine>, lane: &mut Lane) -> Option<Piece> {
    let settings = &engine.settings;
    let mut room = Room::new(settings.batch_size, settings.budget, &*engine.shape);
    let mut piece = Piece::default();
    fill(engine, lane, &mut room, &mut piece);
    let mut ends = window::end(lane.opened, settings.window, Instant::now());
    loop {
        let step = match piece.is_empty() {
            true => before_the_first(engine).await,
            false if room.full() || !lane.carry.is_empty() || ends <= Instant::now() => Step::Invoke,
            false if engine.usage.spent() || engine.lanes().outage.is_some() => Step::Invoke,
            false => Step::Receive,
        };
        if engine.stop.is_cancelled() {
            lane.carry.drain(..).for_each(|(record, meta)| piece.push(record, meta));
            engine.hand_back(&piece).await;
            return None;
        }
        match step {
            Step::Park => return None,
            Step::Invoke => return Some(piece),
            Step::Receive => {}
        }
        let wait = if piece.is_empty() { LONG_POLL } else { long_poll(ends) };
        let begun = Instant::now();
        match receive(engine, room.left(), wait, piece.is_empty()).await {
            Ok(records) if records.is_empty() => {
                lane.errors = 0;
                if piece.is_empty() && parks_after_nothing(engine, begun) {
                    return None;
                }
            }
            Ok(mut records) => {
                lane.errors = 0;
                sift(engine, lane, &mut records).await;
                if records.is_empty() {
                    engine.wake();
                    continue;
                }
                if piece.is_empty() {
                    ends = window::end(lane.opened, settings.window, Instant::now());
                }
                accept(engine, lane, records, begun);
                fill(engine, lane, &mut room, &mut piece);
                engine.wake();
            }
            Err(error) => {
                if !piece.is_empty() {
                    return Some(piece);
                }
                if parks_after_error(engine, lane, &error).await {
                    return None;
                }
            }
        }
    }
}

/// Whether a lane with nothing in hand may receive.
async fn before_the_first(engine: &Engine) -> Step {
    let (alone, outage) = {
        let lanes = engine.lanes();
        (lanes.alive == 1, lanes.outage)
    };
    match (alone, outage) {
        // The lane that probes is another one, and wakes the others when it is through.
        (false, Some(_)) => Step::Park,
        // Somebody else has a batch, and receives again when it is settled.
        (false, None) if engine.usage.spent() => Step::Park,
        (_, None) => Step::Receive,
        // The batch that probed was let go. Another takes its place, but not at once: each receive counts.
        (true, Some(streak)) => {
            engine.pause(backoff(streak, 0.5)).await;
            Step::Receive
        }
    }
}

async fn receive(
    engine: &Engine,
    max: usize,
    wait: Duration,
    empty_handed: bool,
) -> Result<Vec<Record>, Error> {
    let poll = empty_handed.then(|| engine.lanes().polls.begin());
    let answer = engine.source.receive(max, wait, engine.hide()).await;
    let mut lanes = engine.lanes();
    if let Some(begun) = poll {
        lanes.polls.end(begun);
    }
    if answer.as_ref().is_ok_and(|records| !records.is_empty()) {
        lanes.empty = 0;
    }
    answer
}

/// One lane is enough to wait on an empty queue.
fn parks_after_nothing(engine: &Engine, begun: Instant) -> bool {
    let mut lanes = engine.lanes();
    // Polls that ran side by side were one look at the queue.
    if begun >= lanes.looked {
        lanes.empty += 1;
        lanes.looked = Instant::now();
    }
    if lanes.outage.is_none() {
        engine.status.fine();
    }
    // All others receive as well: nobody has a batch in hand.
    let idle = lanes.alive == lanes.polls.count() + 1;
    if engine.settings.once && lanes.empty >= 2 && idle {
        engine.stop.cancel();
        return true;
    }
    lanes.limit.quiet();
    lanes.polls.count() > 0
}

/// One lane is enough to see whether the queue is back.
async fn parks_after_error(engine: &Engine, lane: &mut Lane, error: &Error) -> bool {
    engine.status.figures.polling_errors.inc();
    let wait = match error.kind() {
        Kind::Stop => {
            engine.halt(&error.to_string());
            return true;
        }
        Kind::Retry { after } => after.unwrap_or_else(|| backoff(lane.errors, 0.5)),
    };
    engine.status.problem(error);
    if engine.lanes().polls.count() > 0 {
        return true;
    }
    lane.errors += 1;
    engine.pause(wait).await;
    false
}

/// Deletes at once what the function is not to see (AWS: nor does its dead-letter queue). What is not deleted comes again,
/// and is looked at again.
async fn sift(engine: &Engine, lane: &mut Lane, records: &mut Vec<Record>) {
    let figures = &engine.status.figures;
    figures.polled.inc_by(records.len() as u64);
    let filtered = engine.filters.take(records, &mut lane.scratch);
    if filtered.is_empty() {
        return;
    }
    figures.filtered.inc_by(filtered.len() as u64);
    match engine.source.delete(&filtered).await {
        Ok(refused) => {
            figures.commit_errors.inc_by(refused.len() as u64);
            if let Some(first) = refused.first() {
                tracing::warn!(mapping = engine.status.name, error = %first.error, "a filtered message was not deleted");
            }
        }
        Err(error) => {
            figures.commit_errors.inc();
            engine.status.problem(&error);
        }
    }
}

/// Takes what came into the lane.
///
/// A queue hides a message when it hands it out, which is as good as when its answer comes: a long poll is answered the
/// moment there is something, so to count from its beginning would throw away every message with a visibility timeout
/// shorter than the poll. The margin is for the answer's way to us.
fn accept(engine: &Engine, lane: &mut Lane, records: Vec<Record>, begun: Instant) {
    let hidden = engine.hide().unwrap_or_else(|| engine.lanes().visibility);
    let margin = begun.elapsed().min(MARGIN).min(hidden / 4);
    let since = Instant::now() - margin;
    if engine.lanes().outage.is_none() {
        engine.status.fine();
    }
    for record in records {
        let charge = engine.usage.charge(record.len());
        lane.carry.push_back((record, Meta { invisible_until: since + hidden, _charge: charge }));
    }
}

fn fill(engine: &Engine, lane: &mut Lane, room: &mut Room, piece: &mut Piece) {
    while let Some((record, meta)) = lane.carry.pop_front() {
        if !room.take(&record, &*engine.shape) {
            lane.carry.push_front((record, meta));
            break;
        }
        piece.push(record, meta);
    }
}

/// The rest of the window in whole seconds, rounded up, as the service counts; at most a long poll.
fn long_poll(ends: Instant) -> Duration {
    let rest = ends.saturating_duration_since(Instant::now());
    Duration::from_secs(rest.as_secs() + u64::from(rest.subsec_nanos() > 0)).min(LONG_POLL)
}

impl Engine {
    /// AWS: with a batching window, messages are hidden for window + function timeout + 30 s if that is more than the
    /// queue's own visibility timeout.
    pub(super) fn hide(&self) -> Option<Duration> {
        let visibility = self.lanes().visibility;
        let (window, timeout) = (self.settings.window, self.timeout());
        (!window.is_zero() && window + timeout > visibility)
            .then_some(window + timeout + Duration::from_secs(30))
    }

    /// How long one invocation may take.
    pub(super) fn timeout(&self) -> Duration {
        self.settings.timeout.unwrap_or_else(|| self.lanes().visibility)
    }

    /// Sleeps, but not past a stop.
    pub(super) async fn pause(&self, wait: Duration) {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.stop.cancelled() => {}
        }
    }
}
