//! Functions and destinations that do as they are told, and remember.

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use klr_contract::Error;
use serde_json::Value;
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::queue::{
    Attempt, Delays, Destinations, Errand, Event, Means, Metrics, Options, Outcome, Policy, Queue, Settings,
    Verdict, record,
};

/// The functions, what becomes of whose events is known.
#[derive(Default)]
pub(super) struct World {
    /// What a function answers, in this order; after that it succeeds.
    pub script: Mutex<BTreeMap<String, VecDeque<Outcome>>>,
    /// Of all functions.
    pub settings: Mutex<Settings>,
    /// What never takes anything.
    pub hopeless: Mutex<Option<String>>,
    /// How often destinations refuse.
    pub refusals: AtomicUsize,
    /// Attempts: function, request id, when.
    pub attempts: Mutex<Vec<(String, Uuid, Timestamp)>>,
    /// Records and events that destinations took, by ARN.
    pub taken: Mutex<Vec<(String, Value)>>,
}

/// For tests: a retry after a fiftieth of a second and after two.
pub(super) const DELAYS: Delays = Delays {
    retry: Duration::from_millis(20),
    first: Duration::from_millis(10),
    longest: Duration::from_millis(80),
};

pub(super) fn options() -> Options {
    Options { delays: DELAYS, segment: 64 << 10, per_function: 4, at_once: 16, ..Options::default() }
}

pub(super) async fn open(directory: &Path) -> Arc<Queue> {
    Queue::open(directory, options(), Metrics::default()).await.unwrap()
}

pub(super) fn error(message: &str) -> Outcome {
    let reply = serde_json::json!({"errorMessage": message}).to_string().into();
    Outcome::Error { version: "$LATEST".to_owned(), kind: "Unhandled".to_owned(), reply }
}

pub(super) fn success() -> Outcome {
    Outcome::Success { version: "$LATEST".to_owned(), reply: Bytes::from_static(b"\"done\"") }
}

pub(super) fn event(target: &str, number: u64) -> Event {
    Event::new(Uuid::from_u128(number.into()), target, format!("{{\"n\":{number}}}").into())
}

impl World {
    pub fn answers(&self, target: &str, outcomes: impl IntoIterator<Item = Outcome>) {
        self.script.lock().unwrap().entry(target.to_owned()).or_default().extend(outcomes);
    }

    pub fn set(&self, settings: Settings) {
        *self.settings.lock().unwrap() = settings;
    }

    pub fn attempts(&self) -> Vec<(String, Uuid, Timestamp)> {
        self.attempts.lock().unwrap().clone()
    }

    pub fn taken(&self) -> Vec<(String, Value)> {
        self.taken.lock().unwrap().clone()
    }

    /// Runs a queue until the answer is dropped or told to stop.
    pub fn run(self: &Arc<Self>, queue: &Arc<Queue>) -> Running {
        let (world, queue, stop) = (Arc::clone(self), Arc::clone(queue), CancellationToken::new());
        let means = Means {
            attempt: Arc::clone(&world) as _,
            policy: Arc::clone(&world) as _,
            destinations: Arc::clone(&world) as _,
        };
        let told = stop.clone();
        let task = tokio::spawn(async move { queue.run(means, told).await });
        Running { stop, task }
    }
}

pub(super) struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// Waits until it is so; half a minute is forever.
pub(super) async fn eventually(what: &str, test: impl Fn() -> bool) {
    for _ in 0..6000 {
        if test() {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

#[async_trait]
impl Attempt for World {
    async fn attempt(&self, event: &Event) -> Outcome {
        let target = event.target.to_string();
        self.attempts.lock().unwrap().push((target.clone(), event.id, Timestamp::now()));
        let next = self.script.lock().unwrap().get_mut(&target).and_then(VecDeque::pop_front);
        match next {
            Some(Outcome::Unreachable(why)) if why == "hang" => std::future::pending().await,
            Some(Outcome::Unreachable(why)) if why == "panic" => panic!("as it was told"),
            next => next.unwrap_or_else(success),
        }
    }
}

#[async_trait]
impl Policy for World {
    async fn of(&self, _target: &str) -> Settings {
        self.settings.lock().unwrap().clone()
    }
}

#[async_trait]
impl Destinations for World {
    async fn send(&self, to: &str, event: &Event, verdict: &Verdict, errand: Errand) -> Result<(), Error> {
        if self.hopeless.lock().unwrap().as_deref() == Some(to) {
            return Err(Error::stop("test", "never"));
        }
        let left = self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if left.is_ok() {
            return Err(Error::retry("test", "not now"));
        }
        let text = match errand {
            Errand::Destination => record::record(event, verdict, usize::MAX),
            Errand::DeadLetter => String::from_utf8(event.payload.to_vec()).unwrap(),
        };
        self.taken.lock().unwrap().push((to.to_owned(), serde_json::from_str(&text).unwrap()));
        Ok(())
    }
}
