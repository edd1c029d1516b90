//! What becomes of a change after it was answered: mappings are started and stopped, and reach the state they are on their
//! way to.
//!
//! A mapping has one change going on. A later one (which is let in where the earlier cannot come to its end: a source that
//! does not answer) cuts it short, but waits for the invocations it waits for. Whatever a crash interrupts is taken up at the next start: the state on disk says what.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    super::{
        Api,
        shelf::{self, Shelf, Store},
    },
    change::runnable,
    resource::{Live, Mapping, State},
    runner::Runner,
    target::Target,
};
use crate::mapping::Status;

/// A change that has taken so long is stuck, and another one is let in.
const STUCK: Duration = Duration::from_secs(30);
/// A mapping that works is not called a problem before this: AWS takes its time too.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between attempts to write a state down (a disk that is full).
const AGAIN: Duration = Duration::from_secs(1);

/// All mappings of the API, and who runs them.
pub struct Mappings {
    pub(super) shelf: Shelf<Mapping>,
    runner: OnceLock<Arc<dyn Runner>>,
    going: Mutex<HashMap<Uuid, Going>>,
}

/// What goes on with one of them.
struct Going {
    /// While it runs.
    status: Option<Arc<Status>>,
    /// Cuts short what is being waited for.
    cut: CancellationToken,
    /// One change after the other.
    turn: Arc<tokio::sync::Mutex<()>>,
    since: Instant,
}

impl fmt::Debug for Mappings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mappings").field("count", &self.shelf.len()).finish_non_exhaustive()
    }
}

impl Mappings {
    /// What is kept.
    pub(in super::super) async fn open(store: &Store) -> Result<Self, shelf::Error> {
        let shelf = store.shelf("mappings").await?;
        Ok(Self { shelf, runner: OnceLock::new(), going: Mutex::default() })
    }

    /// `None`: nothing runs, as before the process has brought its sources.
    pub(super) fn runner(&self) -> Option<Arc<dyn Runner>> {
        self.runner.get().cloned()
    }

    fn going(&self) -> MutexGuard<'_, HashMap<Uuid, Going>> {
        self.going.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self, uuid: Uuid) -> Option<Arc<Status>> {
        self.going().get(&uuid)?.status.clone()
    }

    /// What it says of itself, if it runs.
    pub(super) fn live(&self, uuid: Uuid) -> Live {
        let Some(status) = self.status(uuid) else { return Live::default() };
        let patience = if status.is_ready() { PATIENCE } else { Duration::ZERO };
        Live { result: Some(status.result_after(patience)), halted: status.halt() }
    }

    /// Whether a change goes on that will come to its end.
    pub(super) fn is_busy(&self, mapping: &Mapping) -> bool {
        if mapping.state == State::Deleting {
            return true;
        }
        let on_its_way = mapping.state.settled() != Some(mapping.state);
        let going = self.going();
        let stuck = going.get(&mapping.uuid).is_none_or(|going| {
            going.since.elapsed() > STUCK || going.status.as_ref().is_some_and(|status| status.has_problem())
        });
        on_its_way && !stuck
    }
}

/// Brings who runs mappings, and has what is kept run: everything that ran when the process ended, and every change it did not
/// come to the end of.
pub fn run(api: &Arc<Api>, runner: Arc<dyn Runner>) {
    if api.mappings.runner.set(runner).is_err() {
        return;
    }
    for (_, mapping) in api.mappings.shelf.all() {
        begin(api, &mapping);
    }
}

/// The process ends: what is being waited for will be at the next start. Whoever runs mappings stops them.
pub fn end(api: &Api) {
    api.mappings.going().values().for_each(|going| going.cut.cancel());
}

/// Has a mapping reach the state it is on its way to.
pub(super) fn begin(api: &Arc<Api>, mapping: &Arc<Mapping>) {
    let cut = CancellationToken::new();
    let turn = {
        let mut going = api.mappings.going();
        let earlier = going.remove(&mapping.uuid);
        earlier.iter().for_each(|earlier| earlier.cut.cancel());
        let (status, turn) = earlier.map(|it| (it.status, it.turn)).unwrap_or_default();
        let now = Going { status, cut: cut.clone(), turn: Arc::clone(&turn), since: Instant::now() };
        going.insert(mapping.uuid, now);
        turn
    };
    let (api, mapping) = (Arc::clone(api), Arc::clone(mapping));
    tokio::spawn(async move {
        let _turn = turn.lock().await;
        if !cut.is_cancelled() {
            carry_out(&api, &mapping, &cut).await;
        }
    });
}

async fn carry_out(api: &Arc<Api>, mapping: &Arc<Mapping>, cut: &CancellationToken) {
    let mappings = &api.mappings;
    let ran = mappings.status(mapping.uuid);
    let result = ran.map(|status| status.last_processing_result()).or_else(|| mapping.result.clone());
    if let Some(runner) = mappings.runner() {
        runner.stop(mapping.uuid).await;
        set_status(mappings, mapping.uuid, None);
        if cut.is_cancelled() {
            return;
        }
        match runnable(mapping) {
            Err(why) => halt(mappings, mapping.uuid, why),
            Ok(mut config) if mapping.state.runs() => {
                let target = Target::new(api, mapping.function_arn.clone());
                // The role it has now. A mapping outlives its function, and then keeps the stand-in.
                if let Some(role) = target.role() {
                    config.read_as(role);
                }
                let status = runner.start(config, Arc::new(target));
                set_status(mappings, mapping.uuid, Some(Arc::clone(&status)));
                // It has fixed where it begins, or cannot go on.
                tokio::select! {
                    () = cut.cancelled() => return,
                    () = status.settled() => {}
                }
            }
            Ok(config) if mapping.state == State::Deleting => runner.forget(&config).await,
            Ok(config) => runner.rest(&config),
        }
    }
    while let Err(error) = settle(api, mapping, &result, cut).await {
        tracing::warn!(mapping = %mapping.uuid, %error, "a state is not written down yet");
        tokio::time::sleep(AGAIN).await;
    }
}

/// It could be run once: by a klr that can more than this one.
fn halt(mappings: &Mappings, uuid: Uuid, why: String) {
    let status = Status::new(uuid.to_string(), crate::metrics::Figures::default());
    status.halted(why);
    set_status(mappings, uuid, Some(Arc::new(status)));
}

fn set_status(mappings: &Mappings, uuid: Uuid, status: Option<Arc<Status>>) {
    if let Some(going) = mappings.going().get_mut(&uuid) {
        going.status = status;
    }
}

/// Writes down where it has come to, unless somebody else has said where it is to go.
async fn settle(
    api: &Arc<Api>,
    mapping: &Mapping,
    result: &Option<String>,
    cut: &CancellationToken,
) -> Result<(), shelf::Error> {
    let mut change = api.change().await;
    let key = mapping.uuid.to_string();
    let Some(current) = api.mappings.shelf.get(&key) else { return Ok(()) };
    let changed = (current.state, current.modified) != (mapping.state, mapping.modified);
    if cut.is_cancelled() || changed {
        return Ok(());
    }
    match current.state.settled() {
        Some(state) if state == current.state => return Ok(()),
        Some(state) => {
            let settled =
                Mapping { state, modified: api.now(), result: result.clone(), ..Mapping::clone(&current) };
            change.put(&api.mappings.shelf, key, settled);
        }
        None => change.remove(&api.mappings.shelf, key),
    }
    change.commit().await?;
    if mapping.state == State::Deleting {
        api.mappings.going().remove(&mapping.uuid);
    }
    Ok(())
}
