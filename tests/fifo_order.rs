//! Promise: within a message group of a FIFO queue nothing is delivered after a later message has succeeded. A failed
//! message holds its group, the other groups run on, and no group has two batches in flight.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use klr_test_support::eventually;
use klr_test_support::klr::Setup;
use klr_test_support::random::Random;
use klr_test_support::servers::{ElasticMq, Moto};
use klr_test_support::sink::{Answer, Request, Sink};
use klr_test_support::sqs::{self, Counts, Queue};
use serde_json::Value;

const KLR: &str = env!("CARGO_BIN_EXE_klr");
const REPORT: &str = "functionResponseTypes: [ReportBatchItemFailures]\n";
/// Seconds; a failed message holds its group so long.
const VISIBILITY: u32 = 4;

/// What a function has seen of the groups.
#[derive(Default)]
struct Groups {
    random: Random,
    /// How many messages of a group have succeeded.
    done: HashMap<String, usize>,
    /// When the answer to a group's last batch was due.
    until: HashMap<String, Instant>,
    /// Of all that is promised, what was broken.
    broken: Vec<String>,
}

fn number(record: &Value) -> usize {
    sqs::text(record, "body").parse().unwrap()
}

impl Groups {
    /// A function that fails now and then: the whole batch, or from some message of a group on (as a function that keeps
    /// order has to: stop at the first failure, list it and what follows).
    fn deliver(&mut self, request: &Request) -> Answer {
        let delay = Duration::from_millis(20 + self.random.below(60));
        let due = Instant::now() + delay;
        let records = sqs::records(request);
        let mut by_group: HashMap<String, Vec<&Value>> = HashMap::new();
        for record in &records {
            by_group.entry(sqs::text(record, "attributes.MessageGroupId")).or_default().push(record);
        }
        let whole_batch_fails = self.random.below(5) == 0;
        let mut failed = Vec::new();
        for (group, members) in by_group {
            self.check(&group, &members);
            self.until.insert(group.clone(), due);
            let good = if self.random.below(3) == 0 { members.len() / 2 } else { members.len() };
            failed.extend_from_slice(&members[good..]);
            if !whole_batch_fails {
                *self.done.entry(group).or_default() += good;
            }
        }
        match whole_batch_fails {
            true => Answer::status(500).after(delay),
            false => Answer::json(sqs::failures(failed)).after(delay),
        }
    }

    fn check(&mut self, group: &str, members: &[&Value]) {
        let next = self.done.get(group).copied().unwrap_or(0);
        let numbers: Vec<usize> = members.iter().map(|record| number(record)).collect();
        if !numbers.iter().copied().eq(next..next + numbers.len()) {
            self.broken.push(format!("{group}: {numbers:?} came, {next} is next"));
        }
        if self.until.get(group).is_some_and(|until| Instant::now() < *until) {
            self.broken.push(format!("{group}: {numbers:?} came while a batch was in flight"));
        }
    }
}

fn keeps_order(endpoint: &str, count: usize, each: usize, spec: &str) {
    let queue = Queue::fifo(endpoint, "ordered", VISIBILITY);
    for some in (0..each).collect::<Vec<_>>().chunks(5) {
        let bodies: Vec<String> = some.iter().map(usize::to_string).collect();
        (0..count).for_each(|group| queue.send_to_group(&format!("g{group}"), &bodies));
    }
    let groups = Arc::new(Mutex::new(Groups::default()));
    let seen = Arc::clone(&groups);
    let sink = Sink::start(move |request| seen.lock().unwrap().deliver(request));
    let _bridge =
        Setup::run(KLR).resources("m.yaml", &queue.mapping(&sink.uri, &format!("{REPORT}{spec}"))).start();

    let finished = eventually(Duration::from_secs(100), || {
        let groups = groups.lock().unwrap();
        !groups.broken.is_empty() || groups.done.values().sum::<usize>() == count * each
    });
    assert_eq!(groups.lock().unwrap().broken, [""; 0]);
    assert!(finished, "{:?}", groups.lock().unwrap().done);
    assert!(eventually(Duration::from_secs(10), || queue.counts() == Counts::EMPTY), "{:?}", queue.counts());
    assert!(sink.most_in_flight() > 1, "groups run side by side");
}

#[test]
fn order_is_kept_on_elasticmq() {
    let Some(server) = ElasticMq::shared() else { return };
    keeps_order(&server.endpoint, 8, 15, "");
}

/// For moto two lanes, the least that is allowed: it looks at a message and hides it without a lock, so of many receives at
/// a time two may be given the same one.
const TWO_LANES: &str = "scalingConfig: { maximumConcurrency: 2 }";

/// One message a batch: moto 5.2.5 forgets the order of several that were hidden together. When they are visible again it
/// passes over all but the last while it clears them from the ones in flight (`SQSBackend.receive_message`).
#[test]
fn order_is_kept_on_moto() {
    let Some(server) = Moto::shared() else { return };
    keeps_order(&server.endpoint, 4, 5, &format!("batchSize: 1\n{TWO_LANES}"));
}

fn first_fails_for_ever(request: &Request) -> Answer {
    match sqs::bodies(request).contains(&"bad".to_owned()) {
        true => Answer::status(500),
        false => Answer::json("null"),
    }
}

/// The first message of one group never succeeds.
fn holds_its_group_until_the_redrive_policy_takes_it(endpoint: &str, lanes: &str) {
    let queue = Queue::fifo(endpoint, "stuck", VISIBILITY);
    let dead = queue.dead_letters(2);
    let bodies = |bodies: &[&str]| bodies.iter().map(|body| (*body).to_owned()).collect::<Vec<_>>();
    queue.send_to_group("stuck", &bodies(&["bad", "behind", "last"]));
    queue.send_to_group("free", &(0..8).map(|n| format!("free-{n}")).collect::<Vec<_>>());
    let sink = Sink::start(first_fails_for_ever);
    let _bridge = Setup::run(KLR)
        .resources("m.yaml", &queue.mapping(&sink.uri, &format!("batchSize: 1\n{lanes}")))
        .start();

    // Two failures of one message, eight others, and the two behind the failed one.
    assert!(sink.wait_for(12, Duration::from_secs(40)), "{}", sink.count());
    assert!(eventually(Duration::from_secs(10), || queue.counts() == Counts::EMPTY));
    let order: Vec<String> = sink.requests().iter().flat_map(sqs::bodies).collect();
    let place = |body: &str| order.iter().position(|other| other == body).unwrap();
    let of = |prefix: &str| order.iter().filter(|body| body.starts_with(prefix)).cloned().collect::<Vec<_>>();
    assert_eq!(of("free-"), (0..8).map(|n| format!("free-{n}")).collect::<Vec<_>>());
    assert_eq!(of("b"), ["bad", "bad", "behind"]);
    assert!(place("free-7") < place("behind") && place("behind") < place("last"), "{order:?}");
    assert_eq!(dead.take_bodies(), ["bad"]);
}

#[test]
fn a_failed_message_holds_its_group_and_no_other_on_elasticmq() {
    let Some(server) = ElasticMq::shared() else { return };
    holds_its_group_until_the_redrive_policy_takes_it(&server.endpoint, "");
}

#[test]
fn a_failed_message_holds_its_group_and_no_other_on_moto() {
    let Some(server) = Moto::shared() else { return };
    holds_its_group_until_the_redrive_policy_takes_it(&server.endpoint, TWO_LANES);
}

/// AWS: order within a partial response is the function's business.
#[test]
fn a_partial_response_deletes_what_is_behind_a_failed_message() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::fifo(&server.endpoint, "middle", VISIBILITY);
    queue.send_to_group("g", &["a", "b", "c"].map(str::to_owned));
    let sink = Sink::start(|request| {
        let records = sqs::records(request);
        let failed = records.iter().filter(|record| request.index == 0 && record["body"] == "b");
        Answer::json(sqs::failures(failed))
    });
    let _bridge = Setup::run(KLR).resources("m.yaml", &queue.mapping(&sink.uri, REPORT)).start();

    assert!(sink.wait_for(2, Duration::from_secs(20)));
    assert!(eventually(Duration::from_secs(10), || queue.counts() == Counts::EMPTY));
    let delivered: Vec<_> = sink.requests().iter().map(sqs::bodies).collect();
    assert_eq!(delivered, [vec!["a".to_owned(), "b".to_owned(), "c".to_owned()], vec!["b".to_owned()]]);
}
