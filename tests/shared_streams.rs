//! Promise: processes that keep positions in one DynamoDB table share a stream's shards. Who dies is replaced, who comes gets
//! a share, who was taken for dead moves nothing any more, and nothing is lost.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use klr_test_support::dynamodb::Rows;
use klr_test_support::eventually;
use klr_test_support::kinesis::{Stream, records};
use klr_test_support::klr::{Bridge, Setup};
use klr_test_support::servers::{DynamoDbLocal, KinesisMock};
use klr_test_support::sink::{Answer, Request, Sink};

const SHARDS: usize = 4;
/// The heartbeat's expiry, and how far apart members look, with room for a loaded machine.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(40);
const PATIENCE: Duration = Duration::from_secs(90);

/// A member: a bridge and its own sink, so that it is seen who delivered what.
struct Member {
    bridge: Bridge,
    sink: Sink,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    records: HashSet<String>,
    /// The shards of the deliveries since it was asked last.
    shards: BTreeSet<String>,
    deliveries: usize,
}

impl Member {
    fn start(stream: &Stream, table: &str, endpoint: &str) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let noting = Arc::clone(&seen);
        let sink = Sink::forgetful(move |request| {
            let mut seen = noting.lock().unwrap();
            seen.deliveries += 1;
            for (shard, data) in delivered(request) {
                seen.shards.insert(shard);
                seen.records.insert(data);
            }
            Answer::status(200).after(Duration::from_millis(20))
        });
        let mapping = stream.mapping(&sink.uri, "startingPosition: TRIM_HORIZON\nbatchSize: 10");
        let bridge = Setup::run(env!("CARGO_BIN_EXE_klr"))
            .args(["--state-table", table])
            .env("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
            .resources("stream.yaml", &mapping)
            .start();
        Self { bridge, sink, seen }
    }

    /// The shards it delivers from, from now on, for three seconds.
    fn reads(&self) -> BTreeSet<String> {
        self.seen.lock().unwrap().shards.clear();
        sleep(Duration::from_secs(3));
        self.seen.lock().unwrap().shards.clone()
    }

    fn records(&self) -> HashSet<String> {
        self.seen.lock().unwrap().records.clone()
    }
}

/// Shard and data of each record.
fn delivered(request: &Request) -> Vec<(String, String)> {
    let one = |record: &serde_json::Value| {
        let shard = record["eventID"].as_str().unwrap().split(':').next().unwrap().to_owned();
        let data = BASE64_STANDARD.decode(record["kinesis"]["data"].as_str().unwrap()).unwrap();
        (shard, String::from_utf8(data).unwrap())
    };
    records(request).iter().map(one).collect()
}

/// Puts a record to each shard all the time while `play` goes on, and watches that no position ever moves backwards. Answers
/// everything that was put.
fn while_records_come(stream: &Stream, rows: &Rows, play: impl FnOnce()) -> HashSet<String> {
    let over = AtomicBool::new(false);
    scope(|scope| {
        let producer = scope.spawn(|| {
            let mut put = HashSet::new();
            for n in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                for shard in 0..SHARDS {
                    let data = format!("{shard} {n}");
                    stream.put_to(shard, std::slice::from_ref(&data));
                    put.insert(data);
                }
                sleep(Duration::from_millis(100));
            }
            put
        });
        let watch = scope.spawn(|| {
            let mut before: HashMap<String, String> = HashMap::new();
            while !over.load(Ordering::Relaxed) {
                for (shard, position) in rows.positions() {
                    let last = before.insert(shard.clone(), position.clone()).unwrap_or_default();
                    let number = |text: &str| (text.len(), text.to_owned());
                    assert!(
                        number(&last) <= number(&position),
                        "{shard} went from {last} back to {position}"
                    );
                }
                sleep(Duration::from_millis(200));
            }
        });
        // Ends the others even if it fails.
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let end = End(&over);
        play();
        drop(end);
        watch.join().unwrap();
        producer.join().unwrap()
    })
}

fn share_evenly(members: &[&Member]) -> bool {
    let shares: Vec<BTreeSet<String>> = scope(|scope| {
        let asked: Vec<_> = members.iter().map(|member| scope.spawn(|| member.reads())).collect();
        asked.into_iter().map(|share| share.join().unwrap()).collect()
    });
    let all: BTreeSet<_> = shares.iter().flatten().collect();
    let even = SHARDS / members.len();
    all.len() == SHARDS && shares.iter().all(|share| share.len() == even)
}

fn words(members: &[&Member]) -> String {
    members.iter().map(|member| member.bridge.stderr()).collect::<Vec<_>>().join("\n=== the other:\n")
}

/// Every record that was put comes to one of them, or to both.
fn assert_all_seen(put: &HashSet<String>, members: &[&Member]) {
    let seen = || members.iter().flat_map(|member| member.records()).collect::<HashSet<_>>();
    let all = eventually(PATIENCE, || seen() == *put);
    assert!(all, "{} of {}\n{}", seen().len(), put.len(), words(members));
}

#[test]
fn shards_are_shared_taken_over_and_handed_back() {
    let (Some(server), Some(tables)) = (KinesisMock::shared(), DynamoDbLocal::shared()) else { return };
    let stream = Stream::new(&server.endpoint, "shared", SHARDS as u32);
    let rows = Rows::new(&tables.endpoint, "positions");
    let mut first = Member::start(&stream, &rows.table, &tables.endpoint);
    let second = Member::start(&stream, &rows.table, &tables.endpoint);
    let put = while_records_come(&stream, &rows, || {
        let shared = || eventually(PATIENCE, || share_evenly(&[&first, &second]));
        assert!(shared(), "{}", words(&[&first, &second]));
        first.bridge.kill9();
        let killed = Instant::now();
        assert!(eventually(TAKEN_OVER_WITHIN, || share_evenly(&[&second])), "{}", words(&[&first, &second]));
        println!("taken over within {:?} (three seconds of it are the look)", killed.elapsed());
        first.bridge.start_again();
        assert!(eventually(PATIENCE, || share_evenly(&[&first, &second])), "{}", words(&[&first, &second]));
    });
    assert_all_seen(&put, &[&first, &second]);
    // Who leaves in order lets go at once: nobody waits for its heartbeat to run out.
    first.bridge.sigterm();
    assert_eq!(first.bridge.wait_exit(PATIENCE), Some(0), "{}", first.bridge.stderr());
    assert!(!rows.members().is_empty() && rows.members().len() < 2, "{:?}", rows.members());
    assert!(second.sink.count() > 0);
}

/// Stopped for longer than its heartbeat is believed, a member wakes and finds its shards taken.
#[test]
fn who_was_taken_for_dead_moves_nothing_any_more() {
    let (Some(server), Some(tables)) = (KinesisMock::shared(), DynamoDbLocal::shared()) else { return };
    let stream = Stream::new(&server.endpoint, "stopped", SHARDS as u32);
    let rows = Rows::new(&tables.endpoint, "positions");
    let first = Member::start(&stream, &rows.table, &tables.endpoint);
    let second = Member::start(&stream, &rows.table, &tables.endpoint);
    let put = while_records_come(&stream, &rows, || {
        assert!(eventually(PATIENCE, || share_evenly(&[&first, &second])), "{}", words(&[&first, &second]));
        first.bridge.freeze();
        assert!(eventually(TAKEN_OVER_WITHIN, || share_evenly(&[&second])), "{}", words(&[&first, &second]));
        let owners = rows.owners();
        first.bridge.thaw();
        assert_eq!(owners.values().collect::<BTreeSet<_>>().len(), 1, "all of one member: {owners:?}");
        assert!(eventually(PATIENCE, || share_evenly(&[&first, &second])), "{}", words(&[&first, &second]));
    });
    assert_all_seen(&put, &[&first, &second]);
}
