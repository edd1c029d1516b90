//! The engine alone: shaped records in, joined bodies and checkpoints out. No shaping, no filter, no I/O, no runtime.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use klr::mapping::log::{Action, Input, Log, Now};
use klr::mapping::next::Judged;
use klr::mapping::{Lanes, Policy, Settings};
use klr_contract::{Arrival, Partition, Place, Position, Record, Shape};

use super::process::cpu;

const RECORD: usize = 1_000;
const BATCH: usize = 100;
/// Records of one pull.
const PULL: usize = 1_000;
const RUNS: usize = 5;
const PARTITION: Partition = Partition { index: 0, epoch: 1 };
/// What the mapping may hold: more than it is ever given here.
const SHARE: usize = 32 << 20;

/// CPU per record in microseconds, the median of five runs.
pub fn cpu_per_record(pulls: usize) -> f64 {
    let mut runs: Vec<f64> = (0..RUNS).map(|_| run(pulls)).collect();
    runs.sort_by(f64::total_cmp);
    runs[RUNS / 2]
}

fn run(pulls: usize) -> f64 {
    let shape: Arc<dyn Shape> = Arc::new(klr_kinesis::Shape);
    let mut log = Log::new(settings(BATCH, Policy::default()), Arc::clone(&shape), SHARE, 1);
    let mut out = Vec::new();
    log.step(Input::Arrived(vec![Arrival::Gained(PARTITION)]), Now::get(), &mut out);
    let pulls: Vec<Vec<Arrival>> = (0..pulls).map(|number| pull(number * PULL, PULL)).collect();
    let records = pulls.len() * PULL;
    let (mut bytes, mut checkpointed) = (0, 0);
    let pid = std::process::id();
    let before = cpu(pid);
    for pull in pulls {
        log.step(Input::Arrived(pull), Now::get(), &mut out);
        while let Some(action) = out.pop() {
            if let Action::Invoke(flight, call) = action {
                bytes += shape.event(&call.records).len();
                drop(call);
                log.step(Input::Answered(flight, Judged::Done.into()), Now::get(), &mut out);
            }
        }
        checkpointed += log.checkpoints().len();
    }
    let spent = cpu(pid) - before;
    assert!(bytes > records * RECORD && checkpointed > 0 && log.used() == 0, "everything was delivered");
    spent.as_secs_f64() * 1e6 / records as f64
}

/// How many invocations it takes to isolate one poison record of ten thousand, beside the first.
pub fn bisect() -> usize {
    const RECORDS: usize = 10_000;
    let policy = Policy { bisect: true, retries: Some(0), from_lowest: true, ..Policy::default() };
    let mut log = Log::new(settings(RECORDS, policy), Arc::new(klr_kinesis::Shape), SHARE, 1);
    let (mut now, mut out) = (Now::get(), Vec::new());
    let mut arrivals = vec![Arrival::Gained(PARTITION)];
    arrivals.extend(pull(0, RECORDS).into_iter().map(|arrival| match arrival {
        // Ten thousand of a thousand bytes are more than an event.
        Arrival::Record(record) => Arrival::Record(Record { json: Ok("{}".into()), ..record }),
        other => other,
    }));
    log.step(Input::Arrived(arrivals), now, &mut out);
    let (mut invocations, mut dropped) = (0, 0);
    while let Some(action) = out.pop() {
        match action {
            Action::Invoke(flight, call) => {
                invocations += 1;
                let poisoned = call.records.iter().any(|record| record.place == place(7_777));
                let judged = if poisoned { Judged::Failed("poison") } else { Judged::Done };
                log.step(Input::Answered(flight, judged.into()), now, &mut out);
            }
            Action::Dropped(records, _) => dropped += records,
            _ => {}
        }
        if out.is_empty() {
            // Past any back-off.
            now.instant += Duration::from_secs(61);
            log.step(Input::Tick, now, &mut out);
        }
    }
    assert_eq!(dropped, 1, "the poison record alone");
    invocations - 1
}

fn settings(batch_size: usize, policy: Policy) -> Settings {
    Settings {
        batch_size,
        window: Duration::ZERO,
        budget: 6_291_456,
        lanes: Lanes::Keys { parallel: 1, tumbling: None },
        policy,
        maximum_concurrency: None,
        timeout: None,
        strict: true,
        drain: Duration::ZERO,
        once: false,
    }
}

/// What an answer of the service becomes: fragments that are slices of one buffer.
fn pull(first: usize, records: usize) -> Vec<Arrival> {
    let buffer = Bytes::from(vec![b'1'; RECORD * records]);
    let at = Timestamp::UNIX_EPOCH;
    let record = |n: usize| Record {
        json: Ok(buffer.slice(n * RECORD..(n + 1) * RECORD).into()),
        place: place(first + n),
        at,
        trace: None,
    };
    (0..records).map(|n| Arrival::Record(record(n))).collect()
}

/// A sequence number as Kinesis has them.
fn place(n: usize) -> Place {
    let position = Position::Opaque(format!("4966{n:052}").into());
    Place::At { partition: PARTITION, position, key: 0 }
}
