//! The events of one function.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use super::Count;
use crate::queue::{
    log::Key,
    next::{Delays, plus},
};

/// An event that is ready: eight bytes, since there may be millions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    key: Key,
    /// Seconds since 1970, when it was taken in.
    accepted: u32,
}

impl Item {
    /// Until the year 2106.
    pub fn new(key: Key, accepted: i64) -> Self {
        Self { key, accepted: u32::try_from(accepted.max(0) / 1000).unwrap_or(u32::MAX) }
    }
}

#[derive(Debug)]
pub(super) struct Lane {
    pub name: Arc<str>,
    ready: VecDeque<Item>,
    /// Of its events, those whose due time is known.
    pub later: usize,
    pub flying: usize,
    pub failed: usize,
    /// How many may fly at a time.
    width: usize,
    /// In a row.
    pub throttles: u32,
    /// The function is left in peace until then, in milliseconds.
    until: Option<i64>,
    /// How old its events may be, as of the last throttle.
    pub age: Option<Duration>,
    /// When it is looked at for the sake of that.
    alarm: Option<i64>,
    /// It has its turn.
    pub enlisted: bool,
}

impl Lane {
    pub fn new(name: Arc<str>, width: usize) -> Self {
        Self {
            name,
            ready: VecDeque::new(),
            later: 0,
            flying: 0,
            failed: 0,
            width,
            throttles: 0,
            until: None,
            age: None,
            alarm: None,
            enlisted: false,
        }
    }

    pub fn push(&mut self, item: Item) {
        self.ready.push_back(item);
    }

    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// The next to be attended to now; it flies from here on.
    pub fn take(&mut self, most: usize, now: i64) -> Option<Key> {
        let rested = self.until.is_none_or(|until| until <= now);
        if rested && self.until.take().is_some() {
            // One, to see.
            self.width = self.width.max(self.flying + 1);
        }
        let flies = (rested && self.flying < self.width.min(most)) || self.is_expired(now);
        if !flies || self.flying >= most {
            return None;
        }
        let item = self.ready.pop_front()?;
        self.flying += 1;
        // A queue of a million that has gone need not keep its room.
        if self.ready.is_empty() && self.ready.capacity() > 4096 {
            self.ready = VecDeque::new();
        }
        Some(item.key)
    }

    /// The first is too old: it is given up without an attempt, however busy its function is.
    fn is_expired(&self, now: i64) -> bool {
        self.expiry().is_some_and(|expiry| expiry <= now)
    }

    /// When the first becomes too old.
    fn expiry(&self) -> Option<i64> {
        let (age, first) = (self.age?, self.ready.front()?);
        let age = i64::try_from(age.as_secs()).ok()?;
        // Two seconds more: what was accepted is rounded down, and it has to be older than that.
        (i64::from(first.accepted) + 2).checked_add(age)?.checked_mul(1000)
    }

    /// When it has to be looked at again while its function is left in peace, if that is not known yet.
    pub fn alarm(&mut self) -> Option<i64> {
        let expiry = self.expiry().filter(|expiry| self.until.is_some_and(|until| *expiry < until));
        let news = expiry.filter(|_| expiry != self.alarm);
        self.alarm = expiry;
        news
    }

    /// It takes events, and a bit more of them than it did.
    pub fn answered(&mut self, most: usize) {
        self.width = (self.width + 1).min(most);
        (self.throttles, self.until, self.age) = (0, None, None);
    }

    /// It takes no more than it has. Until when it is left in peace, if that is news: of a burst only the first counts.
    pub fn throttled(&mut self, delays: &Delays, after: Option<Duration>, now: Timestamp) -> Option<i64> {
        self.width = self.flying.max(1);
        if self.until.is_some_and(|until| until > now.as_millisecond()) {
            return None;
        }
        self.throttles = self.throttles.saturating_add(1);
        let wait = delays.back_off(self.throttles).max(after.unwrap_or_default());
        let until = plus(now, wait).as_millisecond();
        self.until = Some(until);
        Some(until)
    }

    pub fn count(&self) -> Count {
        Count {
            name: Arc::clone(&self.name),
            ready: self.ready.len(),
            later: self.later,
            flying: self.flying,
            failed: self.failed,
            resting: self.until.and_then(|until| Timestamp::from_millisecond(until).ok()),
        }
    }

    /// Those that are ready.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.ready.iter().map(|item| item.key)
    }

    /// Takes out those of its ready ones that are meant.
    pub fn remove(&mut self, keys: &HashSet<Key>, taken: &mut Vec<Key>) {
        self.ready.retain(|item| {
            let keep = !keys.contains(&item.key);
            if !keep {
                taken.push(item.key);
            }
            keep
        });
    }
}
