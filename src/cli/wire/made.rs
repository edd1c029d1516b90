//! Mappings that are made while we run, beside those of files.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use klr_contract::{Error, Shape};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::{Outlet, Wiring};
use crate::{
    config::{self, LARGEST_EVENT, Source},
    deliver::{Invoker, cloudevent::Headers},
    lambda_api::mapping::{Function, Local, Refused, Runner},
    mapping::{Ending, Entry, Status, Stop},
};

/// How long a source may take to say that it is there.
const ANSWER: Duration = Duration::from_secs(10);
/// Between attempts to set up what a mapping needs (a secret that is not there), doubling from the first to the last.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// Runs them.
pub(in crate::cli) struct Made {
    wiring: Arc<Wiring>,
    /// The process is told to end: no mapping takes more on.
    end: CancellationToken,
    running: Mutex<HashMap<Uuid, Running>>,
    /// Those that run, and those on their way out.
    tasks: TaskTracker,
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
    status: Arc<Status>,
}

/// The function of one of them.
struct Target(Arc<dyn Function>);

impl Outlet for Target {
    fn timeout(&self) -> Option<Duration> {
        self.0.timeout()
    }

    fn places(&self) -> Option<usize> {
        self.0.places()
    }

    fn budget(&self) -> usize {
        LARGEST_EVENT
    }

    fn invoker(&self, shape: &Arc<dyn Shape>, headers: Headers) -> Arc<dyn Invoker> {
        let (function, shape) = (Arc::clone(&self.0), Arc::clone(shape));
        Arc::new(Local { function, shape, source: headers.source().to_owned() })
    }
}

impl Made {
    /// None yet.
    pub fn new(wiring: Arc<Wiring>, end: CancellationToken) -> Arc<Self> {
        Arc::new(Self { wiring, end, running: Mutex::default(), tasks: TaskTracker::new() })
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Uuid, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, mapping: &config::Mapping, status: Arc<Status>) {
        let (origin, written) = ("api".to_owned(), Some(Arc::clone(&mapping.written)));
        self.wiring.board.show(Entry { status, awaited: false, origin, written });
    }

    /// Stops them all, at the end of the process; each has the drain timeout.
    pub async fn stop_all(&self) {
        self.end.cancel();
        let uuids: Vec<Uuid> = self.running().keys().copied().collect();
        futures::future::join_all(uuids.into_iter().map(|uuid| self.stop(uuid))).await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[async_trait]
impl Runner for Made {
    async fn check(&self, mapping: &config::Mapping, function: Duration) -> Result<(), Refused> {
        match timeout(ANSWER, find(mapping, function)).await {
            Ok(found) => found,
            Err(_) => {
                let seconds = ANSWER.as_secs();
                Err(Refused(format!("The event source did not answer within {seconds} seconds.")))
            }
        }
    }

    fn start(&self, mapping: config::Mapping, function: Arc<dyn Function>) -> Arc<Status> {
        let (uuid, status) = (mapping.uuid, self.wiring.status(&mapping.name));
        self.show(&mapping, Arc::clone(&status));
        let stop = self.end.child_token();
        let ends = Stop::new(stop.clone(), self.end.clone());
        let run = run(Arc::clone(&self.wiring), mapping, Target(function), Arc::clone(&status), ends);
        let told = Arc::clone(&status);
        let task = self.tasks.spawn(async move {
            if let Err(error) = tokio::spawn(run).await {
                told.halted(format!("a mapping panicked; this is a bug: {error}"));
            }
        });
        let running = Running { stop, task, status: Arc::clone(&status) };
        if let Some(earlier) = self.running().insert(uuid, running) {
            earlier.stop.cancel();
        }
        status
    }

    async fn stop(&self, uuid: Uuid) {
        let Some(Running { stop, task, status }) = self.running().remove(&uuid) else { return };
        stop.cancel();
        // Its panic was reported.
        let _ = task.await;
        self.wiring.metrics.forget(&status.name);
    }

    fn rest(&self, mapping: &config::Mapping) {
        self.show(mapping, Arc::new(Status::disabled(&mapping.name)));
    }

    async fn forget(&self, mapping: &config::Mapping) {
        self.wiring.board.remove(&mapping.name);
        if let Err(error) = self.wiring.forget_positions(mapping).await {
            tracing::warn!(
                mapping = mapping.name,
                "positions of a deleted mapping are left behind: {error:#}"
            );
        }
    }
}

/// Until it is stopped, or cannot go on.
async fn run(wiring: Arc<Wiring>, mapping: config::Mapping, target: Target, status: Arc<Status>, stop: Stop) {
    let [mut wait, longest] = AGAIN;
    let wired = loop {
        match wiring.deliver(&mapping, &target, Arc::clone(&status)).await {
            Ok(mut wired) => {
                wired.means.settings.strict = false;
                break wired;
            }
            Err(error) => status.problem(format!("{error:#}")),
        }
        tokio::select! {
            () = stop.stopped() => return,
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(longest),
        }
    };
    match wired.run(stop).await {
        Ending::Settled => {}
        Ending::LeftBehind(what) => tracing::warn!(mapping = status.name, "{what}"),
        Ending::Halted(why) => {
            tracing::error!(mapping = status.name, "stopped: {why}");
            status.halted(why);
        }
    }
}

/// AWS looks at queues and streams. A cluster is behind secrets and a network; whether it is there shows when it is read.
async fn find(mapping: &config::Mapping, function: Duration) -> Result<(), Refused> {
    match &mapping.source {
        #[cfg(feature = "sqs")]
        Source::Sqs(config) => {
            use klr_contract::Queue as _;

            let queue = klr_sqs::Queue::open(config.clone()).await;
            let visibility = queue.visibility().await.map_err(refused)?.unwrap_or(Duration::MAX);
            if function > visibility {
                let (visibility, function) = (visibility.as_secs(), function.as_secs());
                return Err(Refused(format!(
                    "Queue visibility timeout: {visibility} seconds is less than Function timeout: {function} seconds"
                )));
            }
            Ok(())
        }
        #[cfg(feature = "kinesis")]
        Source::Kinesis(config) => klr_kinesis::find(config.clone()).await.map_err(refused),
        #[cfg(feature = "dynamodb")]
        Source::DynamoDb(config) => klr_dynamodb::find(config.clone()).await.map_err(refused),
        #[allow(unreachable_patterns, reason = "without Kafka there is nothing else")]
        _ => Ok(()),
    }
}

#[allow(dead_code, reason = "what only some sources need")]
fn refused(error: Error) -> Refused {
    Refused(error.message().to_owned())
}

#[cfg(test)]
#[cfg(all(feature = "sqs", feature = "kinesis", feature = "dynamodb"))]
mod tests;
