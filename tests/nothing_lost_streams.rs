//! Promise: nothing of a stream is lost over kill -9 of the bridge. Every record reaches the function at least once, what
//! keeps an order keeps it, and only what was in flight or not yet stored as done comes again.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::StreamViewType;
use base64::{Engine, prelude::BASE64_STANDARD};
use klr_test_support::dynamodb::Table;
use klr_test_support::handed::{Handed, Place};
use klr_test_support::kinesis::{Stream, records};
use klr_test_support::klr::{Bridge, Setup};
use klr_test_support::random::Random;
use klr_test_support::servers::{DynamoDbLocal, KinesisMock};
use klr_test_support::sink::{Answer, Request, Sink};
use serde_json::Value;

const KILLS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(120);
/// What was settled so shortly before a kill may come again. Positions are written by the engine and by the store's file at
/// most ten times a second each, one write at a time: a record that just missed a write waits for the whole of the next. On
/// a busy disk a write is two slow syncs.
const UNSTORED: Duration = Duration::from_secs(2);

/// Checks the order of what a sink is handed: whoever keeps an order (a shard, a key) gives its records one after the other.
/// Only after a kill it may step back, and never forward.
#[derive(Default)]
struct Order(Mutex<HashMap<i32, Last>>);

#[derive(Default, Clone, Copy)]
struct Last {
    /// The furthest number so far, the last one, and the life of the bridge that brought it.
    furthest: i64,
    last: i64,
    life: usize,
}

impl Order {
    fn follow(&self, places: &[Place], life: usize) {
        let mut all = self.0.lock().unwrap();
        for Place { partition, offset } in places {
            let nothing = Last { furthest: -1, last: -1, life };
            let last = all.entry(*partition).or_insert(nothing);
            let goes_on = *offset == last.last + 1;
            let steps_back = last.life != life && *offset <= last.furthest + 1;
            assert!(goes_on || steps_back, "{partition}: {offset} came after {}", last.last);
            *last = Last { furthest: last.furthest.max(*offset), last: *offset, life };
        }
    }
}

/// Runs the bridge over everything there is, killing it at random moments. `at` says in which shard a record is, and how
/// far on in it.
fn through_kills(
    mapping: impl Fn(&str) -> String,
    places: impl Fn(&Request) -> Vec<Place> + Send + Sync + 'static,
    at: impl Fn(&Place) -> (i32, i64),
    ends: &BTreeMap<i32, i64>,
) {
    let total = usize::try_from(ends.values().sum::<i64>()).unwrap();
    let random = Random::new();
    let handed = Arc::new(Handed::default());
    let life = Arc::new(Mutex::new(0_usize));
    let wrong = Arc::new(Mutex::new(None::<String>));
    let sink = {
        let (handed, life, wrong, order) =
            (Arc::clone(&handed), Arc::clone(&life), Arc::clone(&wrong), Order::default());
        Sink::forgetful(move |request| {
            let places = places(request);
            let life = *life.lock().unwrap();
            // A panic here would only cut the connection.
            let followed =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| order.follow(&places, life)));
            if let Err(panic) = followed {
                wrong
                    .lock()
                    .unwrap()
                    .get_or_insert_with(|| panic.downcast_ref().cloned().unwrap_or_default());
            }
            handed.came(&places);
            let answer = Answer::status(200).after(Duration::from_millis(50));
            handed.done(&places, Instant::now() + answer.delay());
            answer
        })
    };
    let mut bridge =
        Setup::run(env!("CARGO_BIN_EXE_klr")).resources("stream.yaml", &mapping(&sink.uri)).start();
    for kill in 0..KILLS {
        let moment = total / (KILLS + 1) * kill + total / 20 + random.below(total as u64 / 6) as usize;
        assert!(handed.wait_for(moment, PATIENCE), "only {} came:\n{}", handed.count(), bridge.stderr());
        sleep(Duration::from_millis(random.below(200)));
        kill_and_count(&mut bridge, &handed, &life, &at, kill);
    }
    assert!(handed.wait_done(ends, PATIENCE), "{} of {total} came:\n{}", handed.count(), bridge.stderr());
    assert_eq!(handed.count(), total);
    assert_eq!(*wrong.lock().unwrap(), None, "the order is kept");
}

/// What comes again was not done, or so shortly that it was not stored, or stood behind such a record: a shard's position
/// never passes what is not done, and of parallel lanes some are ahead.
fn kill_and_count(
    bridge: &mut Bridge,
    handed: &Handed,
    life: &Mutex<usize>,
    at: &impl Fn(&Place) -> (i32, i64),
    kill: usize,
) {
    let mark = Instant::now();
    bridge.kill9();
    // What was in the sink's socket at the kill is read by now, or is noted as unanswered below.
    sleep(Duration::from_secs(1));
    let before = handed.times();
    let mut stored: HashMap<i32, i64> = HashMap::new();
    for (shard, far) in handed.unsettled(mark, UNSTORED).iter().map(at) {
        stored.entry(shard).and_modify(|first| *first = far.min(*first)).or_insert(far);
    }
    let is_allowed = |place: &&Place| {
        let (shard, far) = at(place);
        stored.get(&shard).is_some_and(|first| far >= *first)
    };
    *life.lock().unwrap() += 1;
    bridge.start_again();
    let more = before.len() + before.len() / 10;
    assert!(handed.wait_for(more, PATIENCE), "after kill {kill}:\n{}", bridge.stderr());
    let after = handed.times();
    let again = || before.iter().filter(|(place, times)| after[place] > **times).map(|(place, _)| place);
    let beyond: Vec<&Place> = again().filter(|place| !is_allowed(place)).collect();
    let allowed = before.keys().filter(is_allowed).count();
    println!("kill {kill}: {} came before, {} again, {allowed} allowed", before.len(), again().count());
    assert!(beyond.is_empty(), "{} were settled for good and came again: {:?}…", beyond.len(), beyond[0]);
}

#[test]
fn of_kinesis_over_three_kills() {
    const SHARDS: usize = 4;
    const EACH: i64 = 6_000;
    let Some(server) = KinesisMock::shared() else { return };
    let stream = Stream::new(&server.endpoint, "killed", SHARDS as u32);
    for shard in 0..SHARDS {
        stream.put_to(shard, &(0..EACH).map(|n| format!("{shard} {n}")).collect::<Vec<_>>());
    }
    let place = |record: &Value| {
        let data = BASE64_STANDARD.decode(record["kinesis"]["data"].as_str().unwrap()).unwrap();
        let (shard, n) = std::str::from_utf8(&data).unwrap().split_once(' ').unwrap();
        Place { partition: shard.parse().unwrap(), offset: n.parse().unwrap() }
    };
    through_kills(
        |sink| stream.mapping(sink, "startingPosition: TRIM_HORIZON\nbatchSize: 50"),
        move |request| records(request).iter().map(place).collect(),
        |place| (place.partition, place.offset),
        &(0..SHARDS as i32).map(|shard| (shard, EACH)).collect(),
    );
}

/// DynamoDB Local has one shard a table: its keys are spread over lanes, and each keeps its order.
#[test]
fn of_a_table_over_three_kills() {
    const KEYS: i32 = 25;
    const EACH: i64 = 800;
    let Some(server) = DynamoDbLocal::shared() else { return };
    let table = Table::new(&server.endpoint, "killed", StreamViewType::NewImage);
    for n in 0..EACH {
        table.put_many(&(0..KEYS).map(|key| (key.to_string(), n.to_string())).collect::<Vec<_>>());
    }
    let place = |record: &Value| {
        let text = |name| record["dynamodb"]["NewImage"][name]["S"].as_str().unwrap();
        Place { partition: text("id").parse().unwrap(), offset: text("body").parse().unwrap() }
    };
    through_kills(
        |sink| table.mapping(sink, "startingPosition: TRIM_HORIZON\nbatchSize: 50\nparallelizationFactor: 4"),
        move |request| records(request).iter().map(place).collect(),
        |place| (0, place.offset * i64::from(KEYS) + i64::from(place.partition)),
        &(0..KEYS).map(|key| (key, EACH)).collect(),
    );
}
