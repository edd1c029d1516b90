//! The laws of a log mapping, over thousands of seeded schedules: records come, invocations end every way they can, the
//! destination fails, partitions are gained, lost and let go, checkpoints fail, time passes, in any order. No runtime, no
//! I/O. A seed that fails is printed; `KLR_SEED=n` runs it alone.

mod checks;
pub(in crate::mapping) mod world;

use std::sync::Arc;

use jiff::Timestamp;
use klr_contract::{Arrival, Partition, Place, Position, Record};
use uuid::Uuid;

use super::{Action, Heard, Input};
use crate::mapping::next::Judged;
use world::World;

/// Some laws break in one schedule of thirty thousand.
const SCHEDULES: u64 = 100_000;

fn run(seed: u64) {
    let mut world = World::new(seed);
    (0..150).for_each(|_| world.chaos());
    world.heal();
}

#[test]
fn the_laws_hold_over_seeded_schedules() {
    if let Some(seed) = std::env::var("KLR_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return run(seed);
    }
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    std::thread::scope(|scope| {
        for first in 0..threads {
            scope.spawn(move || {
                for seed in (first..SCHEDULES).step_by(threads as usize) {
                    assert!(std::panic::catch_unwind(|| run(seed)).is_ok(), "KLR_SEED={seed}");
                }
            });
        }
    });
}

pub fn place(record: &Record) -> (Partition, i64) {
    match &record.place {
        Place::At { partition, position: Position::Offset(offset), .. } => (*partition, *offset),
        other => panic!("{other:?}"),
    }
}

/// A retry holds the partitions whose records it repeats, and no other of its batch.
#[test]
fn a_partition_that_is_done_does_not_wait_for_anothers_retry() {
    let mut world = World::new(0);
    world.log = World::log(crate::mapping::Settings { batch_size: 4, ..World::plain() }, 0);
    let partitions = [0, 1].map(|index| Partition { index, epoch: 1 });
    let record = |partition, offset| {
        let place = Place::At { partition, position: Position::Offset(offset), key: 0 };
        let at = Timestamp::from_second(1_000_000).unwrap();
        Arrival::Record(Record { json: Ok("1".into()), place, at, trace: None })
    };
    let mut out = Vec::new();
    let mut arrivals: Vec<_> = partitions.map(Arrival::Gained).into();
    arrivals.extend((0..2).flat_map(|offset| partitions.map(|partition| record(partition, offset))));
    world.log.step(Input::Arrived(arrivals), world.now, &mut out);
    let Some(Action::Invoke(flight, call)) = out.pop() else { panic!("{out:?}") };
    assert_eq!(call.records.len(), 4, "both partitions");
    let failed = call.records.iter().position(|record| place(record) == (partitions[0], 1)).unwrap();
    world.log.step(Input::Answered(flight, Judged::Partial(vec![failed]).into()), world.now, &mut out);
    let more = (0..2).flat_map(|n| partitions.map(|partition| record(partition, 2 + n)));
    let more = more.chain([record(partitions[1], 4), record(partitions[1], 5)]).collect();
    world.log.step(Input::Arrived(more), world.now, &mut out);
    let Some(Action::Invoke(_, call)) = out.pop() else { panic!("{out:?}") };
    let places: Vec<_> = call.records.iter().map(place).collect();
    assert_eq!(places, [2, 3, 4, 5].map(|offset| (partitions[1], offset)));
}

/// AWS: a failure record has the id of the last invocation; an answer that has none does not take it away.
#[test]
fn what_is_given_up_names_its_last_invocation() {
    use crate::mapping::{
        Lanes, Settings,
        next::{OnFailure, Policy},
    };
    let policy = Policy { retries: Some(2), on_failure: OnFailure::Send, ..Policy::default() };
    let lanes = Lanes::Keys { parallel: 1, tumbling: None };
    let settings = Settings { lanes, policy, ..World::plain() };
    let mut log = super::Log::new(settings, Arc::new(crate::mapping::brackets::Brackets), 64 << 20, 1);
    let mut now = super::Now::get();
    let partition = Partition { index: 0, epoch: 1 };
    let place = Place::At { partition, position: Position::Offset(0), key: 0 };
    let record = Record { json: Ok("1".into()), place, at: now.wall, trace: None };
    let mut out = Vec::new();
    log.step(Input::Arrived(vec![Arrival::Gained(partition), Arrival::Record(record)]), now, &mut out);
    let ids = [Some(1), Some(2), None].map(|id| id.map(Uuid::from_u128));
    for request in ids {
        now.instant += std::time::Duration::from_secs(61);
        log.step(Input::Tick, now, &mut out);
        let Some(Action::Invoke(flight, _)) = out.pop() else { panic!("{out:?}") };
        let judged = Judged::Failed("x");
        log.step(Input::Answered(flight, Heard { judged, state: None, request }), now, &mut out);
    }
    let Some(Action::Discard(_, failure)) = out.pop() else { panic!("{out:?}") };
    assert_eq!((failure.tries.attempts, failure.tries.request), (3, ids[1]));
}

/// AWS: bisect isolates one poison record of ten thousand in at most 2·⌈log2 n⌉ extra invocations.
#[test]
fn bisect_finds_a_poison_record_in_few_invocations() {
    use crate::mapping::{Lanes, Settings, next::Policy};
    let policy = Policy { bisect: true, retries: Some(0), from_lowest: true, ..Policy::default() };
    let lanes = Lanes::Keys { parallel: 1, tumbling: None };
    let settings = Settings { batch_size: 10_000, budget: 6_291_456, lanes, policy, ..World::plain() };
    let mut log = super::Log::new(settings, Arc::new(crate::mapping::brackets::Brackets), 64 << 20, 1);
    let mut now = super::Now::get();
    let partition = Partition { index: 0, epoch: 1 };
    let mut arrivals = vec![Arrival::Gained(partition)];
    arrivals.extend((0..10_000).map(|offset| {
        let place = Place::At { partition, position: Position::Offset(offset), key: 0 };
        Arrival::Record(Record { json: Ok("1".into()), place, at: now.wall, trace: None })
    }));
    let mut out = Vec::new();
    log.step(Input::Arrived(arrivals), now, &mut out);
    let (mut invocations, mut dropped) = (0, 0);
    while let Some(action) = out.pop() {
        match action {
            Action::Invoke(flight, call) => {
                invocations += 1;
                let poisoned = call.records.iter().any(|record| place(record).1 == 7_777);
                let judged = if poisoned { Judged::Failed("x") } else { Judged::Done };
                log.step(Input::Answered(flight, judged.into()), now, &mut out);
            }
            Action::Dropped(records, _) => dropped += records,
            Action::Flow(..) => {}
            other => panic!("{other:?}"),
        }
        if out.is_empty() {
            now.instant += std::time::Duration::from_secs(61);
            log.step(Input::Tick, now, &mut out);
        }
    }
    assert_eq!(dropped, 1, "the poison record alone");
    assert_eq!(log.checkpoints(), [(partition, Position::Offset(9_999))]);
    assert!(invocations <= 1 + 28, "{invocations} invocations");
}
