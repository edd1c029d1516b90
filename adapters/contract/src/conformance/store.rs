//! What every [`Store`] promises, sentence by sentence.
//!
//! A store writes a [`Harness`] and calls [`standard`] and, where several members can share it, [`shared`]. A promise that
//! is broken panics with its name. Each promise gets a store of its own, so they run at the same time: the suite takes as
//! long as the slowest sentence, a member's death.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{Mark, Row, Store};

/// How the suite gets stores.
#[async_trait]
pub trait Harness: Send + Sync {
    /// A new store without rows and members.
    async fn create(&self) -> Box<dyn Subject>;
}

/// One store under test.
#[async_trait]
pub trait Subject: Send + Sync {
    /// A new member. Dropping it is a crash. [`standard`] has one at a time.
    async fn join(&self) -> Arc<dyn Store>;

    /// For how long a member that has crashed may be taken for alive, at most.
    fn expiry(&self) -> Duration;
}

const M: &str = "orders";

/// Every promise of a store with one member at a time.
pub async fn standard(harness: &dyn Harness) {
    tokio::join!(
        rows_are_read_back_as_written(harness),
        versions_go_up_by_one(harness),
        stale_versions_are_refused_and_only_those(harness),
        each_row_is_on_its_own(harness),
        mappings_are_apart(harness),
        removal_is_by_version(harness),
        many_rows_are_all_there(harness),
        one_of_many_writes_at_once_wins(harness),
        members_are_new_after_each_start(harness),
        rows_outlive_a_crash(harness),
        closing_is_idempotent(harness),
    );
}

/// Every promise of a store with several members, on top of [`standard`]'s.
pub async fn shared(harness: &dyn Harness) {
    tokio::join!(
        members_see_each_other_come_and_go(harness),
        one_of_many_members_wins(harness),
        an_owner_that_lost_its_row_cannot_move_it(harness),
        no_write_is_lost(harness),
    );
}

async fn rows_are_read_back_as_written(harness: &dyn Harness) {
    let subject = harness.create().await;
    let store = subject.join().await;
    let moment: Timestamp = "2026-11-22T20:00:00.123456789Z".parse().expect("a timestamp");
    let marks = [
        Mark::Oldest,
        Mark::Moment(moment),
        Mark::Moment(Timestamp::UNIX_EPOCH),
        Mark::After("49590338271490256608559692538361571095921575989136588898".to_owned()),
        Mark::After("{\"_data\": \"8265\\ \u{1f980}\n\"}".to_owned()),
        Mark::Ended,
    ];
    let mut written: Vec<Row> = (0..)
        .zip(marks)
        .map(|(n, mark)| Row {
            partition: format!("shardId-{n:012}/\u{e9}\"#"),
            stream: format!("arn:aws:kinesis:us-east-1:123456789012:stream/s@{n}\\\""),
            owner: (n % 2 == 0).then(|| store.member().to_owned()),
            mark,
            version: 0,
        })
        .collect();
    accepted(&*store, M, &written).await;
    written.iter_mut().for_each(|row| row.version = 1);
    assert_eq!(rows(&*store, M).await, written, "rows are read back as they were written");
}

async fn versions_go_up_by_one(harness: &dyn Harness) {
    let subject = harness.create().await;
    let store = subject.join().await;
    for version in 0..5 {
        accepted(&*store, M, &[row("a", version)]).await;
        assert_eq!(rows(&*store, M).await, [row("a", version + 1)], "versions go up by one");
    }
}

async fn stale_versions_are_refused_and_only_those(harness: &dyn Harness) {
    let subject = harness.create().await;
    let store = subject.join().await;
    refused(&*store, &row("a", 1)).await;
    assert!(rows(&*store, M).await.is_empty(), "a row that is not there has no version but 0");
    accepted(&*store, M, &[row("a", 0)]).await;
    accepted(&*store, M, &[row("a", 1)]).await;
    for stale in [0, 1, 3, u64::MAX >> 1] {
        refused(&*store, &row("a", stale)).await;
    }
    assert_eq!(rows(&*store, M).await, [row("a", 2)], "a refused write leaves nothing behind");
    accepted(&*store, M, &[row("a", 2)]).await;
}

async fn each_row_is_on_its_own(harness: &dyn Harness) {
    let subject = harness.create().await;
    let store = subject.join().await;
    accepted(&*store, M, &[]).await;
    accepted(&*store, M, &[row("a", 0), row("c", 0)]).await;
    let mixed = [row("a", 0), row("b", 0), row("c", 1), row("d", 7)];
    let mut answer = store.write(M, &mixed).await.expect("an answer");
    answer.sort();
    assert_eq!(answer, ["a", "d"], "exactly the refused partitions are answered");
    let expected = [row("a", 1), row("b", 1), row("c", 2)];
    assert_eq!(rows(&*store, M).await, expected, "the rows beside a refused one are written");
}

async fn mappings_are_apart(harness: &dyn Harness) {
    let subject = harness.create().await;
    let store = subject.join().await;
    for mapping in ["a", "a-b", "ab", "members"] {
        accepted(&*store, mapping, &[row("b", 0)]).await;
    }
    accepted(&*store, "a", &[row("b", 1)]).await;
    store.remove("ab", &[row("b", 1)]).await.expect("removed");
    assert_eq!(rows(&*store, "a").await, [row("b", 2)], "mappings are apart");
    assert_eq!(rows(&*store, "a-b").await, [row("b", 1)], "mappings are apart");
    assert_eq!(rows(&*store, "members").await, [row("b", 1)], "mappings are apart from members");
    assert!(rows(&*store, "ab").await.is_empty(), "mappings are apart");
    assert!(rows(&*store, "nobody").await.is_empty(), "a mapping nobody wrote has no rows");
}

async fn removal_is_by_version(harness: &dyn Harness) {
    let subject = harness.create().await;
    let store = subject.join().await;
    accepted(&*store, M, &[row("a", 0), row("b", 0)]).await;
    accepted(&*store, M, &[row("a", 1)]).await;
    let asked = [row("a", 1), row("b", 1), row("nowhere", 1)];
    for _ in 0..2 {
        store.remove(M, &asked).await.expect("removed, or left alone");
        assert_eq!(rows(&*store, M).await, [row("a", 2)], "a row is removed at its version only");
    }
    store.remove(M, &[]).await.expect("nothing to do");
    refused(&*store, &row("b", 1)).await;
    accepted(&*store, M, &[row("b", 0)]).await;
}

async fn many_rows_are_all_there(harness: &dyn Harness) {
    let subject = harness.create().await;
    let store = subject.join().await;
    // More than a megabyte, which is a page of DynamoDB's.
    let long = Mark::After("x".repeat(4096));
    let mut many: Vec<Row> =
        (0..400).map(|n| Row { mark: long.clone(), ..row(&format!("shard-{n:04}"), 0) }).collect();
    accepted(&*store, M, &many).await;
    many.iter_mut().for_each(|row| row.version = 1);
    assert!(rows(&*store, M).await == many, "many rows are all there");
}

async fn one_of_many_writes_at_once_wins(harness: &dyn Harness) {
    let subject = harness.create().await;
    let store = subject.join().await;
    for version in 0..5 {
        let wins = race([&store, &store, &store, &store].map(Arc::clone), version).await;
        assert_eq!(wins, 1, "one of many writes at once wins, and one only");
    }
}

async fn members_are_new_after_each_start(harness: &dyn Harness) {
    let subject = harness.create().await;
    let first = subject.join().await;
    let name = first.member().to_owned();
    assert_eq!(first.members().await.expect("an answer"), [first.member()], "a member is among the members");
    drop(first);
    assert_ne!(subject.join().await.member(), name, "a member's name is new after each start");
}

async fn rows_outlive_a_crash(harness: &dyn Harness) {
    let subject = harness.create().await;
    let first = subject.join().await;
    accepted(&*first, M, &[row("a", 0)]).await;
    drop(first);
    let second = subject.join().await;
    assert_eq!(rows(&*second, M).await, [row("a", 1)], "what was written is there after a crash");
    accepted(&*second, M, &[row("a", 1)]).await;
    second.close().await.expect("closed");
    let third = subject.join().await;
    assert_eq!(rows(&*third, M).await, [row("a", 2)], "what was written is there after a close");
    refused(&*third, &row("a", 1)).await;
}

async fn closing_is_idempotent(harness: &dyn Harness) {
    let subject = harness.create().await;
    let store = subject.join().await;
    for _ in 0..2 {
        store.close().await.expect("closing is idempotent");
    }
}

async fn members_see_each_other_come_and_go(harness: &dyn Harness) {
    let subject = harness.create().await;
    let (first, second, third) = (subject.join().await, subject.join().await, subject.join().await);
    let all = sorted([&first, &second, &third]);
    for store in [&first, &second, &third] {
        within(subject.expiry(), || sees(store, &all), "members see each other").await;
    }
    second.close().await.expect("closed");
    let left = sorted([&first, &third]);
    within(subject.expiry(), || sees(&first, &left), "who leaves is no member").await;
    sleep(2 * subject.expiry()).await;
    assert!(sees(&first, &left).await && sees(&third, &left).await, "who lives is not taken for dead");
    drop(third);
    let alone = sorted([&first]);
    within(2 * subject.expiry(), || sees(&first, &alone), "who crashed is no member").await;
}

async fn one_of_many_members_wins(harness: &dyn Harness) {
    let subject = harness.create().await;
    let members = [subject.join().await, subject.join().await, subject.join().await, subject.join().await];
    for version in 0..20 {
        let wins = race(members.clone(), version).await;
        assert_eq!(wins, 1, "of members that race over a row one wins, and one only");
    }
    let rows = rows(&*members[0], M).await;
    assert_eq!((rows.len(), rows[0].version), (1, 20), "every round moved the row by one");
}

async fn an_owner_that_lost_its_row_cannot_move_it(harness: &dyn Harness) {
    let subject = harness.create().await;
    let (first, second) = (subject.join().await, subject.join().await);
    let own =
        |store: &Arc<dyn Store>, version| Row { owner: Some(store.member().to_owned()), ..row("a", version) };
    accepted(&*first, M, &[own(&first, 0)]).await;
    accepted(&*second, M, &[own(&second, 1)]).await;
    refused(&*first, &Row { mark: Mark::After("later".to_owned()), ..own(&first, 1) }).await;
    assert_eq!(rows(&*first, M).await, [own(&second, 2)], "an owner that lost its row cannot move it");
}

/// As many members count in one row, each over what it has read.
async fn no_write_is_lost(harness: &dyn Harness) {
    const EACH: u64 = 10;
    let subject = harness.create().await;
    let mut counting = JoinSet::new();
    for _ in 0..4 {
        let store = subject.join().await;
        counting.spawn(async move {
            let mut done = 0;
            while done < EACH {
                let known = rows(&*store, M).await.pop();
                let so_far = known.as_ref().map_or(0, |row| count(&row.mark));
                let next = Row {
                    mark: Mark::After((so_far + 1).to_string()),
                    ..row("a", known.map_or(0, |row| row.version))
                };
                done += u64::from(store.write(M, &[next]).await.expect("an answer").is_empty());
            }
            store
        });
    }
    let members = counting.join_all().await;
    let row = rows(&*members[0], M).await.pop().expect("the row that was counted in");
    assert_eq!((count(&row.mark), row.version), (4 * EACH, 4 * EACH), "no accepted write is lost");
}

/// How many of these writes over one version are accepted.
async fn race<const N: usize>(stores: [Arc<dyn Store>; N], version: u64) -> usize {
    let mut racing = JoinSet::new();
    for store in stores {
        racing
            .spawn(async move { store.write(M, &[row("a", version)]).await.expect("an answer").is_empty() });
    }
    racing.join_all().await.into_iter().filter(|won| *won).count()
}

async fn accepted(store: &dyn Store, mapping: &str, rows: &[Row]) {
    let refused = store.write(mapping, rows).await.expect("an answer");
    assert!(refused.is_empty(), "a row over its own version is accepted: {refused:?}");
}

async fn refused(store: &dyn Store, row: &Row) {
    let refused = store.write(M, std::slice::from_ref(row)).await.expect("an answer");
    assert_eq!(refused, [row.partition.as_str()], "a row over another version is refused: {}", row.version);
}

/// In order of their partitions.
async fn rows(store: &dyn Store, mapping: &str) -> Vec<Row> {
    let mut rows = store.rows(mapping).await.expect("the rows");
    rows.sort_by(|a, b| a.partition.cmp(&b.partition));
    rows
}

fn row(partition: &str, version: u64) -> Row {
    Row {
        partition: partition.to_owned(),
        stream: "stream".to_owned(),
        mark: Mark::Oldest,
        owner: None,
        version,
    }
}

fn count(mark: &Mark) -> u64 {
    match mark {
        Mark::After(count) => count.parse().expect("a number"),
        other => panic!("expected a count, found {other:?}"),
    }
}

fn sorted<const N: usize>(members: [&Arc<dyn Store>; N]) -> Vec<String> {
    let mut names: Vec<_> = members.iter().map(|store| store.member().to_owned()).collect();
    names.sort();
    names
}

async fn sees(store: &Arc<dyn Store>, members: &[String]) -> bool {
    store.members().await.expect("an answer") == members
}

/// A loaded machine may take its time beyond what was promised.
async fn within<F: Future<Output = bool>>(promised: Duration, mut test: impl FnMut() -> F, promise: &str) {
    let end = Instant::now() + promised + Duration::from_secs(20);
    while !test().await {
        assert!(Instant::now() < end, "{promise}");
        sleep(Duration::from_millis(50)).await;
    }
}
