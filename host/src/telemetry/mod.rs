//! The Telemetry API, and the Logs API it succeeded: what happens in one execution environment, told to the extensions
//! that subscribed.
//!
//! Nobody waits for a subscriber: each has a bounded buffer, and what a slow one leaves no room for is dropped and told
//! to it as `platform.logsDropped`. Subscribing is over when the environment has initialised.

pub(crate) mod api;
mod buffer;
mod delivery;
pub(crate) mod event;
pub(crate) mod level;
mod line;
mod schema;
mod subscriber;
mod subscription;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use jiff::Timestamp;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::{
    event::{Category, Event},
    schema::Schema,
    subscriber::Subscriber,
    subscription::Subscription,
};

/// What is kept of an initialisation for those who have yet to subscribe.
const HISTORY: usize = 256 * 1024;

/// One environment's subscribers. Dropped, it sends no more.
#[derive(Debug)]
pub(crate) struct Telemetry {
    /// Whether anybody is, or may yet be, interested: nothing is written down for nobody.
    wanted: AtomicBool,
    state: Mutex<State>,
    stop: CancellationToken,
    _stop: DropGuard,
}

#[derive(Debug)]
struct State {
    subscribers: Vec<Arc<Subscriber>>,
    /// What happened so far, as each schema tells it; none once subscribing is over.
    history: Option<History>,
}

/// The environment starts before its extensions can subscribe, yet they are told of it.
#[derive(Debug, Default)]
struct History {
    events: Vec<(Schema, Category, Vec<u8>)>,
    bytes: usize,
}

/// What became of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subscribed {
    Now,
    /// The first one stands.
    Already,
    /// Too late.
    Closed,
}

impl Telemetry {
    pub(crate) fn new() -> Self {
        let stop = CancellationToken::new();
        let state = State { subscribers: Vec::new(), history: Some(History::default()) };
        Self {
            wanted: AtomicBool::new(true),
            state: Mutex::new(state),
            _stop: stop.clone().drop_guard(),
            stop,
        }
    }

    /// Whether it is worth while to publish anything.
    pub(crate) fn wanted(&self) -> bool {
        self.wanted.load(Relaxed)
    }

    /// Tells everybody who wants to know.
    pub(crate) fn publish(&self, at: Timestamp, event: &Event<'_>) {
        if !self.wanted() {
            return;
        }
        let category = event.category();
        let mut state = self.lock();
        for subscriber in state.subscribers.iter().filter(|subscriber| subscriber.wants(category)) {
            subscriber.schema.render(at, event, |json| subscriber.push(json));
        }
        if let Some(history) = &mut state.history {
            history.add(at, category, event);
        }
    }

    /// Takes a subscriber, and tells it what it missed.
    fn subscribe(&self, name: &str, asked: Subscription) -> Subscribed {
        let mut state = self.lock();
        let State { subscribers, history } = &mut *state;
        let Some(history) = history else { return Subscribed::Closed };
        let legacy = asked.schema.is_of_logs();
        if subscribers.iter().any(|other| other.name == name && other.schema.is_of_logs() == legacy) {
            return Subscribed::Already;
        }
        let subscriber = Subscriber::start(name.to_owned(), asked, self.stop.clone());
        for (schema, category, event) in &history.events {
            if *schema == subscriber.schema && subscriber.wants(*category) {
                subscriber.push(event.clone());
            }
        }
        subscribers.push(subscriber);
        Subscribed::Now
    }

    /// Ends subscribing: the environment has initialised.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.history = None;
        self.wanted.store(!state.subscribers.is_empty(), Relaxed);
    }

    /// Waits until everybody has got what there is, or lost it.
    pub(crate) async fn flush(&self) {
        let subscribers = self.lock().subscribers.clone();
        for subscriber in subscribers {
            subscriber.flush().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing here is left half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl History {
    fn add(&mut self, at: Timestamp, category: Category, event: &Event<'_>) {
        if self.bytes >= HISTORY {
            return;
        }
        for schema in Schema::ALL {
            schema.render(at, event, |json| {
                self.bytes += json.len();
                self.events.push((schema, category, json));
            });
        }
    }
}
