//! Performs what the log's state machine says. The only part of a log mapping that waits.

mod errand;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod simulation;

use std::{sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt};
use klr_contract::{Arrival, Error, Kind, Log as Source, Partition, Position, Shape};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    Ending, Filters, Means, Settings, Status, Stop,
    buffer::Usage,
    log::{Action, Input, Log, Now},
    next::{Judged, backoff},
};
use crate::{
    deliver::{Invoker, failure::Delivery},
    pattern::Scratch,
};
use errand::{Answer, Errand};

/// Checkpoints are written at most ten times a second: after a crash what was settled later is delivered again.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(100);
/// How often the lag is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What a source may take to make the last checkpoints durable, and to be left.
const LAST_CALL: Duration = Duration::from_secs(5);
/// `--once`: a member of a group that is dealt nothing for so long has nothing to drain. Longer than a rebalance takes that
/// nobody holds up.
const DEALT_WITHIN: Duration = Duration::from_secs(15);

struct Drive {
    settings: Settings,
    source: Arc<dyn Source>,
    shape: Arc<dyn Shape>,
    filters: Arc<Filters>,
    scratch: Scratch,
    invoker: Arc<dyn Invoker>,
    destination: Option<Arc<Delivery>>,
    status: Arc<Status>,
    usage: Usage,
    log: Log,
    tasks: JoinSet<Answer>,
    /// What is out of each flight, so that a panic can be laid at its door.
    flights: Vec<(tokio::task::Id, AbortHandle, u64, Errand)>,
    checkpoint: Option<BoxFuture<'static, Checkpointed>>,
    next_checkpoint: Instant,
    /// When the lag is looked at next.
    next_look: Instant,
    /// No read before then: the last one failed.
    quiet_until: Instant,
    errors: u32,
    /// We had partitions.
    gained: bool,
    /// Some were lost since we were last dealt any: what was lost before its end has to come again, here or elsewhere.
    lost: bool,
    /// Since when the source is reached and has dealt us nothing.
    waiting: Option<Instant>,
    given_up: u64,
    halted: Option<String>,
}

type Checkpointed = (Vec<(Partition, Position)>, Result<(), Error>);

/// Runs the mapping until it is stopped, exhausted (`once`) or cannot go on.
pub(super) async fn run(source: Box<dyn Source>, means: Means, stop: Stop) -> Ending {
    let Means { settings, shape, filters, invoker, destination, status, usage } = means;
    let seed = status
        .name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let now = Instant::now();
    let mut drive = Drive {
        log: Log::new(settings.clone(), Arc::clone(&shape), usage.share(), seed),
        settings,
        source: Arc::from(source),
        shape,
        filters,
        scratch: Scratch::default(),
        invoker,
        destination,
        status,
        usage,
        tasks: JoinSet::new(),
        flights: Vec::new(),
        checkpoint: None,
        next_checkpoint: now,
        next_look: now,
        quiet_until: now,
        errors: 0,
        gained: false,
        lost: false,
        waiting: None,
        given_up: 0,
        halted: None,
    };
    drive.flow(stop.token()).await;
    if let Some(why) = &drive.halted {
        drive.status.halted(why);
    }
    // Draining lets go of what is held, and of the reason with it.
    let held = drive.log.problem().map(str::to_owned);
    drive.drain(&stop).await;
    drive.ending(held)
}

impl Drive {
    /// Until it is time to stop.
    async fn flow(&mut self, stop: &CancellationToken) {
        let source = Arc::clone(&self.source);
        while self.halted.is_none() && !self.exhausted() {
            let want = self.log.want();
            let deaf = self.quiet_until > Instant::now();
            let wake_at = self.wake_at();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                // Finishing before starting: this is what bounds memory.
                Some(answer) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => self.answered(answer),
                result = checkpointed(&mut self.checkpoint) => self.checkpointed(result),
                () = tokio::time::sleep_until(wake_at) => self.tick(),
                arrivals = source.next(want), if !deaf => self.arrived(arrivals),
            }
            self.begin_checkpoint();
        }
    }

    /// Lets go of everything: back-offs are cut, invocations awaited until they have had their time, and what is done by then
    /// made durable, which has the drain timeout at most.
    async fn drain(&mut self, stop: &Stop) {
        self.step(Input::Stop);
        let drain = self.settings.drain;
        let mut out_of_time = std::pin::pin!(stop.out_of_time(drain));
        let invoked = self.settle(|drive| !drive.invokes(), out_of_time.as_mut()).await;
        if !invoked || !self.settle(Self::is_settled, sooner(out_of_time, drain)).await {
            tracing::warn!(
                mapping = self.status.name,
                "drain timeout: what is not settled will be delivered again"
            );
            for (_, task, flight, errand) in std::mem::take(&mut self.flights) {
                task.abort();
                self.forget(flight, errand, Judged::Throttled(None));
            }
            self.settle(Self::is_settled, tokio::time::sleep(LAST_CALL)).await;
        }
        match tokio::time::timeout(LAST_CALL, self.source.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(mapping = self.status.name, %error, "the source was not left in order");
            }
            Err(_) => tracing::warn!(mapping = self.status.name, "the source did not let us leave in time"),
        }
    }

    /// Waits until it is `settled`. `false`: not in time.
    async fn settle(
        &mut self,
        settled: impl Fn(&Self) -> bool,
        out_of_time: impl Future<Output = ()>,
    ) -> bool {
        let mut out_of_time = std::pin::pin!(out_of_time);
        while !settled(self) {
            tokio::select! {
                biased;
                Some(answer) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => self.answered(answer),
                result = checkpointed(&mut self.checkpoint) => self.checkpointed(result),
                () = out_of_time.as_mut() => return false,
            }
        }
        true
    }

    /// Nothing is outstanding.
    fn is_settled(&self) -> bool {
        self.tasks.is_empty() && self.checkpoint.is_none()
    }

    fn invokes(&self) -> bool {
        self.flights.iter().any(|(_, _, _, errand)| matches!(errand, Errand::Invocation))
    }

    fn exhausted(&self) -> bool {
        let finished = self.tasks.is_empty() && self.checkpoint.is_none() && self.log.is_empty();
        let drained = self.gained && !self.lost && (finished || self.log.is_stuck());
        let others_have_all = self.waiting.is_some_and(|since| since.elapsed() >= DEALT_WITHIN);
        self.settings.once && (drained || others_have_all)
    }

    /// What was given up or is held is news only to who waits for the end (`--once`).
    fn ending(self, held: Option<String>) -> Ending {
        match (self.halted, held) {
            (Some(why), _) => Ending::Halted(why),
            _ if !self.settings.once => Ending::Settled,
            _ if self.given_up > 0 => Ending::LeftBehind(format!("{} records were given up", self.given_up)),
            (None, Some(held)) => Ending::LeftBehind(held),
            (None, None) => Ending::Settled,
        }
    }

    fn wake_at(&self) -> Instant {
        let checkpoint = (self.checkpoint.is_none() && self.log.moved()).then_some(self.next_checkpoint);
        let quiet = Some(self.quiet_until).filter(|until| *until > Instant::now());
        [self.log.wake_at(), checkpoint, quiet].into_iter().flatten().fold(self.next_look, Instant::min)
    }

    fn tick(&mut self) {
        if self.next_look <= Instant::now() {
            self.next_look = Instant::now() + LOOK_EVERY;
            self.status.figures.lag.set(self.source.lag().iter().map(|(_, lag)| *lag as i64).sum());
        }
        self.step(Input::Tick);
    }

    fn arrived(&mut self, arrivals: Result<Vec<Arrival>, Error>) {
        let mut arrivals = match arrivals {
            Ok(arrivals) => arrivals,
            Err(error) => return self.unread(&error),
        };
        self.errors = 0;
        self.status.reached();
        self.lost &= !arrivals.is_empty();
        for arrival in &arrivals {
            match arrival {
                Arrival::Gained(_) => (self.gained, self.lost) = (true, false),
                Arrival::Lost(_) => self.lost = true,
                _ => {}
            }
        }
        if self.gained {
            self.waiting = None;
        } else if arrivals.is_empty() {
            self.waiting.get_or_insert_with(Instant::now);
        }
        let records = arrivals.iter().filter(|arrival| matches!(arrival, Arrival::Record(_))).count();
        self.status.figures.polled.inc_by(records as u64);
        self.status.figures.filtered.inc_by(self.filters.sift(&mut arrivals, &mut self.scratch));
        self.step(Input::Arrived(arrivals));
    }

    fn unread(&mut self, error: &Error) {
        let figures = &self.status.figures;
        let count =
            if error.code() == "kafka.registry" { &figures.registry_errors } else { &figures.polling_errors };
        count.inc();
        self.status.problem(error);
        match error.kind() {
            Kind::Stop => self.halted = Some(error.to_string()),
            Kind::Retry { after } => {
                self.quiet_until = Instant::now() + after.unwrap_or_else(|| backoff(self.errors, 0.5));
                self.errors += 1;
            }
        }
    }

    fn step(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.log.share(self.usage.share());
        self.log.step(input, Now::get(), &mut actions);
        actions.into_iter().for_each(|action| self.perform(action));
        let figures = &self.status.figures;
        self.usage.set(self.log.used());
        figures.buffered.set(self.log.used() as i64);
        figures.committed.inc_by(self.log.passed());
        match self.log.problem() {
            Some(problem) => self.status.problem(problem),
            None if self.errors == 0 => self.status.fine(),
            None => {}
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Invoke(flight, call) => self.invoke(flight, call),
            Action::Discard(flight, failure) => self.discard(flight, failure),
            Action::Flow(partition, open) => self.source.flow(partition, open),
            Action::Release(partition, through) => self.release(partition, through),
            Action::Dropped(records, why) => {
                self.status.ended(true);
                self.given_up += records as u64;
                self.status.figures.dropped.inc_by(records as u64);
                tracing::warn!(mapping = self.status.name, records, ?why, "records given up");
            }
            Action::Halt(why) => self.halted = Some(why.to_owned()),
        }
    }

    /// One checkpoint is outstanding at a time, and carries everything done since the last.
    fn begin_checkpoint(&mut self) {
        let now = Instant::now();
        if self.checkpoint.is_some() || now < self.next_checkpoint {
            return;
        }
        let through = self.log.checkpoints();
        if through.is_empty() {
            return;
        }
        self.next_checkpoint = now + CHECKPOINT_EVERY;
        let source = Arc::clone(&self.source);
        self.checkpoint = Some(
            async move {
                let result = source.checkpoint(&through).await;
                (through, result)
            }
            .boxed(),
        );
    }

    fn checkpointed(&mut self, (through, result): Checkpointed) {
        let Err(error) = result else { return };
        self.status.figures.commit_errors.inc();
        self.log.uncheckpointed(&through);
        match error.kind() {
            Kind::Stop => self.halted = Some(error.to_string()),
            Kind::Retry { after } => {
                tracing::warn!(mapping = self.status.name, %error, "checkpoint failed, will be written again");
                self.next_checkpoint = Instant::now() + after.unwrap_or(CHECKPOINT_EVERY * 5);
            }
        }
    }
}

/// Waits for either.
async fn sooner(one: impl Future<Output = ()>, other: Duration) {
    let _ = tokio::time::timeout(other, one).await;
}

/// Resolves when the outstanding checkpoint does; never, without one.
async fn checkpointed(outstanding: &mut Option<BoxFuture<'static, Checkpointed>>) -> Checkpointed {
    match outstanding {
        Some(checkpoint) => {
            let result = checkpoint.await;
            *outstanding = None;
            result
        }
        None => std::future::pending().await,
    }
}
