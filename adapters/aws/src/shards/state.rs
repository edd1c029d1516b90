//! What is held, in hand and due: the state that rounds, reads and the engine meet in. It never waits; who changes it
//! hands in the time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use klr_contract::{Arrival, Error, Kind, Mark, Partition, Place, Position, Row};
use tokio::time::Instant;

use super::Pace;
use super::held::Held;

/// Errors kept until the engine asks.
const TOLD: usize = 4;
/// How long the engine leaves us alone after one. Nothing here waits to be asked.
const AGAIN: Duration = Duration::from_millis(100);

/// Records of one answer that the engine has not taken.
pub(super) struct Parcel {
    pub index: u32,
    pub arrivals: VecDeque<Arrival>,
}

pub(super) struct State<C> {
    pub(super) pace: Pace,
    /// Whether reads wait for what is pushed: then any number may be under way.
    pub(super) pushes: bool,
    /// `--once`: the end of everything.
    pub(super) until: Option<Timestamp>,
    indices: HashMap<Arc<str>, u32>,
    names: HashMap<u32, Arc<str>>,
    next_index: u32,
    epochs: u32,
    pub(super) held: HashMap<u32, Held<C>>,
    left: HashSet<Arc<str>>,
    ownership: VecDeque<Arrival>,
    pub(super) hand: VecDeque<Parcel>,
    trouble: VecDeque<Error>,
    pub(super) agenda: BinaryHeap<Reverse<(Instant, u32, u32)>>,
    /// Reads under way, and those of them that were behind.
    pub(super) reads: (usize, usize),
    /// A round found nothing for us, or that all is well again, and the engine does not know.
    idle: bool,
    complained: bool,
    pub closed: bool,
}

impl<C> State<C> {
    pub fn new(pace: Pace, pushes: bool, until: Option<Timestamp>) -> Self {
        Self {
            pace,
            pushes,
            until,
            indices: HashMap::new(),
            names: HashMap::new(),
            next_index: 0,
            epochs: 0,
            held: HashMap::new(),
            left: HashSet::new(),
            ownership: VecDeque::new(),
            hand: VecDeque::new(),
            trouble: VecDeque::new(),
            agenda: BinaryHeap::new(),
            reads: (0, 0),
            idle: false,
            complained: false,
            closed: false,
        }
    }

    // === ownership ===

    /// A shard's number: as it was first seen.
    pub fn number(&mut self, name: &Arc<str>) -> u32 {
        if let Some(index) = self.indices.get(name) {
            return *index;
        }
        let index = self.next_index;
        self.next_index += 1;
        self.indices.insert(Arc::clone(name), index);
        self.names.insert(index, Arc::clone(name));
        index
    }

    pub fn name(&self, index: u32) -> Option<Arc<str>> {
        self.names.get(&index).cloned()
    }

    /// Ours, as `row` was stored.
    pub fn gain(&mut self, row: Row, closed: bool, cursor: Option<C>, now: Instant) {
        let name = Arc::from(row.partition.as_str());
        let index = self.number(&name);
        self.epochs += 1;
        let partition = Partition { index, epoch: self.epochs };
        self.held.insert(index, Held::new(partition, name, row, closed, cursor, now));
        self.ownership.push_back(Arrival::Gained(partition));
        self.idle = false;
        self.queue(index);
    }

    /// Should be somebody else's: nothing more is read, and the engine drains it.
    pub fn lose(&mut self, name: &str) {
        let Some(index) = self.indices.get(name).copied() else { return };
        let Some(held) = self.held.get_mut(&index).filter(|held| !held.losing) else { return };
        held.losing = true;
        let partition = held.partition;
        self.drop_hand(index);
        self.ownership.push_back(Arrival::Losing(partition));
    }

    /// Is somebody else's, or of no stream any more.
    pub fn lost(&mut self, name: &str) {
        let Some(index) = self.indices.get(name).copied() else { return };
        self.drop_hand(index);
        if let Some(held) = self.held.remove(&index)
            && held.release.is_none()
        {
            self.ownership.push_back(Arrival::Lost(held.partition));
        }
    }

    pub fn lost_all(&mut self) {
        let names: Vec<Arc<str>> = self.held.values().map(|held| Arc::clone(&held.name)).collect();
        names.iter().for_each(|name| self.lost(name));
    }

    /// The service has forgotten these shards: their numbers are not needed any more.
    pub fn forget<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        for name in names {
            let Some(index) = self.indices.get(name).copied() else { continue };
            if !self.held.contains_key(&index) {
                self.indices.remove(name);
                self.names.remove(&index);
                self.left.remove(name);
            }
        }
    }

    /// What we hold and have let go unasked.
    pub fn holdings(&self) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        let held = self.held.values().map(|held| Arc::clone(&held.name)).collect();
        (held, self.left.iter().cloned().collect())
    }

    /// What the listing and the rows say of what we hold.
    pub fn refresh(&mut self, closed: impl Fn(&str) -> bool, version: impl Fn(&str) -> Option<u64>) {
        for held in self.held.values_mut() {
            held.closed |= closed(&held.name);
            held.version = version(&held.name).unwrap_or(held.version);
        }
    }

    // === the engine's side ===

    /// What there is to say; `None`: nothing yet.
    pub fn take(&mut self, want: usize) -> Result<Option<Vec<Arrival>>, Error> {
        let mut out: Vec<Arrival> = self.ownership.drain(..).collect();
        let mut left = want;
        while left > 0 {
            let Some(parcel) = self.hand.front_mut() else { break };
            let Some(held) = self.held.get_mut(&parcel.index) else {
                self.hand.pop_front();
                continue;
            };
            while left > 0 || !matches!(parcel.arrivals.front(), Some(Arrival::Record(_))) {
                let Some(arrival) = parcel.arrivals.pop_front() else { break };
                left -= usize::from(matches!(arrival, Arrival::Record(_)));
                held.hand_over(&arrival);
                out.push(arrival);
            }
            if parcel.arrivals.is_empty() {
                held.in_hand -= 1;
                let index = parcel.index;
                self.hand.pop_front();
                self.queue(index);
            }
        }
        if let Some(error) = self.trouble.pop_front_if(|_| out.is_empty()) {
            // How long one shard is to be left alone is its reader's to know, and the others need not wait.
            return Err(if error.kind() == Kind::Stop { error } else { error.after(AGAIN) });
        }
        let idle = std::mem::take(&mut self.idle);
        Ok((idle || !out.is_empty()).then_some(out))
    }

    pub fn flow(&mut self, partition: Partition, open: bool) {
        let Some(held) = self.current(partition).filter(|held| held.open != open) else { return };
        held.open = open;
        match open {
            true => self.queue(partition.index),
            // Kept, they would fill the hand and starve the others; they are read again when it opens.
            false => self.drop_hand(partition.index),
        }
    }

    /// Everything through `position` is done: to be stored.
    pub fn settle(&mut self, partition: Partition, position: &Position) {
        if let Some(held) = self.current(partition) {
            held.settle(position);
        }
    }

    /// To be let go of, in the row as well. `false`: an old epoch.
    pub fn release(&mut self, partition: Partition, through: Option<&Position>) -> bool {
        let Some(held) = self.current(partition) else { return false };
        if let Some(position) = through {
            held.settle(position);
        }
        let over = held.over();
        held.release = Some(if over { Mark::Ended } else { held.settled_mark() });
        let unasked = !held.losing && !over;
        let name = Arc::clone(&held.name);
        if unasked {
            self.left.insert(name);
        }
        self.drop_hand(partition.index);
        true
    }

    /// Everything that is held still; whether there is any.
    pub fn release_all(&mut self) -> bool {
        let held: Vec<Partition> = self.held.values().map(|held| held.partition).collect();
        for partition in &held {
            self.release(*partition, None);
        }
        !held.is_empty()
    }

    pub fn lag(&self) -> Vec<(Partition, u64)> {
        let mut in_hand: HashMap<u32, usize> = HashMap::new();
        for parcel in &self.hand {
            let records = parcel.arrivals.iter().filter(|arrival| matches!(arrival, Arrival::Record(_)));
            *in_hand.entry(parcel.index).or_default() += records.count();
        }
        let behind = |held: &Held<C>| {
            let waiting = in_hand.get(&held.partition.index).copied().unwrap_or(0);
            (held.partition, (held.unsettled() + waiting) as u64)
        };
        self.held.values().map(behind).collect()
    }

    /// The source does not answer, or a part of it: as [`tell`](Self::tell), and to be taken back when it does.
    pub fn complain(&mut self, error: Error) {
        self.complained = true;
        self.tell(error);
    }

    /// Something for the engine to hear; it is heard after what came.
    pub fn tell(&mut self, error: Error) {
        if self.trouble.len() < TOLD {
            self.trouble.push_back(error);
        }
    }

    /// The source is reached. The engine is to know if it has nothing for us, or did not answer before.
    pub fn tell_reached(&mut self) {
        let nothing = self.held.is_empty() && self.ownership.is_empty();
        let well = self.held.values().all(|held| held.failures == 0) && !self.held.is_empty();
        self.idle = nothing || (well && std::mem::take(&mut self.complained));
    }

    pub fn ownership_is_told(&self) -> bool {
        self.ownership.is_empty()
    }

    // === rows ===

    /// Rows to write: checkpoints, and what is to be let go.
    pub fn pending(&self, stream: &str, me: &str) -> Vec<Row> {
        let row = |held: &Held<C>| {
            let mark = held.release.clone().or_else(|| held.pending.clone())?;
            Some(Row {
                partition: held.name.to_string(),
                stream: stream.to_owned(),
                mark,
                owner: held.release.is_none().then(|| me.to_owned()),
                version: held.version,
            })
        };
        self.held.values().filter_map(row).collect()
    }

    /// A row of [`pending`](Self::pending) is durable.
    pub fn written(&mut self, row: Row) {
        let Some(index) = self.indices.get(row.partition.as_str()).copied() else { return };
        let Some(held) = self.held.get_mut(&index) else { return };
        held.version = row.version + 1;
        if held.pending.as_ref() == Some(&row.mark) {
            held.pending = None;
        }
        held.stored = row.mark;
        if row.owner.is_none() {
            self.held.remove(&index);
        }
    }

    /// A row of ours was found at another version: a write whose answer was lost.
    pub fn adopt(&mut self, name: &str, version: u64) {
        if let Some(held) = self.indices.get(name).and_then(|index| self.held.get_mut(index)) {
            held.version = version;
        }
    }

    /// What is in hand of a shard is dropped and what is under way does not count: it is read again, from what was handed
    /// over.
    pub(super) fn drop_hand(&mut self, index: u32) {
        self.hand.retain(|parcel| parcel.index != index);
        if let Some(held) = self.held.get_mut(&index) {
            held.rewind();
        }
    }

    /// The shard of this ownership, unless it is about to be let go.
    pub(super) fn current(&mut self, partition: Partition) -> Option<&mut Held<C>> {
        self.held
            .get_mut(&partition.index)
            .filter(|held| held.partition == partition && held.release.is_none())
    }

    /// Puts a shard on the agenda, if it may be read and is not there.
    pub(super) fn queue(&mut self, index: u32) {
        let Some(held) = self.held.get_mut(&index) else { return };
        if !held.queued && held.may_read() {
            held.queued = true;
            self.agenda.push(Reverse((held.due, index, held.partition.epoch)));
        }
    }
}

pub(super) fn position_of(arrival: &Arrival) -> Option<&Position> {
    match arrival {
        Arrival::Record(record) => match &record.place {
            Place::At { position, .. } => Some(position),
            Place::Item { .. } => None,
        },
        Arrival::Passed(_, position, _) => Some(position),
        _ => None,
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
