//! What every [`Queue`] promises, sentence by sentence.
//!
//! An adapter writes a [`Harness`] for its server and calls [`standard`] and, where its queues can be FIFO, [`fifo`]. A
//! promise that is broken panics with its name. Each promise gets a queue of its own, so they run at the same time: the
//! suite takes as long as its slowest sentence, about ten seconds on a real server.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use crate::{Kind, Place, Queue, Record};

/// How the suite gets queues.
#[async_trait]
pub trait Harness: Send + Sync {
    /// A new, empty queue whose items stay hidden for `visibility`.
    async fn create(&self, visibility: Duration) -> Box<dyn Subject>;

    /// A new, empty FIFO queue, likewise.
    async fn create_fifo(&self, visibility: Duration) -> Box<dyn Subject>;
}

/// One queue under test, with the side doors the suite needs.
#[async_trait]
pub trait Subject: Send + Sync {
    /// What is tested.
    fn queue(&self) -> &dyn Queue;

    /// Puts an item in; on a FIFO queue with its group. Its body must be found in the fragment as it is.
    async fn send(&self, body: &str, group: Option<&str>);

    /// How many items there are, hidden or not.
    async fn count(&self) -> usize;
}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(2);
/// A wait that is over soon, but which lets an item that is on its way arrive.
const BRIEF: Duration = Duration::from_secs(1);

/// Every promise of a queue without order.
pub async fn standard(harness: &dyn Harness) {
    tokio::join!(
        visibility_is_the_queues_own(harness),
        an_empty_receive_is_no_error_and_ends(harness),
        every_item_comes_once_while_hidden(harness),
        a_waiting_receive_is_woken(harness),
        an_item_left_alone_comes_back(harness),
        hide_wins_over_the_queues_own_time(harness),
        deleted_items_stay_away(harness),
        deleting_is_idempotent(harness),
        refusals_name_their_index(harness),
        holding_lengthens_and_hands_back(harness),
        delete_overlaps_receive(harness),
    );
}

/// Every promise of a queue with message groups, on top of [`standard`]'s.
pub async fn fifo(harness: &dyn Harness) {
    tokio::join!(
        a_group_is_in_order(harness),
        a_group_is_held_and_others_run_on(harness),
        a_failed_item_comes_back_first(harness),
        a_batch_may_mix_groups(harness),
    );
}

async fn visibility_is_the_queues_own(harness: &dyn Harness) {
    for own in [SHORT, LONG] {
        let subject = harness.create(own).await;
        assert_eq!(
            subject.queue().visibility().await.expect("an answer"),
            Some(own),
            "visibility is the queue's own"
        );
    }
}

async fn an_empty_receive_is_no_error_and_ends(harness: &dyn Harness) {
    let subject = harness.create(LONG).await;
    for wait in [Duration::ZERO, BRIEF] {
        let start = Instant::now();
        let records = receive(&*subject, 10, wait).await;
        assert!(records.is_empty(), "an empty queue gives nothing");
        assert!(start.elapsed() < wait + 5 * BRIEF, "a receive waits at most as long as it was told");
    }
}

async fn every_item_comes_once_while_hidden(harness: &dyn Harness) {
    let subject = harness.create(LONG).await;
    for n in 0..25 {
        subject.send(&body(n), None).await;
    }
    let mut seen = Vec::new();
    for max in [1, 3].into_iter().chain(std::iter::repeat_n(100, 20)) {
        let records = receive(&*subject, max, BRIEF).await;
        assert!(records.len() <= max, "never more than asked for");
        seen.extend(records);
        if seen.len() >= 25 {
            break;
        }
    }
    seen.iter().for_each(well_formed);
    let ids: BTreeSet<_> = seen.iter().map(id).collect();
    assert_eq!((seen.len(), ids.len()), (25, 25), "every item comes, and once");
    let bodies: BTreeSet<_> =
        (0..25).filter(|n| seen.iter().any(|record| holds(record, &body(*n)))).collect();
    assert_eq!(bodies.len(), 25, "the fragment holds the body");
    assert!(receive(&*subject, 10, Duration::ZERO).await.is_empty(), "received is hidden");
}

async fn a_waiting_receive_is_woken(harness: &dyn Harness) {
    let subject = harness.create(LONG).await;
    let start = Instant::now();
    let receive = subject.queue().receive(10, Duration::from_secs(15), None);
    let send = async {
        sleep(BRIEF).await;
        subject.send(&body(1), None).await;
    };
    let (records, ()) = tokio::join!(receive, send);
    assert_eq!(records.expect("an answer").len(), 1, "a waiting receive gets what arrives");
    assert!(start.elapsed() < Duration::from_secs(10), "and does not wait on for more");
}

async fn an_item_left_alone_comes_back(harness: &dyn Harness) {
    let subject = harness.create(2 * SHORT).await;
    subject.send(&body(1), None).await;
    let first = one(receive(&*subject, 1, BRIEF).await);
    let early = receive(&*subject, 1, Duration::ZERO).await;
    assert!(early.is_empty(), "hidden for the queue's own time");
    let second = one(receive(&*subject, 1, 4 * SHORT).await);
    assert_eq!(id(&first), id(&second), "the id is stable over redeliveries");
    assert_ne!(first.place, second.place, "the receipt is good for one receive only");
    accepted(subject.as_ref(), &[second.place]).await;
    assert_eq!(subject.count().await, 0, "the latest receipt deletes");
}

async fn hide_wins_over_the_queues_own_time(harness: &dyn Harness) {
    let subject = harness.create(LONG).await;
    subject.send(&body(1), None).await;
    // A part of a second must not be cut off: hidden a little longer is safe, shorter is not.
    let hide = Duration::from_millis(1500);
    let first = one(subject.queue().receive(1, BRIEF, Some(hide)).await.expect("an answer"));
    let start = Instant::now();
    let second = one(receive(&*subject, 1, 5 * SHORT).await);
    assert_eq!(id(&first), id(&second), "hidden for as long as the receive said");
    assert!(start.elapsed() + Duration::from_millis(200) > hide, "not for less");
    let third = receive(&*subject, 1, 3 * BRIEF).await;
    assert!(third.is_empty(), "without a word from the receive the queue's own time counts");
}

async fn deleted_items_stay_away(harness: &dyn Harness) {
    let subject = harness.create(SHORT * 3).await;
    for n in 0..25 {
        subject.send(&body(n), None).await;
    }
    let records = drain(subject.as_ref(), 25).await;
    accepted(subject.as_ref(), &[]).await;
    assert_eq!(subject.count().await, 25, "an empty slice deletes nothing");
    accepted(subject.as_ref(), &places(&records)).await;
    assert_eq!(subject.count().await, 0, "any number of items is deleted");
    let late = receive(&*subject, 10, SHORT * 4).await;
    assert!(late.is_empty(), "a deleted item does not come back");
}

async fn deleting_is_idempotent(harness: &dyn Harness) {
    let subject = harness.create(LONG).await;
    subject.send(&body(1), None).await;
    let place = one(receive(&*subject, 1, BRIEF).await).place;
    // Two copies in one call: what a queue without order may hand us, and what an index by id would trip over.
    accepted(subject.as_ref(), &[place.clone(), place.clone()]).await;
    // Not every server remembers what it has deleted: it may say so, but not that asking again would help.
    let refused = subject.queue().delete(&[place]).await.expect("deleting again is no error");
    assert!(refused.iter().all(|refused| refused.error.kind() == Kind::Stop), "deleting again is settled");
    assert_eq!(subject.count().await, 0, "deleted");
}

async fn refusals_name_their_index(harness: &dyn Harness) {
    let subject = harness.create(LONG).await;
    for n in 0..13 {
        subject.send(&body(n), None).await;
    }
    let mut places = places(&drain(subject.as_ref(), 13).await);
    let alien = Place::Item { id: Bytes::from_static(b"alien"), receipt: Bytes::from_static(b"no-receipt") };
    places.insert(11, alien.clone());
    places.insert(0, alien);
    let refused = subject.queue().delete(&places).await.expect("an answer");
    let mut indices: Vec<_> = refused.iter().map(|refused| refused.index).collect();
    indices.sort_unstable();
    assert_eq!(indices, [0, 12], "a refusal names the place in the slice");
    assert_eq!(subject.count().await, 0, "and does not keep the others from being deleted");
}

async fn holding_lengthens_and_hands_back(harness: &dyn Harness) {
    let subject = harness.create(2 * SHORT).await;
    for n in 0..12 {
        subject.send(&body(n), None).await;
    }
    let places = places(&drain(subject.as_ref(), 12).await);
    let refused = subject.queue().hold(&[], LONG).await.expect("a queue can hold");
    assert!(refused.is_empty(), "holding nothing is a no-op");
    assert!(subject.queue().hold(&places, LONG).await.expect("a queue can hold").is_empty(), "held");
    sleep(3 * SHORT).await;
    let early = receive(&*subject, 10, Duration::ZERO).await;
    assert!(early.is_empty(), "held beyond the queue's own time");
    let refused = subject.queue().hold(&places, Duration::ZERO).await.expect("a queue can hold");
    assert!(refused.is_empty(), "handed back");
    drain(subject.as_ref(), 12).await;
}

async fn delete_overlaps_receive(harness: &dyn Harness) {
    let subject = harness.create(LONG).await;
    subject.send(&body(1), None).await;
    let place = one(receive(&*subject, 1, BRIEF).await).place;
    let receive = subject.queue().receive(1, 5 * BRIEF, None);
    let delete = timeout(3 * BRIEF, async {
        sleep(BRIEF / 2).await;
        accepted(subject.as_ref(), &[place]).await;
    });
    let (records, deleted) = tokio::join!(receive, delete);
    assert!(records.expect("an answer").is_empty(), "nothing was left to receive");
    deleted.expect("a delete does not wait for a receive");
}

async fn a_group_is_in_order(harness: &dyn Harness) {
    let subject = harness.create_fifo(LONG).await;
    for n in 0..12 {
        subject.send(&body(n), Some("g")).await;
    }
    let mut next = 0;
    while next < 12 {
        let records = receive(&*subject, 5, BRIEF).await;
        assert!(!records.is_empty(), "a group goes on when what came before is deleted");
        for record in &records {
            assert!(holds(record, &body(next)), "a group is in order");
            next += 1;
        }
        accepted(subject.as_ref(), &places(&records)).await;
    }
}

async fn a_group_is_held_and_others_run_on(harness: &dyn Harness) {
    let subject = harness.create_fifo(LONG).await;
    subject.send(&body(1), Some("held")).await;
    let held = one(receive(&*subject, 1, BRIEF).await);
    subject.send(&body(2), Some("held")).await;
    subject.send(&body(3), Some("free")).await;
    let free = one(receive(&*subject, 10, BRIEF).await);
    assert!(holds(&free, &body(3)), "another group runs on while one is held");
    accepted(subject.as_ref(), &[held.place]).await;
    let next = one(receive(&*subject, 10, 3 * BRIEF).await);
    assert!(holds(&next, &body(2)), "the group goes on");
}

async fn a_failed_item_comes_back_first(harness: &dyn Harness) {
    let subject = harness.create_fifo(SHORT).await;
    subject.send(&body(1), Some("g")).await;
    let failed = one(receive(&*subject, 1, BRIEF).await);
    subject.send(&body(2), Some("g")).await;
    let again = receive(&*subject, 1, 4 * SHORT).await;
    assert_eq!(id(&one(again)), id(&failed), "what failed comes back before what came after it");
}

async fn a_batch_may_mix_groups(harness: &dyn Harness) {
    let subject = harness.create_fifo(LONG).await;
    for n in 0..6 {
        subject.send(&body(n), Some(if n % 2 == 0 { "even" } else { "odd" })).await;
    }
    let records = receive(&*subject, 10, BRIEF).await;
    let at = |n| records.iter().position(|record| holds(record, &body(n)));
    for pair in [[0, 2], [2, 4], [1, 3], [3, 5]] {
        let [before, after] = pair.map(at);
        assert!(after.is_none() || before < after, "within a batch each group is in order");
    }
}

/// A body that is no part of another.
fn body(n: usize) -> String {
    format!("<body {n}>")
}

fn holds(record: &Record, body: &str) -> bool {
    let json = record.json.as_ref().expect("shaped");
    json.windows(body.len()).any(|window| window == body.as_bytes())
}

fn well_formed(record: &Record) {
    let json = record.json.as_ref().expect("an item can be shaped");
    serde_json::from_slice::<serde_json::Value>(json).expect("a fragment is JSON");
    let Place::Item { id, receipt } = &record.place else { panic!("a queue's place is an item") };
    assert!(!id.is_empty() && !receipt.is_empty(), "named");
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    let age = i64::try_from(now).expect("before 2200") - record.at.as_second();
    assert!(age.abs() < 3600, "the time is the source's own for this item");
}

/// As the engine does it: a queue may wait less long than it was told, and is asked again.
async fn receive(subject: &dyn Subject, max: usize, wait: Duration) -> Vec<Record> {
    let start = Instant::now();
    loop {
        let left = wait.saturating_sub(start.elapsed());
        let records = subject.queue().receive(max, left, None).await.expect("an answer");
        if !records.is_empty() || start.elapsed() >= wait {
            return records;
        }
    }
}

fn id(record: &Record) -> Bytes {
    let Place::Item { id, .. } = &record.place else { panic!("a queue's place is an item") };
    id.clone()
}

fn one(mut records: Vec<Record>) -> Record {
    assert_eq!(records.len(), 1, "exactly one item was there to receive");
    records.remove(0)
}

fn places(records: &[Record]) -> Vec<Place> {
    records.iter().map(|record| record.place.clone()).collect()
}

/// Receives until `count` items came; all of them within half a minute.
async fn drain(subject: &dyn Subject, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    let all = async {
        while records.len() < count {
            records.extend(receive(subject, 10, BRIEF).await);
        }
    };
    timeout(LONG / 2, all).await.expect("all that was sent comes");
    assert_eq!(records.len(), count, "and nothing else");
    records
}

async fn accepted(subject: &dyn Subject, places: &[Place]) {
    let refused = subject.queue().delete(places).await.expect("an answer");
    assert!(refused.is_empty(), "deleted without a refusal, got {refused:?}");
}
