//! The state between rounds, reads and the engine, driven at random.

use std::time::Duration;

use klr_contract::Record;
use proptest::prelude::*;

use super::*;
use crate::shards::Answer;
use crate::shards::agenda::{IN_HAND, Order, READS};

const SHARDS: u32 = 12;
/// Records of each shard, and in an answer.
const RECORDS: usize = 60;
const PAGE: usize = 7;

/// What may happen between two looks.
#[derive(Debug, Clone)]
enum Event {
    /// The reads that are due begin.
    Begin,
    /// One of those under way ends: well, or not.
    Land(prop::sample::Index, bool),
    Take(usize),
    Flow(u32, bool),
    Lose(u32),
    Settle(u32, prop::sample::Index),
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Begin),
        8 => (any::<prop::sample::Index>(), prop::bool::weighted(0.9)).prop_map(|(i, ok)| Event::Land(i, ok)),
        4 => (0_usize..20).prop_map(Event::Take),
        1 => (0..SHARDS, any::<bool>()).prop_map(|(shard, open)| Event::Flow(shard, open)),
        1 => (0..SHARDS).prop_map(Event::Lose),
        2 => (0..SHARDS, any::<prop::sample::Index>()).prop_map(|(shard, i)| Event::Settle(shard, i)),
        4 => (0_u64..400).prop_map(Event::Wait),
    ]
}

const PACE: Pace = Pace {
    idle: Duration::from_secs(1),
    busy: Duration::from_millis(200),
    bytes_per_second: Some(1 << 20),
    quiet: 1,
};

fn row(shard: u32, version: u64, mark: Mark) -> Row {
    Row {
        partition: format!("shard-{shard}"),
        stream: "s".to_owned(),
        mark,
        owner: Some("me".to_owned()),
        version,
    }
}

fn record(partition: Partition, n: usize) -> Arrival {
    let place = Place::At { partition, position: Position::Opaque(n.to_string().into()), key: 0 };
    Arrival::Record(Record { json: Ok("{}".into()), place, at: Timestamp::UNIX_EPOCH, trace: None })
}

/// The service: a cursor is the number of the next record; a mark is after one.
fn read(order: &Order<usize>) -> Answer<usize> {
    let from = order.cursor.unwrap_or(match &order.mark {
        Mark::After(text) => text.parse::<usize>().unwrap() + 1,
        _ => 0,
    });
    let to = RECORDS.min(from + PAGE);
    let arrivals = (from..to).map(|n| record(order.reading.partition, n)).collect();
    Answer { arrivals, bytes: 1000, next: (to < RECORDS).then_some(to), caught_up: to == RECORDS }
}

/// What the engine knows of a shard: its epoch, the next record, and how far it is done.
#[derive(Default, Clone)]
struct Known {
    partition: Option<Partition>,
    next: usize,
    done: usize,
    ended: bool,
}

/// A stream on which nothing happens has nothing else that tells the engine.
#[test]
fn that_all_is_well_again_is_told_once() {
    let mut state: State<usize> = State::new(PACE, false, None);
    state.number(&"shard-0".into());
    state.gain(row(0, 1, Mark::Oldest), false, None, Instant::now());
    let partition = state.held[&0].partition;
    state.take(1).unwrap();
    state.tell_reached();
    assert!(state.take(1).unwrap().is_none(), "it was well");
    state.failed(partition, |_| Instant::now());
    state.complain(Error::retry("x", "no answer").after(Duration::from_secs(30)));
    assert_eq!(state.take(1).unwrap_err().kind(), Kind::Retry { after: Some(AGAIN) });
    state.tell_reached();
    assert!(state.take(1).unwrap().is_none(), "its shard still fails");
    let answer = Answer { arrivals: Vec::new(), bytes: 0, next: Some(0), caught_up: true };
    state.arrived(partition, answer, Instant::now());
    state.tell_reached();
    assert!(state.take(1).unwrap().is_some_and(|arrivals| arrivals.is_empty()));
    state.tell_reached();
    assert!(state.take(1).unwrap().is_none(), "told once");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens: ownership first, no gap, nothing twice, bounded; and a row never says more than is done.
    #[test]
    fn laws(events in prop::collection::vec(event(), 1..300)) {
        let mut now = Instant::now();
        let mut state: State<usize> = State::new(PACE, false, None);
        let mut known = vec![Known::default(); SHARDS as usize];
        for shard in 0..SHARDS {
            state.number(&format!("shard-{shard}").into());
            state.gain(row(shard, 1, Mark::Oldest), false, None, now);
        }
        let mut flying = Vec::new();
        for event in events {
            match event {
                Event::Begin => flying.extend(state.due(now)),
                Event::Land(index, ok) if !flying.is_empty() => {
                    let order = flying.remove(index.index(flying.len()));
                    let partition = order.reading.partition;
                    if state.landed(partition, order.turn, order.behind) {
                        match ok {
                            true => state.arrived(partition, read(&order), now),
                            false => drop(state.failed(partition, |_| now + Duration::from_millis(100))),
                        }
                    }
                }
                Event::Land(..) => {}
                Event::Take(want) => {
                    let arrivals = state.take(want).unwrap().unwrap_or_default();
                    let records = arrivals.iter().filter(|a| matches!(a, Arrival::Record(_))).count();
                    prop_assert!(records <= want);
                    for arrival in arrivals {
                        hear(&mut known, arrival)?;
                    }
                }
                Event::Flow(shard, open) => {
                    if let Some(partition) = known[shard as usize].partition {
                        state.flow(partition, open);
                    }
                }
                Event::Lose(shard) => {
                    let its = &mut known[shard as usize];
                    if let Some(partition) = its.partition {
                        state.lose(&format!("shard-{shard}"));
                        let through = its.done.checked_sub(1).map(|n| Position::Opaque(n.to_string().into()));
                        state.release(partition, through.as_ref());
                        its.partition = None;
                        let pending = state.pending("s", "me");
                        let mine = pending.iter().find(|row| row.owner.is_none()).unwrap().clone();
                        match &mine.mark {
                            Mark::After(text) => prop_assert!(text.parse::<usize>().unwrap() < its.done),
                            Mark::Ended => prop_assert!(its.ended && its.done == RECORDS),
                            _ => prop_assert_eq!(its.done, 0),
                        }
                        state.written(mine.clone());
                        // Dealt to us again, where the row says.
                        its.next = its.done;
                        if mine.mark != Mark::Ended {
                            state.gain(row(shard, mine.version + 1, mine.mark), false, None, now);
                        }
                    }
                }
                Event::Settle(shard, index) => {
                    let its = &mut known[shard as usize];
                    if let Some(partition) = its.partition && its.next > its.done {
                        its.done += index.index(its.next - its.done) + 1;
                        state.settle(partition, &Position::Opaque((its.done - 1).to_string().into()));
                        let lag = state.lag().into_iter().find(|(p, _)| *p == partition).unwrap().1;
                        prop_assert!(lag as usize >= its.next - its.done, "{lag}");
                    }
                }
                Event::Wait(millis) => now += Duration::from_millis(millis),
            }
            prop_assert!(state.hand.len() + state.reads.1 <= IN_HAND + READS);
            prop_assert_eq!(state.reads.0, flying.len());
        }
        // Left alone, everything comes.
        for shard in 0..SHARDS {
            if let Some(partition) = known[shard as usize].partition {
                state.flow(partition, true);
            }
        }
        for _ in 0..1000 {
            now += Duration::from_secs(1);
            flying.extend(state.due(now));
            for order in std::mem::take(&mut flying) {
                if state.landed(order.reading.partition, order.turn, order.behind) {
                    state.arrived(order.reading.partition, read(&order), now);
                }
            }
            for arrival in state.take(100).unwrap().unwrap_or_default() {
                hear(&mut known, arrival)?;
                for its in &known {
                    if let Some(partition) = its.partition {
                        state.flow(partition, true);
                    }
                }
            }
        }
        for its in known.iter().filter(|its| its.partition.is_some()) {
            prop_assert_eq!((its.next, its.ended), (RECORDS, true));
        }
    }
}

fn hear(known: &mut [Known], arrival: Arrival) -> Result<(), TestCaseError> {
    match arrival {
        Arrival::Gained(partition) => {
            let its = &mut known[partition.index as usize];
            its.partition = Some(partition);
            (its.next, its.ended) = (its.done, false);
        }
        Arrival::Record(record) => {
            let Place::At { partition, position: Position::Opaque(at), .. } = record.place else {
                unreachable!()
            };
            let its = &mut known[partition.index as usize];
            prop_assert_eq!(its.partition, Some(partition), "ownership first");
            prop_assert_eq!(at, its.next.to_string(), "in order, without a gap");
            its.next += 1;
        }
        Arrival::Ended(partition) => {
            let its = &mut known[partition.index as usize];
            prop_assert_eq!((its.partition, its.next, its.ended), (Some(partition), RECORDS, false));
            its.ended = true;
        }
        // Let go at once by the test.
        Arrival::Losing(_) => {}
        other => prop_assert!(false, "{other:?}"),
    }
    Ok(())
}
