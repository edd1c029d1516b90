//! A queue as SQS has them, in memory, on tokio's clock.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout_at},
};

use crate::{Error, Place, Record, Refused};

/// An in-memory queue: visibility timeouts, receive counts, FIFO groups and redrive as SQS has them.
///
/// Time is tokio's, so a simulation may pause it. A fragment is `{"messageId":…,"body":…}`.
#[derive(Debug)]
pub struct Queue {
    visibility: Duration,
    fifo: bool,
    max_receives: Option<u32>,
    /// Where tokio's clock and the calendar meet.
    epoch: (Instant, Timestamp),
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    items: Vec<Item>,
    dead: Vec<String>,
    sent: u64,
    received: u64,
}

#[derive(Debug)]
struct Item {
    id: String,
    body: String,
    group: Option<String>,
    at: Timestamp,
    visible_from: Instant,
    receives: u32,
    /// Of the latest receive; older ones have lost their power.
    receipt: String,
}

impl Queue {
    /// An empty standard queue whose items stay hidden for `visibility` once received.
    pub fn new(visibility: Duration) -> Self {
        Self {
            visibility,
            fifo: false,
            max_receives: None,
            epoch: (Instant::now(), Timestamp::now()),
            state: Mutex::default(),
            arrived: Notify::new(),
        }
    }

    /// The same as a FIFO queue: a group is held while one of its items is hidden.
    #[must_use]
    pub fn fifo(mut self) -> Self {
        self.fifo = true;
        self
    }

    /// The same with a redrive policy: an item received this often goes to [`dead`](Self::dead) instead of out again.
    #[must_use]
    pub fn max_receives(mut self, count: u32) -> Self {
        self.max_receives = Some(count);
        self
    }

    /// Adds an item and answers its id. Groups mean something on FIFO queues only.
    pub fn send(&self, body: impl Into<String>, group: Option<&str>) -> String {
        let now = Instant::now();
        let mut state = self.state();
        state.sent += 1;
        let id = format!("message-{}", state.sent);
        state.items.push(Item {
            id: id.clone(),
            body: body.into(),
            group: group.map(str::to_owned),
            at: self.calendar(now),
            visible_from: now,
            receives: 0,
            receipt: String::new(),
        });
        drop(state);
        self.arrived.notify_waiters();
        id
    }

    /// How many items there are, hidden or not.
    pub fn len(&self) -> usize {
        self.state().items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bodies of the items that were received too often, in the order they went.
    pub fn dead(&self) -> Vec<String> {
        self.state().dead.clone()
    }

    /// How often each item that is left was received, by body.
    pub fn receives(&self) -> Vec<(String, u32)> {
        self.state().items.iter().map(|item| (item.body.clone(), item.receives)).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves plain data behind; the test that panicked is the news.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn calendar(&self, now: Instant) -> Timestamp {
        let (start, calendar) = self.epoch;
        calendar.saturating_add(now.saturating_duration_since(start)).unwrap_or(calendar)
    }

    /// Applies `act` to every item whose latest receipt was handed in; anything else is refused.
    fn settle(&self, places: &[Place], mut act: impl FnMut(&mut State, usize)) -> Vec<Refused> {
        let mut state = self.state();
        let mut refused = Vec::new();
        for (index, place) in places.iter().enumerate() {
            let Place::Item { id, receipt } = place else {
                let error = Error::stop("memory-place", "expected a place in a queue, got one in a log");
                refused.push(Refused { index, error });
                continue;
            };
            match state.items.iter().position(|item| item.id.as_bytes() == id.as_ref()) {
                Some(at) if state.items[at].receipt.as_bytes() == receipt.as_ref() => act(&mut state, at),
                // Gone already: deleting is idempotent, and there is nothing left to hold.
                None if id.starts_with(b"message-") => {}
                _ => {
                    let error =
                        Error::stop("memory-receipt", "the receipt is not that of the latest receive");
                    refused.push(Refused { index, error });
                }
            }
        }
        refused
    }
}

impl State {
    /// Hands out up to `max` visible items. A group with a hidden item is passed over; one that is not may give several.
    fn take(&mut self, max: usize, now: Instant, hide: Duration, queue: &Queue) -> Vec<Record> {
        self.bury(now, queue);
        let mut held: HashSet<Option<String>> = HashSet::new();
        if queue.fifo {
            let hidden = self.items.iter().filter(|item| item.visible_from > now);
            held.extend(hidden.map(|item| item.group.clone()));
        }
        let mut records = Vec::new();
        for item in &mut self.items {
            if records.len() == max {
                break;
            }
            if item.visible_from > now || held.contains(&item.group) {
                continue;
            }
            self.received += 1;
            item.receives += 1;
            item.receipt = format!("receipt-{}", self.received);
            item.visible_from = now + hide;
            records.push(item.record());
        }
        records
    }

    /// Visible items that were received as often as the policy allows leave for the dead-letter list.
    fn bury(&mut self, now: Instant, queue: &Queue) {
        let Some(max) = queue.max_receives else { return };
        let gone = self.items.extract_if(.., |item| item.visible_from <= now && item.receives >= max);
        self.dead.extend(gone.map(|item| item.body));
    }

    fn next_visible(&self, now: Instant) -> Option<Instant> {
        self.items.iter().map(|item| item.visible_from).filter(|at| *at > now).min()
    }
}

impl Item {
    fn record(&self) -> Record {
        let json = serde_json::json!({ "messageId": self.id, "body": self.body });
        Record {
            json: Ok(json.to_string().into()),
            place: Place::Item {
                id: Bytes::from(self.id.clone()),
                receipt: Bytes::from(self.receipt.clone()),
            },
            at: self.at,
            trace: None,
        }
    }
}

#[async_trait]
impl crate::Queue for Queue {
    async fn visibility(&self) -> Result<Option<Duration>, Error> {
        Ok(Some(self.visibility))
    }

    fn fifo(&self) -> bool {
        self.fifo
    }

    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        hide: Option<Duration>,
    ) -> Result<Vec<Record>, Error> {
        let end = Instant::now() + wait;
        let hide = hide.unwrap_or(self.visibility);
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            // Enabled before looking, or an item sent in between would not wake us.
            arrived.as_mut().enable();
            let now = Instant::now();
            let (records, next) = {
                let mut state = self.state();
                (state.take(max, now, hide, self), state.next_visible(now))
            };
            if !records.is_empty() || now >= end {
                return Ok(records);
            }
            tokio::select! {
                _ = timeout_at(end, arrived) => {}
                () = sleep_until(next.unwrap_or(end)) => {}
            }
        }
    }

    async fn delete(&self, items: &[Place]) -> Result<Vec<Refused>, Error> {
        let refused = self.settle(items, |state, at| drop(state.items.remove(at)));
        // Whoever waits for the next of a group may have it now.
        self.arrived.notify_waiters();
        Ok(refused)
    }

    async fn hold(&self, items: &[Place], span: Duration) -> Result<Vec<Refused>, Error> {
        let until = Instant::now() + span;
        let refused = self.settle(items, |state, at| state.items[at].visible_from = until);
        self.arrived.notify_waiters();
        Ok(refused)
    }
}
