//! Follows the schedule: attends to events, and alone waits.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use jiff::Timestamp;
use klr_contract::Kind;
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    destination::Destinations,
    error::Error,
    event::{Errand, Event, Stage, Stored, Verdict},
    handle::Queue,
    log::Key,
    next::{self, Next, Tries, errands, plus},
    policy::{Attempt, Outcome, Policy, Settings},
    schedule::{Action, Ended, Flown, LaneId},
};

/// How long the disk is left alone after an error.
const DISK: Duration = Duration::from_secs(1);
/// A clock that is set is noticed after so long.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Everybody the queue deals with.
pub struct Means {
    /// Gives functions their events.
    pub attempt: Arc<dyn Attempt>,
    /// Knows their settings.
    pub policy: Arc<dyn Policy>,
    /// Takes the records of what became of them.
    pub destinations: Arc<dyn Destinations>,
}

/// What attending to an event came to.
struct Attended {
    how: Ended,
    accepted: Timestamp,
    answered: bool,
}

impl Queue {
    /// Gives events to their functions until told to stop, then waits for those that are with their functions. Dropped before
    /// that, it leaves them for the next start.
    pub async fn run(self: &Arc<Self>, means: Means, stop: CancellationToken) {
        let means = Arc::new(means);
        let tasks = TaskTracker::new();
        let mut actions = Vec::new();
        loop {
            let now = self.now();
            let due = {
                let mut schedule = self.agenda.schedule();
                schedule.start(now, &mut actions);
                schedule.due()
            };
            for action in actions.drain(..) {
                let (queue, means) = (Arc::clone(self), Arc::clone(&means));
                match action {
                    Action::Start { key, lane, wait } => {
                        drop(tasks.spawn(async move { queue.attend(&means, key, lane, wait).await }));
                    }
                    Action::Forget { key, lane } => {
                        drop(tasks.spawn(async move { queue.forget(key, lane).await }));
                    }
                }
            }
            let wait = due.map_or(LONGEST_SLEEP, |due| until(now, due));
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.agenda.bell.notified() => {}
                () = sleep(wait) => {}
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    /// Attends to one event, and tells the schedule how that ended.
    async fn attend(&self, means: &Means, key: Key, lane: LaneId, wait: Duration) {
        let attended = AssertUnwindSafe(self.work(means, key, lane, wait)).catch_unwind().await;
        let attended = attended.unwrap_or_else(|_| {
            tracing::error!(function = %self.agenda.schedule().name(lane), "an attempt panicked: once more later");
            Attended { how: self.later(self.options.delays.longest), accepted: self.now(), answered: false }
        });
        let Attended { how, accepted, answered } = attended;
        let event = Flown { key, lane, accepted, answered };
        self.agenda.schedule().ended(event, how, self.now());
        self.agenda.bell.notify_one();
    }

    async fn work(&self, means: &Means, key: Key, lane: LaneId, wait: Duration) -> Attended {
        let _held = self.held.hold(lane, self.reader.size(key) as usize).await;
        let stored = match self.read(key).await {
            Ok(Some(stored)) => stored,
            Ok(None) => return Attended { how: Ended::Settled, accepted: self.now(), answered: false },
            Err(error) => {
                tracing::error!(code = error.code(), "an event cannot be read back: {error}");
                let how = self.later(self.options.delays.longest);
                return Attended { how, accepted: self.now(), answered: false };
            }
        };
        let accepted = stored.event.accepted;
        let settings = means.policy.of(&stored.event.target).await;
        let Stored { event, stage } = stored;
        let mut answered = false;
        let how = match stage {
            Stage::Waiting { attempts, last, .. } => {
                let tries = Tries { accepted, attempts, last };
                match self.decide(means, &settings, &event, tries, wait).await {
                    Next::Over(verdict) => {
                        answered = verdict.attempts > attempts;
                        // They may have changed while the function ran.
                        let settings = means.policy.of(&event.target).await;
                        self.conclude(means, &settings, key, event, verdict).await
                    }
                    Next::Again { tries: Tries { attempts, last, .. }, due } => {
                        answered = true;
                        let stage = Stage::Waiting { attempts, due: Some(due), last };
                        self.write(key, Stored { event, stage }).await;
                        Ended::Again { due }
                    }
                    Next::Later { after } => Ended::Throttled { after, age: settings.age },
                }
            }
            Stage::Delivering { verdict, left, tries, .. } => {
                self.deliver(means, &settings, key, event, verdict, left, tries).await
            }
            Stage::Failed { .. } => Ended::Failed,
        };
        Attended { how, accepted, answered }
    }

    /// An attempt, unless there is to be none.
    async fn decide(
        &self,
        means: &Means,
        settings: &Settings,
        event: &Event,
        tries: Tries,
        wait: Duration,
    ) -> Next {
        if let Some(verdict) = next::before(settings, &tries, self.now()) {
            return Next::Over(verdict);
        }
        let age = self.now().duration_since(tries.accepted);
        self.metrics.age(&event.target, i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        let outcome = means.attempt.attempt(event).await;
        if let Outcome::Unreachable(why) = &outcome {
            tracing::warn!(function = %event.target, wait = ?wait, "an event's function cannot be reached: {why}");
        }
        let settings = means.policy.of(&event.target).await;
        next::after(&settings, &self.options.delays, tries, outcome, wait, self.now())
    }

    /// The verdict stands.
    async fn conclude(
        &self,
        means: &Means,
        settings: &Settings,
        key: Key,
        event: Event,
        verdict: Verdict,
    ) -> Ended {
        if !verdict.is_success() {
            self.metrics.dropped(&event.target);
            tracing::info!(
                function = %event.target, request_id = %event.id, attempts = verdict.attempts,
                "an event was given up: {}", verdict.condition.name()
            );
        }
        let left = errands(settings, verdict.condition);
        self.deliver(means, settings, key, event, verdict, left, 0).await
    }

    /// Sends the verdict where it is to go. What cannot be sent now is written down and tried again; what can never be is not.
    #[allow(clippy::too_many_arguments, reason = "the parts of one stage, and what it is done with")]
    async fn deliver(
        &self,
        means: &Means,
        settings: &Settings,
        key: Key,
        event: Event,
        verdict: Verdict,
        left: Vec<Errand>,
        tries: u32,
    ) -> Ended {
        let due = errands(settings, verdict.condition);
        let mut undone = Vec::new();
        let (mut taken, mut lost) = (false, false);
        // Whose target was taken out of the settings meanwhile is no more.
        for errand in left.into_iter().filter(|errand| due.contains(errand)) {
            match self.send(means, settings, &event, &verdict, errand).await.map_err(|error| error.kind()) {
                Ok(()) => taken = true,
                Err(Kind::Stop) => lost = true,
                Err(Kind::Retry { .. }) => undone.push(errand),
            }
        }
        let success = verdict.is_success();
        if undone.is_empty() && (success || taken || (!lost && !due.is_empty())) {
            return self.settle(key).await;
        }
        let again = next::redeliver(settings, &self.options.delays, &verdict, tries + 1, self.now());
        match again.filter(|_| !undone.is_empty()) {
            Some(due) => {
                let stage = Stage::Delivering { verdict, left: undone, tries: tries + 1, due };
                self.write(key, Stored { event, stage }).await;
                Ended::Again { due }
            }
            None if success => {
                tracing::warn!(function = %event.target, request_id = %event.id, "no destination took the record of a success: given up");
                self.settle(key).await
            }
            None => {
                self.write(key, Stored { event, stage: Stage::Failed { verdict } }).await;
                Ended::Failed
            }
        }
    }

    /// Sends one; why it was not taken is counted and logged.
    async fn send(
        &self,
        means: &Means,
        settings: &Settings,
        event: &Event,
        verdict: &Verdict,
        errand: Errand,
    ) -> Result<(), klr_contract::Error> {
        let to = match errand {
            Errand::DeadLetter => &settings.dead_letter,
            Errand::Destination if verdict.is_success() => &settings.on_success,
            Errand::Destination => &settings.on_failure,
        };
        let Some(to) = to else { return Ok(()) };
        let Err(error) = means.destinations.send(to, event, verdict, errand).await else { return Ok(()) };
        match errand {
            Errand::Destination => self.metrics.destination_failed(&event.target),
            Errand::DeadLetter => self.metrics.dead_letter_failed(&event.target),
        }
        tracing::warn!(
            function = %event.target, request_id = %event.id, destination = to.as_str(), code = error.code(),
            "a destination did not take a record{}: {error}",
            if error.kind() == Kind::Stop { ", and is not tried again" } else { "" }
        );
        Err(error)
    }

    /// The shelf is full.
    async fn forget(&self, key: Key, lane: LaneId) {
        tracing::warn!(function = %self.agenda.schedule().name(lane), "too many failed events are kept: the oldest is dropped");
        self.settle(key).await;
    }

    async fn settle(&self, key: Key) -> Ended {
        self.insist(|| self.writer.done(key)).await;
        Ended::Settled
    }

    async fn write(&self, key: Key, stored: Stored) {
        self.insist(|| self.writer.replace(key, &stored)).await;
    }

    /// Until the disk has it. The event counts as being attended to for as long.
    async fn insist<F: Future<Output = Result<(), Error>>>(&self, write: impl Fn() -> F) {
        loop {
            match write().await {
                // Closed: the process ends, and does this again.
                Ok(()) | Err(Error::Closed) => return,
                Err(error) => {
                    tracing::warn!(code = error.code(), "what became of an event cannot be written: {error}");
                    sleep(DISK).await;
                }
            }
        }
    }

    fn later(&self, wait: Duration) -> Ended {
        Ended::Again { due: plus(self.now(), wait) }
    }
}

fn until(now: Timestamp, due: Timestamp) -> Duration {
    Duration::try_from(due.duration_since(now)).unwrap_or_default().min(LONGEST_SLEEP)
}
