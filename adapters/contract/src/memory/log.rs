//! A partitioned log with a consumer group, as Kafka has them, in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::Notify;

use crate::{Arrival, Error, Partition, Place, Position, Record};

/// The log itself and its one consumer group; a handle, cheap to clone. Everything a simulation wants to happen happens
/// through it, at once: there is no clock in here.
///
/// Partitions are dealt out evenly to the members. One that moves is asked back with `Losing` and moves when it is released
/// (nothing waits for that with a time limit; [`lose`](Self::lose) is the impatient way).
#[derive(Debug, Clone)]
pub struct Topic(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Woken on every change; there are few members.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    partitions: Vec<Lane>,
    /// In order of joining.
    members: BTreeMap<u64, Member>,
    joined: u64,
    epochs: u32,
}

#[derive(Debug, Default)]
struct Member {
    ownership: VecDeque<Arrival>,
    trouble: VecDeque<Error>,
    /// It joined and got nothing, and was not told yet.
    idle: bool,
    /// Which partition has the first word next time.
    turn: usize,
}

/// One partition. Offsets are indexes into `places`.
#[derive(Debug, Default)]
struct Lane {
    places: Vec<Option<(Bytes, Timestamp)>>,
    /// Everything before it is done.
    committed: usize,
    sealed: bool,
    owner: Option<Owner>,
}

#[derive(Debug)]
struct Owner {
    member: u64,
    epoch: u32,
    next: usize,
    open: bool,
    /// Nothing is handed over any more.
    losing: bool,
    /// `Ended` was said.
    ended: bool,
}

impl Topic {
    /// An empty log.
    pub fn new(partitions: u32) -> Self {
        let topic = Self(Arc::default());
        topic.state().partitions.resize_with(partitions as usize, Lane::default);
        topic
    }

    /// Joins the group: a member with its share of the partitions.
    pub fn join(&self) -> Log {
        let mut state = self.state();
        state.joined += 1;
        let member = state.joined;
        state.members.insert(member, Member::default());
        state.deal();
        if let Some(member) = state.members.get_mut(&member) {
            member.idle = member.ownership.is_empty();
        }
        drop(state);
        self.0.changed.notify_waiters();
        Log { topic: self.clone(), member }
    }

    /// Appends a record, now, and answers its offset. Its fragment is `{"partition":…,"offset":…,"body":…}`.
    pub fn append(&self, partition: u32, body: &str) -> i64 {
        self.append_at(partition, body, Timestamp::now())
    }

    /// The same with a time of its own.
    pub fn append_at(&self, partition: u32, body: &str, at: Timestamp) -> i64 {
        let offset = self.state().partitions[partition as usize].places.len();
        let json = serde_json::json!({ "partition": partition, "offset": offset, "body": body });
        self.place(partition, Some((Bytes::from(json.to_string()), at)))
    }

    /// Appends a place without a record (a transaction marker), which members report as passed.
    pub fn pass(&self, partition: u32) -> i64 {
        self.place(partition, None)
    }

    /// No record will follow: after its last the partition has ended.
    pub fn seal(&self, partition: u32) {
        self.state().partitions[partition as usize].sealed = true;
        self.0.changed.notify_waiters();
    }

    /// How many places of the partition are done.
    pub fn committed(&self, partition: u32) -> i64 {
        self.state().partitions[partition as usize].committed as i64
    }

    /// How many places the partition has.
    pub fn end(&self, partition: u32) -> i64 {
        self.state().partitions[partition as usize].places.len() as i64
    }

    /// Takes the partition from its owner without warning, and deals it out again.
    pub fn lose(&self, partition: u32) {
        let mut state = self.state();
        if let Some(owner) = state.partitions[partition as usize].owner.take() {
            let gone = Partition { index: partition, epoch: owner.epoch };
            state.tell(owner.member, Arrival::Lost(gone));
        }
        state.deal();
        drop(state);
        self.0.changed.notify_waiters();
    }

    /// Asks the partition's owner to let it go; released, it is dealt out again.
    pub fn revoke(&self, partition: u32) {
        self.state().ask_back(partition as usize);
        self.0.changed.notify_waiters();
    }

    /// Lets every member's `next` fail once, after what it already has to say about ownership.
    pub fn fail(&self, error: &Error) {
        for member in self.state().members.values_mut() {
            member.trouble.push_back(error.clone());
        }
        self.0.changed.notify_waiters();
    }

    fn place(&self, partition: u32, place: Option<(Bytes, Timestamp)>) -> i64 {
        let mut state = self.state();
        let places = &mut state.partitions[partition as usize].places;
        places.push(place);
        let offset = places.len() as i64 - 1;
        drop(state);
        self.0.changed.notify_waiters();
        offset
    }

    fn leave(&self, member: u64) {
        let mut state = self.state();
        if state.members.remove(&member).is_none() {
            return;
        }
        for lane in &mut state.partitions {
            lane.owner.take_if(|owner| owner.member == member);
        }
        state.deal();
        drop(state);
        self.0.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves plain data behind; the test that panicked is the news.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Gives free partitions to whom they belong now, and asks for those that others have.
    fn deal(&mut self) {
        let members: Vec<_> = self.members.keys().copied().collect();
        if members.is_empty() {
            return;
        }
        for index in 0..self.partitions.len() {
            let target = members[index % members.len()];
            match &self.partitions[index].owner {
                Some(owner) if owner.member != target => self.ask_back(index),
                Some(_) => {}
                None => self.give(index, target),
            }
        }
    }

    fn give(&mut self, index: usize, member: u64) {
        self.epochs += 1;
        let epoch = self.epochs;
        let lane = &mut self.partitions[index];
        let next = lane.committed;
        lane.owner = Some(Owner { member, epoch, next, open: true, losing: false, ended: false });
        self.tell(member, Arrival::Gained(Partition { index: index as u32, epoch }));
    }

    fn ask_back(&mut self, index: usize) {
        let Some(owner) = &mut self.partitions[index].owner else { return };
        if !std::mem::replace(&mut owner.losing, true) {
            let (member, epoch) = (owner.member, owner.epoch);
            self.tell(member, Arrival::Losing(Partition { index: index as u32, epoch }));
        }
    }

    fn tell(&mut self, member: u64, news: Arrival) {
        if let Some(member) = self.members.get_mut(&member) {
            member.ownership.push_back(news);
        }
    }

    fn settle(&mut self, partition: Partition, position: &Position) {
        let (Some(lane), Position::Offset(last)) = (self.lane(partition), position) else { return };
        lane.committed = lane.committed.max(usize::try_from(last + 1).unwrap_or(0));
    }

    /// The partition, unless the epoch is an old one.
    fn lane(&mut self, partition: Partition) -> Option<&mut Lane> {
        let lane = self.partitions.get_mut(partition.index as usize)?;
        lane.owner.as_ref().is_some_and(|owner| owner.epoch == partition.epoch).then_some(lane)
    }

    /// `None`: nothing to say yet.
    fn take(&mut self, id: u64, want: usize) -> Result<Option<Vec<Arrival>>, Error> {
        let Some(member) = self.members.get_mut(&id) else {
            return Err(Error::stop("memory-closed", "the log was closed: nothing can be read from it"));
        };
        let mut out: Vec<_> = member.ownership.drain(..).collect();
        let turn = member.turn;
        if let Some(error) = member.trouble.pop_front_if(|_| out.is_empty()) {
            return Err(error);
        }
        let idle = std::mem::take(&mut member.idle);
        if want > 0 {
            member.turn += 1;
            let mut left = want;
            for step in 0..self.partitions.len() {
                let index = (turn + step) % self.partitions.len();
                self.partitions[index].read(index as u32, id, &mut left, &mut out);
            }
        }
        Ok((idle || !out.is_empty()).then_some(out))
    }
}

impl Lane {
    fn read(&mut self, index: u32, member: u64, left: &mut usize, out: &mut Vec<Arrival>) {
        let Some(owner) = self.owner.as_mut().filter(|o| o.member == member && o.open && !o.losing) else {
            return;
        };
        let partition = Partition { index, epoch: owner.epoch };
        while let Some(place) = self.places.get(owner.next) {
            let position = Position::Offset(owner.next as i64);
            match place {
                Some(_) if *left == 0 => return,
                Some((json, at)) => {
                    *left -= 1;
                    let place = Place::At { partition, position, key: 0 };
                    out.push(Arrival::Record(Record {
                        json: Ok(json.clone().into()),
                        place,
                        at: *at,
                        trace: None,
                    }));
                }
                None => out.push(Arrival::Passed(partition, position, None)),
            }
            owner.next += 1;
        }
        if self.sealed && !std::mem::replace(&mut owner.ended, true) {
            out.push(Arrival::Ended(partition));
        }
    }
}

/// A member of the group. Dropping it is a crash: nothing is settled, the others get its partitions.
#[derive(Debug)]
pub struct Log {
    topic: Topic,
    member: u64,
}

impl Drop for Log {
    fn drop(&mut self) {
        self.topic.leave(self.member);
    }
}

#[async_trait]
impl crate::Log for Log {
    async fn next(&self, want: usize) -> Result<Vec<Arrival>, Error> {
        loop {
            let changed = self.topic.0.changed.notified();
            tokio::pin!(changed);
            // Enabled before looking, or a change in between would not wake us.
            changed.as_mut().enable();
            if let Some(out) = self.topic.state().take(self.member, want)? {
                return Ok(out);
            }
            changed.await;
        }
    }

    fn flow(&self, partition: Partition, open: bool) {
        if let Some(owner) = self.topic.state().lane(partition).and_then(|lane| lane.owner.as_mut()) {
            owner.open = open;
        }
        self.topic.0.changed.notify_waiters();
    }

    async fn checkpoint(&self, through: &[(Partition, Position)]) -> Result<(), Error> {
        let mut state = self.topic.state();
        for (partition, position) in through {
            state.settle(*partition, position);
        }
        Ok(())
    }

    async fn release(&self, partition: Partition, through: Option<Position>) -> Result<(), Error> {
        let mut state = self.topic.state();
        if let Some(position) = through {
            state.settle(partition, &position);
        }
        if let Some(lane) = state.lane(partition) {
            // Released without having been asked: a member on its way out. It keeps the partition until it closes.
            match &mut lane.owner {
                Some(owner) if !owner.losing => owner.losing = true,
                owner => *owner = None,
            }
        }
        state.deal();
        drop(state);
        self.topic.0.changed.notify_waiters();
        Ok(())
    }

    fn name(&self, partition: Partition) -> Option<Arc<str>> {
        let known = (partition.index as usize) < self.topic.state().partitions.len();
        known.then(|| format!("partition-{}", partition.index).into())
    }

    fn lag(&self) -> Vec<(Partition, u64)> {
        let state = self.topic.state();
        let lanes = (0..).zip(&state.partitions);
        let behind = |(index, lane): (u32, &Lane)| {
            let owner = lane.owner.as_ref().filter(|owner| owner.member == self.member)?;
            Some((Partition { index, epoch: owner.epoch }, (lane.places.len() - lane.committed) as u64))
        };
        lanes.filter_map(behind).collect()
    }

    async fn close(&self) -> Result<(), Error> {
        self.topic.leave(self.member);
        Ok(())
    }
}
