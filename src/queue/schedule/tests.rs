//! The laws of the schedule, and its rhythm.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const WIDTHS: Widths = Widths { lane: 3, all: 5, shelf: 4 };
const HOUR: Duration = Duration::from_secs(3600);

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(1_000_000_000 + millis).unwrap()
}

fn label(name: &str) -> Label {
    Label { target: name.into(), accepted: at(0).as_millisecond(), due: 0, failed: false }
}

fn started(schedule: &mut Schedule, now: i64) -> Vec<(Key, LaneId)> {
    let mut out = Vec::new();
    schedule.start(at(now), &mut out);
    let start = |action| match action {
        Action::Start { key, lane, .. } => Some((key, lane)),
        Action::Forget { .. } => None,
    };
    out.into_iter().filter_map(start).collect()
}

fn flown((key, lane): (Key, LaneId), answered: bool) -> Flown {
    Flown { key, lane, accepted: at(0), answered }
}

fn throttled(schedule: &mut Schedule, event: (Key, LaneId), now: i64) {
    schedule.ended(flown(event, false), Ended::Throttled { after: None, age: HOUR }, at(now));
}

#[test]
fn a_stuck_function_holds_up_nobody_else() {
    let mut schedule = Schedule::new(WIDTHS, Delays::default());
    (0..100).for_each(|n| schedule.add(Key(n), &label("stuck")));
    (100..110).for_each(|n| schedule.add(Key(n), &label("quick")));
    let first = started(&mut schedule, 0);
    // Two each: a fifth would be more than half of what the other leaves.
    assert_eq!(first.len(), 4);
    let mut quick: Vec<_> = first.into_iter().filter(|(key, _)| key.0 >= 100).collect();
    let mut done = 0;
    while let Some(event) = quick.pop() {
        schedule.ended(flown(event, true), Ended::Settled, at(0));
        done += 1;
        quick.extend(started(&mut schedule, 0).into_iter().filter(|(key, _)| key.0 >= 100));
    }
    assert_eq!(done, 10);
    assert_eq!(schedule.counts()[0].flying, 3, "no more than its lane is wide");
}

#[test]
fn a_throttled_function_is_left_in_peace_longer_and_longer() {
    let mut schedule = Schedule::new(WIDTHS, Delays::default());
    (0..10).for_each(|n| schedule.add(Key(n), &label("f")));
    let burst = started(&mut schedule, 0);
    assert_eq!(burst.len(), 3);
    burst.into_iter().for_each(|event| throttled(&mut schedule, event, 0));
    let mut now = 0;
    for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        assert_eq!(schedule.due(), Some(at(now + wait * 1000)), "a burst counts once");
        assert!(started(&mut schedule, now + wait * 1000 - 1).is_empty());
        now += wait * 1000;
        let probe = started(&mut schedule, now);
        assert_eq!(probe.len(), 1, "one, to see");
        throttled(&mut schedule, probe[0], now);
    }
    now += 300_000;
    let probe = started(&mut schedule, now);
    schedule.ended(flown(probe[0], true), Ended::Settled, at(now));
    let two = started(&mut schedule, now);
    assert_eq!(two.len(), 2, "a bit more with each answer");
    schedule.ended(flown(two[0], true), Ended::Settled, at(now));
    assert_eq!(started(&mut schedule, now).len(), 2);
}

/// Reserved concurrency 2: the third is throttled, and goes when one of the two has ended.
#[test]
fn a_lane_becomes_as_wide_as_its_function() {
    let mut schedule = Schedule::new(WIDTHS, Delays::default());
    (0..10).for_each(|n| schedule.add(Key(n), &label("f")));
    let mut flying = started(&mut schedule, 0);
    throttled(&mut schedule, flying.pop().unwrap(), 0);
    assert!(started(&mut schedule, 0).is_empty());
    schedule.ended(flown(flying.pop().unwrap(), true), Ended::Settled, at(10));
    assert!(!started(&mut schedule, 10).is_empty(), "without waiting for the second to pass");
}

#[test]
fn what_becomes_too_old_meanwhile_need_not_wait_for_its_function() {
    let mut schedule = Schedule::new(WIDTHS, Delays::default());
    (0..10).for_each(|n| schedule.add(Key(n), &label("f")));
    let age = Duration::from_secs(60);
    let end = |schedule: &mut Schedule, event, now| {
        let after = Some(Duration::from_secs(1000));
        schedule.ended(flown(event, false), Ended::Throttled { after, age }, at(now));
    };
    for event in started(&mut schedule, 0) {
        end(&mut schedule, event, 0);
    }
    assert!(started(&mut schedule, 0).is_empty());
    assert_eq!(schedule.due(), Some(at(62_000)), "before the second try");
    let old = started(&mut schedule, 63_000);
    assert_eq!(old.len(), 3);
    // Given up, the function was not asked: it stays in peace.
    for event in old {
        schedule.ended(flown(event, false), Ended::Settled, at(63_000));
    }
    assert!(schedule.counts()[0].resting.is_some());
    assert_eq!(started(&mut schedule, 63_000).len(), 3);
}

#[test]
fn the_shelf_is_bounded_and_the_oldest_goes() {
    let mut schedule = Schedule::new(WIDTHS, Delays::default());
    (0..7).for_each(|n| schedule.add(Key(n), &Label { failed: true, ..label("f") }));
    let mut out = Vec::new();
    schedule.start(at(0), &mut out);
    let lane = LaneId(0);
    assert_eq!(out, [0, 1, 2].map(|key| Action::Forget { key: Key(key), lane }));
    assert_eq!(schedule.failed(&|name| name == "f"), [3, 4, 5, 6].map(Key));
    assert!(schedule.failed(&|name| name == "g").is_empty());
    assert_eq!(schedule.take(&HashSet::from([Key(4), Key(99)])), [Key(4)]);
    assert_eq!(schedule.counts()[0].failed, 3);
}

/// Where an event is, as the one who watches knows it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Is {
    Waiting,
    Flying(LaneId),
    Gone,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Whatever happens: no event is started twice at a time, none is forgotten, no width is exceeded, and when the functions
    /// answer again everything ends.
    #[test]
    fn every_event_has_its_turn(steps in proptest::collection::vec((0u8..8, 0u32..4, 0i64..5000), 1..300)) {
        let widths = Widths { shelf: 1000, ..WIDTHS };
        let mut schedule = Schedule::new(widths, Delays::default());
        let mut events: BTreeMap<Key, Is> = BTreeMap::new();
        let mut now = 0;
        let run = |schedule: &mut Schedule, events: &mut BTreeMap<Key, Is>, now: i64| {
            for (key, lane) in started(schedule, now) {
                assert_eq!(events.insert(key, Is::Flying(lane)), Some(Is::Waiting), "{key:?}");
            }
            let mut flying: BTreeMap<LaneId, usize> = BTreeMap::new();
            for state in events.values() {
                if let Is::Flying(lane) = state {
                    *flying.entry(*lane).or_default() += 1;
                }
            }
            assert!(flying.values().all(|n| *n <= widths.lane));
            assert!(flying.values().sum::<usize>() <= widths.all);
        };
        for (kind, which, span) in steps {
            match kind {
                0..3 => {
                    let key = Key(u32::try_from(events.len()).unwrap());
                    let due = if kind == 2 { at(now + span).as_millisecond() } else { 0 };
                    schedule.add(key, &Label { due, ..label(&which.to_string()) });
                    events.insert(key, Is::Waiting);
                }
                3 => now += span,
                _ => {
                    let flying = events.iter().filter_map(|(key, is)| match is {
                        Is::Flying(lane) => Some((*key, *lane)),
                        _ => None,
                    });
                    let flying: Vec<_> = flying.collect();
                    let Some(event) = flying.get(which as usize % flying.len().max(1)) else { continue };
                    let (how, is) = match kind {
                        4 => (Ended::Settled, Is::Gone),
                        5 => (Ended::Again { due: at(now + span) }, Is::Waiting),
                        _ => (Ended::Throttled { after: None, age: HOUR }, Is::Waiting),
                    };
                    schedule.ended(flown(*event, kind < 6), how, at(now));
                    events.insert(event.0, is);
                }
            }
            run(&mut schedule, &mut events, now);
        }
        for _ in 0..10_000 {
            if events.values().all(|is| *is == Is::Gone) {
                break;
            }
            let flying = events.iter().find_map(|(key, is)| match is {
                Is::Flying(lane) => Some((*key, *lane)),
                _ => None,
            });
            if let Some(event) = flying {
                schedule.ended(flown(event, true), Ended::Settled, at(now));
                events.insert(event.0, Is::Gone);
            } else if events.values().any(|is| *is == Is::Waiting) {
                let due = schedule.due().expect("what waits has a time or its turn");
                now = now.max(due.as_millisecond() - at(0).as_millisecond());
            }
            run(&mut schedule, &mut events, now);
        }
        prop_assert!(events.values().all(|is| *is == Is::Gone), "{events:?}");
        prop_assert!(schedule.counts().iter().all(|lane| lane.ready + lane.later + lane.flying == 0));
    }
}
