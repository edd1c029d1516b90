//! A source, a function, a destination and a clock, driven by dice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use klr_contract::{Arrival, Partition, Place, Position, Record};
use tokio::time::Instant;

use super::{
    super::{Action, Call, Heard, Input, Log, Now},
    place,
};
use crate::mapping::{
    Lanes, Settings,
    brackets::Brackets,
    failure::Failure,
    next::{Judged, OnFailure, Policy},
};

pub struct Dice(u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    pub fn flip(&mut self) -> bool {
        self.roll(2) == 0
    }
}

/// One partition as the service has it.
#[derive(Default, Debug)]
pub struct Broker {
    pub epoch: u32,
    pub owned: bool,
    pub closed: bool,
    /// The next offset to hand over.
    pub next: i64,
    /// The last offset checkpointed, -1 at first.
    pub committed: i64,
    /// It was told that nothing more comes.
    pub ended: bool,
}

pub struct World {
    pub log: Log,
    pub settings: Settings,
    pub now: Now,
    pub brokers: BTreeMap<u32, Broker>,
    pub flying: BTreeMap<u64, Call>,
    pub discarding: BTreeMap<u64, Failure>,
    /// Records the function has done: partition, offset.
    pub settled: BTreeSet<(Partition, i64)>,
    /// Records the destination has taken, by partition number.
    pub sent: BTreeSet<(u32, i64)>,
    /// Records that may have been dropped.
    pub dropped: BTreeSet<(u32, i64)>,
    /// Invocations that failed with a record in them since it last made progress, at most.
    pub largest: usize,
    /// The state the function answered last in a window that is open: its start, the state.
    pub states: BTreeMap<Partition, (Timestamp, Bytes)>,
    /// Whether shards end.
    closing: bool,
    /// Whether some records are not for the function.
    filtering: bool,
    pub dice: Dice,
    /// Offsets a partition ends at.
    pub end: i64,
    answers: u64,
}

pub const PARTITIONS: u32 = 3;
pub const SHARE: usize = 150;
pub const BUDGET: usize = 60;
/// When the first records were written, in seconds.
const BORN: i64 = 1_000_000;
/// Below it a window takes all of a record's room.
const WINDOW_BUDGET: usize = 1_200;

/// Two seconds apart.
pub fn born(offset: i64) -> Timestamp {
    Timestamp::from_second(BORN + offset * 2).unwrap()
}

pub fn key(offset: i64) -> u32 {
    (offset.unsigned_abs() as u32).wrapping_mul(2_654_435_761) >> 13
}

/// Whether a filter that filters drops it: alone, and several in a row.
pub fn filtered(offset: i64) -> bool {
    key(offset / 3).is_multiple_of(4) || key(offset).is_multiple_of(5)
}

impl World {
    pub fn plain() -> Settings {
        Settings {
            batch_size: 10,
            window: Duration::ZERO,
            budget: BUDGET,
            lanes: Lanes::Partitions,
            policy: Policy::default(),
            maximum_concurrency: None,
            timeout: None,
            strict: true,
            drain: Duration::from_secs(1),
            once: false,
        }
    }

    pub fn log(settings: Settings, seed: u64) -> Log {
        Log::new(settings, Arc::new(Brackets), SHARE, seed)
    }

    pub fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let parallel = 1 + dice.roll(3) as usize;
        let lanes = match dice.roll(3) {
            0 => Lanes::Partitions,
            1 => Lanes::Keys { parallel, tumbling: None },
            _ => Lanes::Keys { parallel, tumbling: Some(Duration::from_secs(10)) },
        };
        let on_failure = [OnFailure::Drop, OnFailure::Send, OnFailure::SendOrDrop][dice.roll(3) as usize];
        let policy = Policy {
            report: dice.flip(),
            retries: (dice.roll(3) == 0).then(|| dice.roll(3) as u32),
            age: (dice.roll(4) == 0).then_some(Duration::from_secs(60)),
            bisect: dice.flip(),
            from_lowest: lanes != Lanes::Partitions,
            on_failure,
        };
        let settings = Settings {
            batch_size: 1 + dice.roll(8) as usize,
            window: Duration::from_millis(dice.roll(3) * 500),
            budget: if lanes.tumbling().is_some() { WINDOW_BUDGET } else { BUDGET },
            lanes,
            policy,
            ..Self::plain()
        };
        let now = Now { instant: Instant::now(), wall: born(0) };
        let broker = |index| (index, Broker { committed: -1, ..Broker::default() });
        Self {
            log: Self::log(settings.clone(), seed),
            settings,
            now,
            brokers: (0..PARTITIONS).map(broker).collect(),
            flying: BTreeMap::new(),
            discarding: BTreeMap::new(),
            settled: BTreeSet::new(),
            sent: BTreeSet::new(),
            dropped: BTreeSet::new(),
            largest: 0,
            states: BTreeMap::new(),
            closing: dice.flip(),
            filtering: dice.flip(),
            dice,
            end: 30,
            answers: 0,
        }
    }

    fn step(&mut self, input: Input) {
        let mut out = Vec::new();
        self.log.step(input, self.now, &mut out);
        out.into_iter().for_each(|action| self.perform(action));
        // Bytes held stay under the share plus one pull: a pull here is at most five records a partition.
        let most = SHARE + 15 * self.largest.max(1);
        assert!(self.log.used() <= most, "{} bytes held", self.log.used());
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Invoke(flight, call) => {
                self.check_call(&call);
                self.flying.insert(flight, call);
            }
            Action::Discard(flight, failure) => {
                self.check_failure(&failure);
                self.discarding.insert(flight, failure);
            }
            Action::Flow(partition, open) => self.flow(partition, open),
            Action::Release(partition, through) => self.release(partition, through),
            // A window's last piece has nothing that could be sent.
            Action::Dropped(0, _) => {}
            Action::Dropped(..) => {
                assert_ne!(self.settings.policy.on_failure, OnFailure::Send, "dropped beside a destination");
            }
            Action::Halt(why) => panic!("{why}"),
        }
    }

    pub fn flow(&mut self, partition: Partition, open: bool) {
        let broker = self.brokers.get_mut(&partition.index).unwrap();
        assert_eq!(broker.closed, open, "a flow is told only what is new");
        broker.closed = !open;
    }

    pub fn release(&mut self, partition: Partition, through: Option<Position>) {
        self.commit(partition, through);
        let broker = self.brokers.get_mut(&partition.index).unwrap();
        assert!(broker.owned && broker.epoch == partition.epoch);
        broker.owned = false;
    }

    /// Some invocation ends, this way or a random one.
    fn answer(&mut self, judged: Option<Judged>) {
        let flights: Vec<u64> = self.flying.keys().copied().collect();
        if flights.is_empty() {
            return;
        }
        let flight = flights[self.dice.roll(flights.len() as u64) as usize];
        let call = self.flying.remove(&flight).unwrap();
        let judged = judged.unwrap_or_else(|| self.judged(call.records.len()));
        self.answers += 1;
        let state = call.window.is_some().then(|| Bytes::from(format!("{{\"n\":{}}}", self.answers)));
        self.learn(&call, &judged, state.as_ref());
        self.step(Input::Answered(flight, Heard { judged, state, request: None }));
    }

    /// Some failure record is taken, or not.
    fn confirm(&mut self, sure: bool) {
        let flights: Vec<u64> = self.discarding.keys().copied().collect();
        if flights.is_empty() {
            return;
        }
        let flight = flights[self.dice.roll(flights.len() as u64) as usize];
        let failure = self.discarding.remove(&flight).unwrap();
        let taken = sure || self.dice.flip();
        failure.records.iter().map(place).for_each(|place| self.sent_to_destination(place, taken));
        let result = if taken { Ok(()) } else { Err("x".to_owned()) };
        self.step(Input::Discarded(flight, result));
    }

    /// A failure record was taken, or not.
    pub fn sent_to_destination(&mut self, (partition, offset): (Partition, i64), taken: bool) {
        self.states.remove(&partition);
        let to = if taken { &mut self.sent } else { &mut self.dropped };
        to.insert((partition.index, offset));
    }

    pub fn judged(&mut self, len: usize) -> Judged {
        match self.dice.roll(12) {
            0 => Judged::Failed("x"),
            7 if self.settings.policy.report => Judged::Misreported("x"),
            1 => Judged::Broken,
            2 => Judged::TooLarge,
            3 => Judged::Throttled(None),
            4 => Judged::Unreachable("x".into()),
            5 | 6 if self.settings.policy.report => {
                let failed: Vec<usize> = (0..len).filter(|_| self.dice.flip()).collect();
                if failed.is_empty() { Judged::Done } else { Judged::Partial(failed) }
            }
            _ => Judged::Done,
        }
    }

    fn pull(&mut self) {
        let arrivals = self.records(self.log.want());
        self.step(Input::Arrived(arrivals));
    }

    /// What one read brings.
    pub fn records(&mut self, want: usize) -> Vec<Arrival> {
        let mut want = want.min(5 * PARTITIONS as usize);
        let mut arrivals = Vec::new();
        for (index, broker) in &mut self.brokers {
            let partition = Partition { index: *index, epoch: broker.epoch };
            for _ in 0..self.dice.roll(5) {
                if want == 0 || !broker.owned || broker.closed || broker.next >= self.end {
                    break;
                }
                let position = Position::Offset(broker.next);
                if self.filtering && filtered(broker.next) {
                    self.settled.insert((partition, broker.next));
                    arrivals.push(Arrival::Passed(partition, position, Some(born(broker.next))));
                    broker.next += 1;
                    want -= 1;
                    continue;
                }
                let size = 1 + self.dice.roll(25) as usize;
                self.largest = self.largest.max(size);
                arrivals.push(Arrival::Record(Record {
                    json: Ok("1".repeat(size).into()),
                    place: Place::At { partition, position, key: key(broker.next) },
                    at: born(broker.next),
                    trace: None,
                }));
                broker.next += 1;
                want -= 1;
            }
            if self.closing && broker.owned && broker.next == self.end && !broker.ended {
                broker.ended = true;
                arrivals.push(Arrival::Ended(partition));
            }
        }
        arrivals
    }

    fn gain(&mut self, index: u32) {
        if let Some(gained) = self.gained(index) {
            self.step(Input::Arrived(vec![gained]));
        }
    }

    /// Ours again, from behind what is committed; `None`: it is ours.
    pub fn gained(&mut self, index: u32) -> Option<Arrival> {
        let broker = self.brokers.get_mut(&index).unwrap();
        if broker.owned {
            return None;
        }
        *broker = Broker {
            epoch: broker.epoch + 1,
            owned: true,
            next: broker.committed + 1,
            committed: broker.committed,
            ..Broker::default()
        };
        Some(Arrival::Gained(Partition { index, epoch: broker.epoch }))
    }

    fn lose(&mut self, index: u32, lost: bool) {
        if let Some(losing) = self.losing(index, lost) {
            self.step(Input::Arrived(vec![losing]));
        }
    }

    /// To be let go, or lost at once; `None`: it is not ours.
    pub fn losing(&mut self, index: u32, lost: bool) -> Option<Arrival> {
        let broker = self.brokers.get_mut(&index).filter(|broker| broker.owned)?;
        let partition = Partition { index, epoch: broker.epoch };
        broker.owned = !lost;
        Some(if lost { Arrival::Lost(partition) } else { Arrival::Losing(partition) })
    }

    fn checkpoint(&mut self) {
        let taken = self.log.checkpoints();
        if self.dice.roll(4) == 0 {
            self.log.uncheckpointed(&taken);
            return;
        }
        for (partition, position) in taken {
            self.commit(partition, Some(position));
        }
    }

    fn tick(&mut self, millis: u64) {
        self.now.instant += Duration::from_millis(millis);
        self.now.wall += Duration::from_millis(millis);
        self.step(Input::Tick);
    }

    pub fn chaos(&mut self) {
        let index = self.dice.roll(u64::from(PARTITIONS)) as u32;
        match self.dice.roll(18) {
            0..=4 => self.pull(),
            5..=9 => self.answer(None),
            10 | 11 => {
                let millis = self.dice.roll(4000);
                self.tick(millis);
            }
            12 => self.checkpoint(),
            13 => {
                let lost = self.dice.flip();
                self.lose(index, lost);
            }
            14 | 15 => self.confirm(false),
            _ => self.gain(index),
        }
    }

    /// Everything succeeds from now on: no lane waits for ever.
    pub fn heal(&mut self) {
        for _ in 0..3000 {
            (0..PARTITIONS).for_each(|index| self.gain(index));
            self.pull();
            self.answer(Some(Judged::Done));
            self.confirm(true);
            // Longer than the longest back-off, so that a window's two minutes of silence pass too.
            self.tick(2_000);
            for (partition, position) in self.log.checkpoints() {
                self.commit(partition, Some(position));
            }
            if self.brokers.values().all(|broker| broker.committed == self.end - 1) {
                return;
            }
            if self.log.problem().is_some_and(|problem| problem.contains("holds")) {
                return;
            }
        }
        panic!("a lane waits for ever: {:?}", self.brokers);
    }
}
