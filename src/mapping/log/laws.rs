//! The laws of a log mapping, over thousands of seeded schedules: records come, invocations end every way they can,
//! partitions are gained, lost and let go, checkpoints fail, time passes, in any order. No runtime, no I/O.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use klr_contract::Arrival;

use super::*;
use crate::mapping::{brackets::Brackets, next::Policy};

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// One partition as the broker has it.
#[derive(Default, Debug)]
struct Broker {
    epoch: u32,
    owned: bool,
    closed: bool,
    /// The next offset to hand over.
    next: i64,
    /// The last offset checkpointed, -1 at first.
    committed: i64,
}

struct World {
    log: Log,
    dice: Dice,
    now: Now,
    brokers: BTreeMap<u32, Broker>,
    /// Offsets a partition ends at.
    end: i64,
    out: Vec<Action>,
    flying: BTreeMap<u64, Arc<Vec<Record>>>,
    /// Settled records: partition, offset.
    settled: BTreeSet<(Partition, i64)>,
    given_up: BTreeSet<(u32, i64)>,
    largest: usize,
}

const PARTITIONS: u32 = 3;
/// When all records were written, in seconds.
const BORN: i64 = 1_000_000;

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let policy = Policy {
            report: dice.roll(2) == 0,
            retries: (dice.roll(3) == 0).then(|| dice.roll(3) as u32),
            age: (dice.roll(4) == 0).then_some(Duration::from_secs(60)),
            bisect: dice.roll(2) == 0,
        };
        let settings = Settings {
            batch_size: 1 + dice.roll(8) as usize,
            window: Duration::from_millis(dice.roll(3) * 500),
            budget: 60,
            policy,
            maximum_concurrency: None,
            timeout: None,
            drain: Duration::from_secs(1),
            once: false,
        };
        let now = Now { instant: Instant::now(), wall: Timestamp::from_second(BORN).unwrap() };
        let brokers =
            (0..PARTITIONS).map(|index| (index, Broker { committed: -1, ..Broker::default() })).collect();
        Self {
            log: Log::new(settings, Arc::new(Brackets), 150, seed),
            dice,
            now,
            brokers,
            end: 30,
            out: Vec::new(),
            flying: BTreeMap::new(),
            settled: BTreeSet::new(),
            given_up: BTreeSet::new(),
            largest: 0,
        }
    }

    fn step(&mut self, input: Input) {
        let mut out = std::mem::take(&mut self.out);
        self.log.step(input, self.now, &mut out);
        for action in out.drain(..) {
            self.perform(action);
        }
        self.out = out;
        // Bytes held stay under the share plus one pull: a pull here is at most five records a partition.
        assert!(self.log.used() <= 150 + 15 * self.largest.max(1), "{} bytes held", self.log.used());
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Invoke(flight, records) => self.invoke(flight, records),
            Action::Flow(partition, open) => {
                let broker = self.brokers.get_mut(&partition.index).unwrap();
                assert_eq!(broker.closed, open, "a flow is told only what is new");
                broker.closed = !open;
            }
            Action::Release(partition, through) => {
                self.commit(partition, through);
                let broker = self.brokers.get_mut(&partition.index).unwrap();
                assert!(broker.owned && broker.epoch == partition.epoch);
                broker.owned = false;
            }
            Action::Dropped(..) => {}
            Action::Halt(why) => panic!("{why}"),
        }
    }

    fn invoke(&mut self, flight: u64, records: Arc<Vec<Record>>) {
        assert!(!records.is_empty());
        assert!(records.len() <= self.log.settings.batch_size, "over the batch size");
        assert!(Brackets.event(&records).len() <= 60, "over the byte budget");
        let mut last = BTreeMap::new();
        for record in records.iter() {
            let (partition, offset) = place(record);
            assert!(
                last.insert(partition, offset).is_none_or(|before| before < offset),
                "order within a batch"
            );
            assert!(!self.settled.contains(&(partition, offset)), "a settled record was invoked again");
        }
        for other in self.flying.values().flat_map(|records| records.iter()) {
            let index = place(other).0.index;
            assert!(
                !last.keys().any(|partition| partition.index == index),
                "two batches of partition {index} at once"
            );
        }
        let here: BTreeSet<_> = records.iter().map(place).collect();
        for (partition, offset) in &here {
            let broker = &self.brokers[&partition.index];
            for earlier in broker.committed + 1..*offset {
                let earlier = (*partition, earlier);
                let gone = self.settled.contains(&earlier)
                    || here.contains(&earlier)
                    || self.given_up((partition.index, earlier.1));
                assert!(gone || broker.epoch != partition.epoch, "{offset} overtook {}", earlier.1);
            }
        }
        self.flying.insert(flight, records);
    }

    /// Whether the mapping's own limits allow this record to be gone.
    fn given_up(&self, record: (u32, i64)) -> bool {
        let expired = self.now.wall.as_millisecond() > (BORN + 60) * 1000;
        self.given_up.contains(&record) || (self.log.settings.policy.age.is_some() && expired)
    }

    fn commit(&mut self, partition: Partition, through: Option<Position>) {
        let Some(Position::Offset(through)) = through else { return };
        let Broker { epoch, committed, .. } = self.brokers[&partition.index];
        if epoch != partition.epoch {
            return;
        }
        for offset in committed + 1..=through {
            let settled =
                (0..=epoch).any(|epoch| self.settled.contains(&(Partition { epoch, ..partition }, offset)));
            assert!(settled || self.given_up((partition.index, offset)), "checkpoint passed {offset}");
        }
        assert!(through >= committed, "a checkpoint never goes back");
        self.brokers.get_mut(&partition.index).unwrap().committed = through;
    }

    fn answer(&mut self, judged: Option<Judged>) {
        let flights: Vec<u64> = self.flying.keys().copied().collect();
        if flights.is_empty() {
            return;
        }
        let flight = flights[self.dice.roll(flights.len() as u64) as usize];
        let records = self.flying.remove(&flight).unwrap();
        let judged = judged.unwrap_or_else(|| self.judged(records.len()));
        let failed: Vec<usize> = match &judged {
            Judged::Done => Vec::new(),
            Judged::Partial(failed) => failed.clone(),
            _ => (0..records.len()).collect(),
        };
        let policy = &self.log.settings.policy;
        let may_drop = policy.retries.is_some() || judged == Judged::Rejected;
        for (index, record) in records.iter().enumerate() {
            let (partition, offset) = place(record);
            if !failed.contains(&index) {
                self.settled.insert((partition, offset));
            } else if may_drop {
                self.given_up.insert((partition.index, offset));
            }
        }
        self.step(Input::Answered(flight, judged));
    }

    fn judged(&mut self, len: usize) -> Judged {
        match self.dice.roll(12) {
            0 => Judged::Failed("x"),
            1 => Judged::Broken,
            2 => Judged::TooLarge,
            3 => Judged::Throttled(None),
            4 => Judged::Unreachable("x".into()),
            5 | 6 if self.log.settings.policy.report => {
                let failed: Vec<usize> = (0..len).filter(|_| self.dice.roll(2) == 0).collect();
                if failed.is_empty() { Judged::Done } else { Judged::Partial(failed) }
            }
            _ => Judged::Done,
        }
    }

    fn pull(&mut self) {
        let mut want = self.log.want().min(5 * PARTITIONS as usize);
        let mut arrivals = Vec::new();
        for (index, broker) in &mut self.brokers {
            let partition = Partition { index: *index, epoch: broker.epoch };
            for _ in 0..self.dice.roll(5) {
                if want == 0 || !broker.owned || broker.closed || broker.next >= self.end {
                    break;
                }
                let size = 1 + self.dice.roll(25) as usize;
                self.largest = self.largest.max(size);
                arrivals.push(Arrival::Record(Record {
                    json: Ok(Bytes::from("1".repeat(size))),
                    place: Place::At { partition, position: Position::Offset(broker.next), key: 0 },
                    at: Timestamp::from_second(BORN).unwrap(),
                    trace: None,
                }));
                broker.next += 1;
                want -= 1;
            }
        }
        self.step(Input::Arrived(arrivals));
    }

    fn gain(&mut self, index: u32) {
        let broker = self.brokers.get_mut(&index).unwrap();
        if broker.owned {
            return;
        }
        broker.epoch += 1;
        broker.owned = true;
        broker.closed = false;
        broker.next = broker.committed + 1;
        let partition = Partition { index, epoch: broker.epoch };
        self.step(Input::Arrived(vec![Arrival::Gained(partition)]));
    }

    fn lose(&mut self, index: u32, lost: bool) {
        let broker = self.brokers.get_mut(&index).unwrap();
        if !broker.owned {
            return;
        }
        let partition = Partition { index, epoch: broker.epoch };
        if lost {
            broker.owned = false;
            self.step(Input::Arrived(vec![Arrival::Lost(partition)]));
        } else {
            self.step(Input::Arrived(vec![Arrival::Losing(partition)]));
        }
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

    fn chaos(&mut self) {
        let index = self.dice.roll(u64::from(PARTITIONS)) as u32;
        match self.dice.roll(16) {
            0..=4 => self.pull(),
            5..=9 => self.answer(None),
            10 | 11 => {
                let millis = self.dice.roll(4000);
                self.tick(millis);
            }
            12 => self.checkpoint(),
            13 => self.lose(index, self.dice.0 & 1 == 0),
            _ => self.gain(index),
        }
    }

    /// The function succeeds from now on: no lane waits for ever.
    fn heal(&mut self) {
        for round in 0..3000 {
            (0..PARTITIONS).for_each(|index| self.gain(index));
            self.pull();
            self.answer(Some(Judged::Done));
            self.tick(500);
            for (partition, position) in self.log.checkpoints() {
                self.commit(partition, Some(position));
            }
            if self.brokers.values().all(|broker| broker.committed == self.end - 1) {
                return;
            }
            if self.log.problem().is_some_and(|problem| problem.contains("holds")) {
                return;
            }
            assert!(round < 2999, "a lane waits for ever");
        }
    }
}

fn place(record: &Record) -> (Partition, i64) {
    match &record.place {
        Place::At { partition, position: Position::Offset(offset), .. } => (*partition, *offset),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_laws_hold_over_seeded_schedules() {
    for seed in 0..20_000 {
        let outcome = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            (0..200).for_each(|_| world.chaos());
            world.heal();
        });
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

/// A retry holds the partitions whose records it repeats, and no other of its batch.
#[test]
fn a_partition_that_is_done_does_not_wait_for_anothers_retry() {
    let mut world = World::new(0);
    world.log.settings.batch_size = 4;
    let partitions = [0, 1].map(|index| Partition { index, epoch: 1 });
    let record = |partition, offset| {
        let place = Place::At { partition, position: Position::Offset(offset), key: 0 };
        let at = Timestamp::from_second(BORN).unwrap();
        Arrival::Record(Record { json: Ok(Bytes::from_static(b"1")), place, at, trace: None })
    };
    let mut out = Vec::new();
    let mut arrivals: Vec<_> = partitions.map(Arrival::Gained).into();
    arrivals.extend((0..2).flat_map(|offset| partitions.map(|partition| record(partition, offset))));
    world.log.step(Input::Arrived(arrivals), world.now, &mut out);
    let Some(Action::Invoke(flight, batch)) = out.pop() else { panic!("{out:?}") };
    assert_eq!(batch.len(), 4, "both partitions");
    let failed = batch.iter().position(|record| place(record) == (partitions[0], 1)).unwrap();
    world.log.step(Input::Answered(flight, Judged::Partial(vec![failed])), world.now, &mut out);
    let more = (0..2).flat_map(|n| partitions.map(|partition| record(partition, 2 + n)));
    let more = more.chain([record(partitions[1], 4), record(partitions[1], 5)]).collect();
    world.log.step(Input::Arrived(more), world.now, &mut out);
    let Some(Action::Invoke(_, batch)) = out.pop() else { panic!("{out:?}") };
    let places: Vec<_> = batch.iter().map(place).collect();
    assert_eq!(places, [2, 3, 4, 5].map(|offset| (partitions[1], offset)));
}
