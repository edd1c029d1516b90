//! A queue mapping (design.md §4.1): up to `limit` lanes, each a loop with one batch in hand, none of which reads what it
//! is not about to invoke with.
//!
//! A parked lane is no lane at all: it ends, and is begun again when another one finds messages. The last one that receives
//! goes on receiving.
//!
//! FIFO needs no bookkeeping of groups: the queue holds a group while one of its messages is hidden. What it needs is that
//! nothing received after a failed message of its group is delivered before it; see [`invoke`].

mod collect;
mod invoke;
mod piece;
mod polls;
#[cfg(test)]
mod simulation;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use klr_contract::{Kind, Queue, Shape};
use tokio::{sync::Notify, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Ending, Filters, Means, Settings, Status, Stop, buffer::Usage, limit::Limit, next::backoff};
use crate::deliver::Invoker;
use polls::Polls;

/// AWS: long polling waits at most this long for the first message.
const LONG_POLL: Duration = Duration::from_secs(20);
/// What the queue says of itself is asked again this often.
const REFRESH: Duration = Duration::from_secs(60);
/// Visibility of a queue that has none of its own.
const NO_VISIBILITY: Duration = Duration::from_secs(12 * 3600);

/// One queue mapping at work.
struct Engine {
    settings: Settings,
    source: Box<dyn Queue>,
    shape: Arc<dyn Shape>,
    filters: Arc<Filters>,
    invoker: Arc<dyn Invoker>,
    status: Arc<Status>,
    usage: Usage,
    /// What it was told from outside.
    told: Stop,
    /// No new receive, no new back-off.
    stop: CancellationToken,
    /// Everybody leaves, whatever is in flight.
    abort: CancellationToken,
    lanes: Mutex<Lanes>,
    tasks: TaskTracker,
    /// Held by the one lane that probes an unreachable sink.
    probe: tokio::sync::Mutex<()>,
    /// The sink answered again.
    recovered: Notify,
}

/// What the lanes know of each other.
struct Lanes {
    alive: usize,
    /// Waiting for messages with nothing in hand.
    polls: Polls,
    /// Backing off with a batch in hand.
    waiting: usize,
    limit: Limit,
    /// How many probes in a row found the sink unreachable.
    outage: Option<u32>,
    /// Long polls, one after the other, that came back empty.
    empty: u32,
    /// When the last of them did.
    looked: Instant,
    visibility: Duration,
    halted: Option<String>,
    /// `--once`: messages let go and not deleted since.
    left: HashSet<Bytes>,
}

/// Runs the mapping until it is stopped, exhausted (`once`) or cannot go on.
pub(super) async fn run(source: Box<dyn Queue>, means: Means, told: Stop) -> Ending {
    // What a queue's batch fails on comes back, and its redrive policy has the last word: no destination.
    let Means { settings, shape, filters, invoker, destination: _, status, usage } = means;
    let lanes = Lanes {
        alive: 0,
        polls: Polls::default(),
        waiting: 0,
        limit: Limit::new(settings.maximum_concurrency, settings.policy.report),
        outage: None,
        empty: 0,
        looked: Instant::now(),
        visibility: NO_VISIBILITY,
        halted: None,
        left: HashSet::new(),
    };
    let engine = Arc::new(Engine {
        settings,
        source,
        shape,
        filters,
        invoker,
        status,
        usage,
        stop: told.token().child_token(),
        told,
        abort: CancellationToken::new(),
        lanes: Mutex::new(lanes),
        tasks: TaskTracker::new(),
        probe: tokio::sync::Mutex::new(()),
        recovered: Notify::new(),
    });
    match engine.reach().await {
        Ok(true) => engine.supervise().await,
        Ok(false) => Ending::Settled,
        Err(refused) => {
            engine.status.halted(&refused);
            Ending::Halted(refused)
        }
    }
}

impl Engine {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the queue for its visibility timeout until it answers. `false`: stopped meanwhile.
    async fn reach(&self) -> Result<bool, String> {
        let mut streak = 0;
        loop {
            let answer = tokio::select! {
                answer = self.source.visibility() => answer,
                () = self.stop.cancelled() => return Ok(false),
            };
            let wait = match answer {
                Ok(visibility) => return self.accept(visibility).map(|()| true),
                Err(error) => {
                    self.status.problem(&error);
                    match error.kind() {
                        Kind::Stop => return Err(error.to_string()),
                        Kind::Retry { after } => after.unwrap_or_else(|| backoff(streak, 0.5)),
                    }
                }
            };
            streak += 1;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => return Ok(false),
            }
        }
    }

    /// AWS: refuses a mapping whose function may run longer than its messages stay hidden.
    fn accept(&self, visibility: Option<Duration>) -> Result<(), String> {
        self.status.reached();
        self.status.fine();
        let Some(visibility) = visibility else { return Ok(()) };
        self.lanes().visibility = visibility;
        // Without a timeout of its own an invocation may take as long as its messages are hidden: a second, at least.
        let timeout = self.settings.timeout.unwrap_or(Duration::from_secs(1));
        if timeout <= visibility {
            return Ok(());
        }
        let why = format!(
            "Queue visibility timeout: {} seconds is less than Function timeout: {} seconds",
            visibility.as_secs(),
            timeout.as_secs()
        );
        // Not hidden at all, messages would never be invoked with: they are visible again by then.
        if self.settings.strict || visibility.is_zero() {
            return Err(why);
        }
        tracing::warn!(mapping = self.status.name, "{why}: messages may be delivered twice");
        Ok(())
    }

    async fn supervise(self: Arc<Self>) -> Ending {
        self.wake();
        let mut second = tokio::time::interval(Duration::from_secs(1));
        // AWS adds so many a minute however it got there: what a stall has missed is not made up for.
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut refresh = tokio::time::interval_at(Instant::now() + REFRESH, REFRESH);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                _ = second.tick() => self.every_second(),
                _ = refresh.tick() => self.refresh().await,
            }
        }
        self.drain().await;
        self.ending()
    }

    fn every_second(self: &Arc<Self>) {
        self.status.figures.buffered.set(self.usage.used() as i64);
        let mut lanes = self.lanes();
        // Not counted by invocations: with a fast function a lane is mostly receiving and deleting.
        let long_poll = lanes.polls.tick();
        let busy =
            lanes.alive >= lanes.limit.get() && lanes.waiting == 0 && lanes.outage.is_none() && !long_poll;
        if busy {
            lanes.limit.grow();
        }
        let nobody = lanes.alive == 0;
        drop(lanes);
        // Nobody is left only after a panic, which took its lane with it.
        if busy || nobody {
            self.wake();
        }
    }

    /// The visibility timeout may be changed while we run. A failed call is asked again in a minute.
    async fn refresh(&self) {
        tokio::select! {
            answer = self.source.visibility() => if let Ok(Some(visibility)) = answer {
                self.lanes().visibility = visibility;
            },
            () = self.stop.cancelled() => {}
        }
    }

    /// Begins one more lane, if there may be one more.
    fn wake(self: &Arc<Self>) {
        let mut lanes = self.lanes();
        let room = lanes.alive < lanes.limit.get() && lanes.outage.is_none();
        let first = lanes.alive == 0;
        if self.stop.is_cancelled() || !(room && !self.usage.spent() || first) {
            return;
        }
        lanes.alive += 1;
        drop(lanes);
        let engine = Arc::clone(self);
        self.tasks.spawn(async move {
            let _alive = Alive(&engine);
            tokio::select! {
                () = engine.abort.cancelled() => {}
                () = collect::lane(&engine) => {}
            }
        });
    }

    /// Waits for what is in flight: invocations until they have had their time, and besides that a long poll that was already
    /// sent, since giving it up would leave its messages hidden.
    async fn drain(&self) {
        self.tasks.close();
        tokio::select! {
            () = self.tasks.wait() => return,
            () = self.told.out_of_time(self.settings.drain) => {}
        }
        let last = Instant::now() + LONG_POLL.saturating_sub(self.settings.drain) + Duration::from_secs(2);
        while self.lanes().polls.count() > 0 && Instant::now() < last {
            tokio::select! {
                () = self.tasks.wait() => return,
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        }
        tracing::warn!(
            mapping = self.status.name,
            "drain timeout: invocations still in flight are left to the queue"
        );
        self.abort.cancel();
        self.tasks.wait().await;
    }

    fn ending(&self) -> Ending {
        let lanes = self.lanes();
        match (&lanes.halted, lanes.left.len()) {
            (Some(why), _) => Ending::Halted(why.clone()),
            (None, 0) => Ending::Settled,
            (None, left) => Ending::LeftBehind(format!("{left} messages were left to the queue")),
        }
    }

    /// A person must change something: nothing more is received.
    fn halt(&self, why: &str) {
        self.status.halted(why);
        self.lanes().halted = Some(why.to_owned());
        self.stop.cancel();
    }
}

/// A lane's place among the lanes, given back however the lane ends.
struct Alive<'a>(&'a Engine);

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.lanes().alive -= 1;
    }
}
