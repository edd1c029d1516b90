//! Which event is next. Pure: it is told what happens and what time it is, and says what to start.
//!
//! A *lane* is all events of one function. Each has its own width, so that a function that hangs, throttles or is gone holds up
//! nobody else; lanes take turns. An event is in one place: ready, later (its due time is known), flying, or on the
//! shelf of those that failed for good. Order within a lane is about that of arrival, and nobody may rely on it.
//!
//! *Throttles.* A lane that was throttled waits 1 s, doubling to five minutes, then sends one event to see. What answers puts
//! an end to the wait, and each answer widens the lane by one. So a million events behind a function that is gone cost one
//! attempt each five minutes, and none of it is written down.

mod lane;
#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use self::lane::{Item, Lane};
use super::{
    log::{Key, Label},
    next::Delays,
};

/// A function's lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct LaneId(pub u32);

/// How many at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widths {
    /// Events of one function.
    pub lane: usize,
    /// Of all.
    pub all: usize,
    /// Events that failed for good, kept to be looked at.
    pub shelf: usize,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Attend to an event.
    Start {
        key: Key,
        lane: LaneId,
        /// How long it waits if it is throttled now.
        wait: Duration,
    },
    /// The shelf is full: the oldest goes for good.
    Forget { key: Key, lane: LaneId },
}

/// An event that was attended to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flown {
    pub key: Key,
    pub lane: LaneId,
    pub accepted: Timestamp,
    /// Its function has answered, so it takes events.
    pub answered: bool,
}

/// How attending to an event ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It is no more.
    Settled,
    /// It is kept on the shelf.
    Failed,
    /// Not before this.
    Again { due: Timestamp },
    /// Its function takes no more at the moment.
    Throttled {
        /// What it asked for.
        after: Option<Duration>,
        /// How old its events may become.
        age: Duration,
    },
}

/// What a lane holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Count {
    pub name: Arc<str>,
    pub ready: usize,
    pub later: usize,
    pub flying: usize,
    pub failed: usize,
    /// Until when the function is left in peace.
    pub resting: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct Schedule {
    widths: Widths,
    delays: Delays,
    lanes: Vec<Lane>,
    names: HashMap<Arc<str>, LaneId>,
    /// The name that was looked up last.
    last: Option<(Arc<str>, LaneId)>,
    /// Milliseconds, lane, event; without an event it is the lane that has waited.
    later: BinaryHeap<Reverse<(i64, LaneId, Option<Key>)>>,
    /// Lanes that may have something to start.
    turns: VecDeque<LaneId>,
    flying: usize,
    shelf: VecDeque<(Key, LaneId)>,
}

impl Schedule {
    pub fn new(widths: Widths, delays: Delays) -> Self {
        Self {
            widths,
            delays,
            lanes: Vec::new(),
            names: HashMap::new(),
            last: None,
            later: BinaryHeap::new(),
            turns: VecDeque::new(),
            flying: 0,
            shelf: VecDeque::new(),
        }
    }

    /// An event of the log that nobody attends to.
    pub fn add(&mut self, key: Key, label: &Label) {
        let lane = self.lane(&label.target);
        if label.failed {
            self.shelve(key, lane);
        } else if label.due > 0 {
            self.put_off(key, lane, label.due);
        } else {
            self.lanes[lane.0 as usize].push(Item::new(key, label.accepted));
            self.enlist(lane);
        }
    }

    /// An event that was started has ended so.
    pub fn ended(&mut self, event: Flown, how: Ended, now: Timestamp) {
        let Flown { key, lane: id, accepted, answered } = event;
        self.flying -= 1;
        let lane = &mut self.lanes[id.0 as usize];
        lane.flying -= 1;
        if answered {
            lane.answered(self.widths.lane);
        }
        match how {
            Ended::Settled => {}
            Ended::Failed => self.shelve(key, id),
            Ended::Again { due } => self.put_off(key, id, due.as_millisecond()),
            Ended::Throttled { after, age } => {
                lane.push(Item::new(key, accepted.as_millisecond()));
                lane.age = Some(age);
                if let Some(until) = lane.throttled(&self.delays, after, now) {
                    self.later.push(Reverse((until, id, None)));
                }
            }
        }
        self.enlist(id);
    }

    /// Starts whatever may be started now.
    pub fn start(&mut self, now: Timestamp, out: &mut Vec<Action>) {
        while self.shelf.len() > self.widths.shelf {
            let Some((key, lane)) = self.shelf.pop_front() else { break };
            self.lanes[lane.0 as usize].failed -= 1;
            out.push(Action::Forget { key, lane });
        }
        self.wake(now.as_millisecond());
        let mut held_back = Vec::new();
        while self.flying < self.widths.all
            && let Some(id) = self.turns.pop_front()
        {
            let lane = &mut self.lanes[id.0 as usize];
            lane.enlisted = false;
            let wait = self.delays.back_off(lane.throttles + 1);
            // Half of what the others leave it: a few functions that hang cannot have it all.
            let share = (self.widths.all - (self.flying - lane.flying)).div_ceil(2);
            if let Some(key) = lane.take(self.widths.lane.min(share), now.as_millisecond()) {
                self.flying += 1;
                out.push(Action::Start { key, lane: id, wait });
                self.enlist(id);
            } else if let Some(expiry) = lane.alarm() {
                self.later.push(Reverse((expiry, id, None)));
            } else if lane.flying >= share {
                held_back.push(id);
            }
        }
        // Their share may be larger when others have ended.
        held_back.into_iter().for_each(|id| self.enlist(id));
    }

    /// When time alone changes something.
    pub fn due(&self) -> Option<Timestamp> {
        let Reverse((at, ..)) = self.later.peek()?;
        Timestamp::from_millisecond(*at).ok()
    }

    /// Whose time has come.
    fn wake(&mut self, now: i64) {
        while let Some(Reverse((at, id, key))) = self.later.peek().copied()
            && at <= now
        {
            self.later.pop();
            let lane = &mut self.lanes[id.0 as usize];
            if let Some(key) = key {
                lane.later -= 1;
                // How old it is does not matter any more: it is attended to as soon as may be.
                lane.push(Item::new(key, now));
            }
            self.enlist(id);
        }
    }

    fn enlist(&mut self, id: LaneId) {
        let lane = &mut self.lanes[id.0 as usize];
        if !lane.enlisted && !lane.is_empty() {
            lane.enlisted = true;
            self.turns.push_back(id);
        }
    }

    fn put_off(&mut self, key: Key, id: LaneId, due: i64) {
        self.lanes[id.0 as usize].later += 1;
        self.later.push(Reverse((due, id, Some(key))));
    }

    fn shelve(&mut self, key: Key, id: LaneId) {
        self.lanes[id.0 as usize].failed += 1;
        self.shelf.push_back((key, id));
    }

    fn lane(&mut self, name: &Arc<str>) -> LaneId {
        // The log gives a million events of one function one name: it is looked up once.
        if let Some((last, id)) = &self.last
            && Arc::ptr_eq(last, name)
        {
            return *id;
        }
        let id = self.names.get(name).copied().unwrap_or_else(|| {
            let id = LaneId(u32::try_from(self.lanes.len()).expect("there are fewer functions"));
            self.lanes.push(Lane::new(Arc::clone(name), self.widths.lane));
            self.names.insert(Arc::clone(name), id);
            id
        });
        self.last = Some((Arc::clone(name), id));
        id
    }

    /// What there is, by function.
    pub fn counts(&self) -> Vec<Count> {
        self.lanes.iter().map(Lane::count).collect()
    }

    /// A function's name.
    pub fn name(&self, id: LaneId) -> Arc<str> {
        Arc::clone(&self.lanes[id.0 as usize].name)
    }

    /// Events that wait, of the functions that are meant: those that failed first, then those that are ready.
    pub fn waiting(&self, meant: &dyn Fn(&str) -> bool, most: usize) -> Vec<Key> {
        let of = |id: &LaneId| meant(&self.lanes[id.0 as usize].name);
        let failed = self.shelf.iter().filter(|(_, id)| of(id)).map(|(key, _)| *key);
        let ready = self.lanes.iter().filter(|lane| meant(&lane.name)).flat_map(Lane::keys);
        let later = self.later.iter().filter_map(|Reverse((_, id, key))| key.filter(|_| of(id)));
        failed.chain(ready).chain(later).take(most).collect()
    }

    /// The same, of those that failed alone.
    pub fn failed(&self, meant: &dyn Fn(&str) -> bool) -> Vec<Key> {
        let of = |id: &LaneId| meant(&self.lanes[id.0 as usize].name);
        self.shelf.iter().filter(|(_, id)| of(id)).map(|(key, _)| *key).collect()
    }

    /// Takes events out; those among them that nobody attends to. They are the caller's now.
    pub fn take(&mut self, keys: &HashSet<Key>) -> Vec<Key> {
        let mut taken = Vec::new();
        let lanes = &mut self.lanes;
        self.shelf.retain(|(key, id)| {
            let keep = !keys.contains(key);
            if !keep {
                lanes[id.0 as usize].failed -= 1;
                taken.push(*key);
            }
            keep
        });
        lanes.iter_mut().for_each(|lane| lane.remove(keys, &mut taken));
        self.later.retain(|Reverse((_, id, key))| {
            let Some(key) = key.filter(|key| keys.contains(key)) else { return true };
            lanes[id.0 as usize].later -= 1;
            taken.push(key);
            false
        });
        taken
    }
}
