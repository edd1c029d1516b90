//! The engine's side.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use klr_contract::{Arrival, Error, Log, Partition, Position, Store};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::state::State;
use super::{Failure, Service, Settings, company, keep, lost, pen, poll};

/// `--once`: how long a shard that is done waits for its children to be announced.
const SUCCESSION: Duration = Duration::from_secs(5);

/// What the tasks of a source share.
pub(super) struct Shared<S: Service> {
    pub service: S,
    pub settings: Settings,
    pub store: Arc<dyn Store>,
    /// Who holds it writes rows.
    pub pen: tokio::sync::Mutex<()>,
    state: Mutex<State<S::Cursor>>,
    /// The stream's, once it was listed.
    identity: Mutex<Arc<str>>,
    /// There is something for the engine.
    pub heard: Notify,
    /// A read may be due, or have room.
    pub read: Notify,
    /// A round is called for.
    pub look: Notify,
    /// Rounds done.
    pub rounds: watch::Sender<u64>,
    /// When the last checkpoint was written.
    paced: Mutex<Option<Instant>>,
}

impl<S: Service> Shared<S> {
    pub fn state(&self) -> MutexGuard<'_, State<S::Cursor>> {
        lock(&self.state)
    }

    pub fn identity(&self) -> Arc<str> {
        Arc::clone(&lock(&self.identity))
    }

    pub fn identify(&self, identity: &str) {
        *lock(&self.identity) = identity.into();
    }

    pub fn tell(&self, error: Error) {
        self.state().tell(error);
        self.heard.notify_waiters();
    }

    /// What a failure that nobody expected here means to the engine.
    pub fn explain(&self, failure: Failure) -> Error {
        match failure {
            Failure::Gone(error) | Failure::Failed(error) => error,
            failure @ (Failure::Expired | Failure::Trimmed) => {
                Error::retry(lost::CODE, format!("{}: {failure}", self.settings.stream))
            }
        }
    }

    /// A number in 0..1, to keep members and shards from marching in step. Each `RandomState` has other keys.
    pub fn chance(&self) -> f64 {
        RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
    }
}

/// A panic elsewhere leaves plain data behind; it is reported where it happened.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stream of shards, read together with the other members of its store. Dropping it is a crash as far as the others can
/// tell: its rows stay its own until it counts as dead.
pub struct Source<S: Service> {
    shared: Arc<Shared<S>>,
    tasks: [AbortHandle; 3],
}

impl<S: Service> Source<S> {
    /// Begins to read. Answers at once, and what goes wrong comes from `next`. The store is left open: other mappings use it.
    pub fn open(service: S, settings: Settings, store: Arc<dyn Store>) -> Self {
        let until = settings.once.then(Timestamp::now);
        let state = State::new(service.pace(), service.pushes(), until);
        let shared = Arc::new(Shared {
            service,
            settings,
            store,
            pen: tokio::sync::Mutex::default(),
            state: Mutex::new(state),
            identity: Mutex::new("".into()),
            heard: Notify::new(),
            read: Notify::new(),
            look: Notify::new(),
            rounds: watch::Sender::new(0),
            paced: Mutex::new(None),
        });
        let keeper = tokio::spawn(keep::run(Arc::clone(&shared))).abort_handle();
        let poller = tokio::spawn(poll::run(Arc::clone(&shared))).abort_handle();
        let watcher = tokio::spawn(company::run(Arc::clone(&shared))).abort_handle();
        Self { shared, tasks: [keeper, poller, watcher] }
    }

    /// Waits until the store may be written again without hurry.
    async fn pace(&self) {
        let last = *lock(&self.shared.paced);
        if let Some(last) = last {
            sleep_until(last + self.shared.store.pace()).await;
        }
    }

    /// `--once`: the engine is at the end when it holds nothing. A shard's children are announced before it is let go.
    async fn hand_on(&self) {
        let shared = &self.shared;
        let announced = async {
            let mut rounds = shared.rounds.subscribe();
            // The round that runs now may have begun before the row was written.
            for _ in 0..2 {
                rounds.mark_unchanged();
                shared.look.notify_one();
                if rounds.changed().await.is_err() {
                    return;
                }
            }
            loop {
                let heard = shared.heard.notified();
                tokio::pin!(heard);
                heard.as_mut().enable();
                if shared.state().ownership_is_told() {
                    return;
                }
                heard.await;
            }
        };
        // Nobody may be listening any more.
        let _ = timeout(SUCCESSION, announced).await;
    }
}

#[async_trait]
impl<S: Service> Log for Source<S> {
    async fn next(&self, want: usize) -> Result<Vec<Arrival>, Error> {
        loop {
            let heard = self.shared.heard.notified();
            tokio::pin!(heard);
            // Enabled before looking, or what comes in between would not wake us.
            heard.as_mut().enable();
            let taken = {
                let mut state = self.shared.state();
                if state.closed {
                    return Err(Error::stop(
                        "shards-closed",
                        "the source was closed: nothing can be read from it",
                    ));
                }
                state.take(want)?
            };
            if let Some(arrivals) = taken {
                self.shared.read.notify_one();
                self.shared.heard.notify_waiters();
                return Ok(arrivals);
            }
            heard.await;
        }
    }

    fn flow(&self, partition: Partition, open: bool) {
        self.shared.state().flow(partition, open);
        self.shared.read.notify_one();
    }

    async fn checkpoint(&self, through: &[(Partition, Position)]) -> Result<(), Error> {
        {
            let mut state = self.shared.state();
            through.iter().for_each(|(partition, position)| state.settle(*partition, position));
        }
        self.pace().await;
        pen::flush(&self.shared).await?;
        *lock(&self.shared.paced) = Some(Instant::now());
        Ok(())
    }

    async fn release(&self, partition: Partition, through: Option<Position>) -> Result<(), Error> {
        if !self.shared.state().release(partition, through.as_ref()) {
            return Ok(());
        }
        // One that fails is written again with the next round.
        pen::flush(&self.shared).await?;
        self.shared.look.notify_one();
        if self.shared.settings.once {
            self.hand_on().await;
        }
        Ok(())
    }

    fn name(&self, partition: Partition) -> Option<Arc<str>> {
        self.shared.state().name(partition.index)
    }

    fn lag(&self) -> Vec<(Partition, u64)> {
        self.shared.state().lag()
    }

    async fn close(&self) -> Result<(), Error> {
        self.tasks.iter().for_each(AbortHandle::abort);
        let left = {
            let mut state = self.shared.state();
            state.closed = true;
            state.release_all()
        };
        self.shared.heard.notify_waiters();
        if left { pen::flush(&self.shared).await } else { Ok(()) }
    }
}

impl<S: Service> Drop for Source<S> {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}
