//! What every [`Log`] promises, sentence by sentence.
//!
//! An adapter writes a [`Harness`] for its server and calls [`all`]. A promise that is broken panics with its name. Each
//! promise gets a log of its own, so they run at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep, timeout};

use crate::{Arrival, Kind, Log, Partition, Place, Position, Record};

/// How the suite gets logs.
#[async_trait]
pub trait Harness: Send + Sync {
    /// A new, empty log of so many partitions.
    async fn create(&self, partitions: u32) -> Box<dyn Subject>;
}

/// One log under test, with the side doors the suite needs.
#[async_trait]
pub trait Subject: Send + Sync {
    /// Opens it, always as the same mapping: without a checkpoint at the beginning, else after the last. Opened again while
    /// open, the two share the partitions.
    async fn open(&self) -> Box<dyn Log>;

    /// Appends records with these bodies, in order.
    async fn append(&self, partition: u32, bodies: &[String]);

    /// The body of a record that was appended.
    fn body(&self, record: &Record) -> String;
}

/// Long enough for any server, and a group that has to find itself anew.
const PATIENCE: Duration = Duration::from_secs(60);
/// Long enough for what is on its way to arrive.
const BRIEF: Duration = Duration::from_secs(2);

/// Every promise.
pub async fn all(harness: &dyn Harness) {
    tokio::join!(
        partitions_are_gained_and_their_records_come_in_order(harness),
        never_more_than_wanted(harness),
        a_dropped_next_loses_nothing(harness),
        a_checkpoint_is_durable_and_inclusive(harness),
        what_is_not_settled_comes_again(harness),
        old_epochs_are_ignored(harness),
        a_release_is_durable(harness),
        a_closed_partition_stops_and_goes_on_without_a_gap(harness),
        a_partition_moves_after_it_was_released(harness),
        closing_leaves_and_can_be_repeated(harness),
        the_lag_counts_what_is_not_settled(harness),
    );
}

async fn partitions_are_gained_and_their_records_come_in_order(harness: &dyn Harness) {
    let subject = harness.create(3).await;
    for partition in 0..3 {
        subject.append(partition, &bodies(0..50)).await;
    }
    let mut member = Member::open(&*subject).await;
    member.read(150).await;
    for partition in 0..3 {
        subject.append(partition, &bodies(50..100)).await;
    }
    member.read(300).await;
    for partition in 0..3 {
        assert_eq!(member.of(partition), bodies(0..100), "a partition's records come once, in order");
    }
    assert!(member.is_quiet().await, "and nothing else comes");
}

async fn never_more_than_wanted(harness: &dyn Harness) {
    let subject = harness.create(1).await;
    subject.append(0, &bodies(0..20)).await;
    let mut member = Member::open(&*subject).await;
    timeout(PATIENCE, async {
        while member.owned.is_empty() {
            member.next(0).await;
        }
    })
    .await
    .expect("with nothing wanted ownership changes still come");
    // Who owns what may change once more.
    let _ = timeout(BRIEF, member.next(0)).await;
    assert!(member.seen.is_empty(), "with nothing wanted no records come");
    for want in [1, 3, 5, 11] {
        let before = member.seen.len();
        member.next(want).await;
        assert!(member.seen.len() - before <= want, "never more than wanted");
    }
    member.read(20).await;
}

async fn a_dropped_next_loses_nothing(harness: &dyn Harness) {
    let subject = harness.create(2).await;
    let mut member = Member::open(&*subject).await;
    let append = async {
        for n in 0..30 {
            subject.append(n % 2, &bodies(n as usize..n as usize + 1)).await;
        }
    };
    let read = async {
        let end = Instant::now() + PATIENCE;
        while member.seen.len() < 30 && Instant::now() < end {
            // Dropped at whatever point it had reached.
            let _ = timeout(Duration::from_millis(1), member.next(1)).await;
        }
    };
    tokio::join!(append, read);
    assert_eq!(member.seen.len(), 30, "a dropped next loses nothing");
}

async fn a_checkpoint_is_durable_and_inclusive(harness: &dyn Harness) {
    let subject = harness.create(2).await;
    for partition in 0..2 {
        subject.append(partition, &bodies(0..10)).await;
    }
    let mut member = Member::open(&*subject).await;
    member.read(20).await;
    let through = [member.place(0, 3), member.place(1, 9)];
    member.log.checkpoint(&through).await.expect("a checkpoint");
    member.log.checkpoint(&[]).await.expect("an empty checkpoint is a no-op");
    drop(member);
    let mut again = Member::open(&*subject).await;
    again.read(6).await;
    assert_eq!(again.of(0), bodies(4..10), "a new start begins right after the checkpoint");
    assert_eq!(again.of(1), bodies(0..0), "and what was settled does not come again");
    assert!(again.is_quiet().await, "none of it");
}

async fn what_is_not_settled_comes_again(harness: &dyn Harness) {
    let subject = harness.create(1).await;
    subject.append(0, &bodies(0..10)).await;
    let mut member = Member::open(&*subject).await;
    member.read(10).await;
    member.log.checkpoint(&[member.place(0, 2)]).await.expect("a checkpoint");
    member.release_all().await;
    member.log.close().await.expect("closed");
    let mut again = Member::open(&*subject).await;
    again.read(7).await;
    assert_eq!(again.of(0), bodies(3..10), "what is not settled comes again");
}

async fn old_epochs_are_ignored(harness: &dyn Harness) {
    let subject = harness.create(1).await;
    subject.append(0, &bodies(0..10)).await;
    let mut member = Member::open(&*subject).await;
    member.read(10).await;
    let (partition, position) = member.place(0, 9);
    let old = Partition { epoch: partition.epoch.wrapping_sub(1), ..partition };
    member.log.checkpoint(&[(old, position.clone())]).await.expect("ignored, not refused");
    member.log.release(old, Some(position)).await.expect("ignored, not refused");
    member.log.flow(old, false);
    subject.append(0, &bodies(10..12)).await;
    member.read(12).await;
    drop(member);
    let mut again = Member::open(&*subject).await;
    again.read(12).await;
    assert_eq!(again.of(0), bodies(0..12), "an old epoch settles nothing");
}

async fn a_release_is_durable(harness: &dyn Harness) {
    let subject = harness.create(2).await;
    for partition in 0..2 {
        subject.append(partition, &bodies(0..10)).await;
    }
    let mut member = Member::open(&*subject).await;
    member.read(20).await;
    let (partition, position) = member.place(0, 6);
    member.log.release(partition, Some(position)).await.expect("released");
    subject.append(0, &bodies(10..12)).await;
    assert!(member.is_quiet().await, "nothing of a released partition follows");
    let (partition, _) = member.place(1, 0);
    member.log.release(partition, None).await.expect("released");
    member.log.close().await.expect("closed");
    let mut again = Member::open(&*subject).await;
    again.read(15).await;
    assert_eq!(again.of(0), bodies(7..12), "what a release settled is durable");
    assert_eq!(again.of(1), bodies(0..10), "and it settles nothing else");
}

async fn a_closed_partition_stops_and_goes_on_without_a_gap(harness: &dyn Harness) {
    let subject = harness.create(2).await;
    for partition in 0..2 {
        subject.append(partition, &bodies(0..10)).await;
    }
    let mut member = Member::open(&*subject).await;
    member.read(20).await;
    let (closed, _) = member.place(0, 0);
    member.log.flow(closed, false);
    // What was on its way may come; nothing was.
    member.is_quiet().await;
    for partition in 0..2 {
        subject.append(partition, &bodies(10..500)).await;
    }
    member.read(20 + 490).await;
    assert!(member.is_quiet().await, "a closed partition stops");
    assert_eq!(member.of(1), bodies(0..500), "the others run on");
    member.log.flow(closed, true);
    member.read(1000).await;
    assert_eq!(member.of(0), bodies(0..500), "opened again it goes on without a gap");
}

async fn a_partition_moves_after_it_was_released(harness: &dyn Harness) {
    let subject = harness.create(4).await;
    for partition in 0..4 {
        subject.append(partition, &bodies(0..10)).await;
    }
    let mut first = Member::open(&*subject).await;
    first.read(40).await;
    let mut second = Member::open(&*subject).await;
    let settled = |member: &Member, partition: Partition| member.last_of(partition);
    let end = Instant::now() + PATIENCE;
    while (first.owned.len(), second.owned.len()) != (2, 2) {
        assert!(Instant::now() < end, "a second member gets its share of the partitions");
        let _ = tokio::join!(
            timeout(Duration::from_millis(200), first.next(100)),
            timeout(Duration::from_millis(200), second.next(100)),
        );
        for partition in std::mem::take(&mut first.losing) {
            let through = settled(&first, partition);
            first.log.release(partition, through).await.expect("released");
        }
    }
    let moved: Vec<_> = second.owned.keys().copied().collect();
    for partition in 0..4 {
        subject.append(partition, &bodies(10..20)).await;
    }
    first.read(60).await;
    second.read(20).await;
    for index in moved {
        assert_eq!(second.of(index), bodies(10..20), "a partition goes on where its last owner settled");
    }
    second.release_all().await;
    second.log.close().await.expect("closed");
    timeout(PATIENCE, async {
        while first.owned.len() < 4 {
            first.next(100).await;
        }
    })
    .await
    .expect("who stays gets back what the other left");
}

async fn closing_leaves_and_can_be_repeated(harness: &dyn Harness) {
    let subject = harness.create(1).await;
    subject.append(0, &bodies(0..3)).await;
    let mut member = Member::open(&*subject).await;
    member.read(3).await;
    member.release_all().await;
    for _ in 0..2 {
        timeout(PATIENCE, member.log.close()).await.expect("closing ends").expect("closed");
    }
    let start = Instant::now();
    Member::open(&*subject).await.read(3).await;
    assert!(start.elapsed() < PATIENCE / 3, "who has left does not keep the next one waiting");
}

async fn the_lag_counts_what_is_not_settled(harness: &dyn Harness) {
    let subject = harness.create(1).await;
    subject.append(0, &bodies(0..10)).await;
    let mut member = Member::open(&*subject).await;
    member.read(10).await;
    for (settled, behind) in [(3, 6), (9, 0)] {
        member.log.checkpoint(&[member.place(0, settled)]).await.expect("a checkpoint");
        let end = Instant::now() + PATIENCE;
        let lag = || {
            member.log.lag().into_iter().map(|(partition, lag)| (partition.index, lag)).collect::<Vec<_>>()
        };
        while lag() != [(0, behind)] {
            assert!(Instant::now() < end, "the lag counts what is not settled: {:?} is not {behind}", lag());
            sleep(BRIEF / 20).await;
        }
    }
}

/// Bodies with these numbers.
fn bodies(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("<body {n}>")).collect()
}

/// An open log, and the laws that hold whatever comes.
struct Member<'a> {
    subject: &'a dyn Subject,
    log: Box<dyn Log>,
    /// The epoch each partition is owned under.
    owned: BTreeMap<u32, u32>,
    losing: Vec<Partition>,
    newest_epoch: BTreeMap<u32, u32>,
    names: BTreeMap<u32, Arc<str>>,
    seen: Vec<(Partition, Position, String)>,
}

impl<'a> Member<'a> {
    async fn open(subject: &'a dyn Subject) -> Self {
        let log = subject.open().await;
        Self {
            subject,
            log,
            owned: BTreeMap::new(),
            losing: Vec::new(),
            newest_epoch: BTreeMap::new(),
            names: BTreeMap::new(),
            seen: Vec::new(),
        }
    }

    async fn next(&mut self, want: usize) {
        match self.log.next(want).await {
            Ok(arrivals) => arrivals.into_iter().for_each(|arrival| self.take(arrival)),
            Err(error) if matches!(error.kind(), Kind::Retry { .. }) => sleep(BRIEF / 10).await,
            Err(error) => panic!("the log gave up: {error}"),
        }
    }

    fn take(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Gained(partition) => {
                let name = self.log.name(partition).expect("what is gained has a name");
                let known = self.names.insert(partition.index, name.clone());
                assert!(known.is_none_or(|known| known == name), "and keeps it");
                let newest = self.newest_epoch.insert(partition.index, partition.epoch);
                assert!(
                    newest.is_none_or(|newest| newest != partition.epoch),
                    "every gain is an epoch of its own"
                );
                let before = self.owned.insert(partition.index, partition.epoch);
                assert!(before.is_none(), "what is owned is not gained");
            }
            Arrival::Losing(partition) => {
                self.end(partition);
                self.losing.push(partition);
            }
            Arrival::Lost(partition) => {
                if self.owned.get(&partition.index) == Some(&partition.epoch) {
                    self.end(partition);
                }
                self.losing.retain(|losing| *losing != partition);
            }
            Arrival::Record(record) => self.take_record(&record),
            Arrival::Passed(partition, ..) | Arrival::Ended(partition) => self.is_owned(partition),
        }
    }

    fn take_record(&mut self, record: &Record) {
        let Place::At { partition, position, .. } = &record.place else {
            panic!("a log's place is in a partition")
        };
        self.is_owned(*partition);
        let json = record.json.as_ref().expect("a record can be shaped");
        serde_json::from_slice::<serde_json::Value>(json).expect("a fragment is JSON");
        let twice = self.seen.iter().any(|(p, at, _)| p == partition && at == position);
        assert!(!twice, "a record comes once in an epoch");
        self.seen.push((*partition, position.clone(), self.subject.body(record)));
    }

    fn end(&mut self, partition: Partition) {
        self.is_owned(partition);
        self.owned.remove(&partition.index);
    }

    fn is_owned(&self, partition: Partition) {
        let epoch = self.owned.get(&partition.index);
        assert_eq!(epoch, Some(&partition.epoch), "ownership first: {partition:?} is ours");
    }

    /// Reads until so many records have been seen in all.
    async fn read(&mut self, count: usize) {
        let all = async {
            while self.seen.len() < count {
                self.next(count - self.seen.len()).await;
            }
        };
        if timeout(PATIENCE, all).await.is_err() {
            panic!("{} of {count} records came", self.seen.len());
        }
    }

    /// Whether no record comes for a while.
    async fn is_quiet(&mut self) -> bool {
        let before = self.seen.len();
        let _ = timeout(BRIEF, async {
            loop {
                self.next(100).await;
            }
        })
        .await;
        self.seen.len() == before
    }

    /// The bodies seen of a partition, in order.
    fn of(&self, index: u32) -> Vec<String> {
        self.seen.iter().filter(|(p, ..)| p.index == index).map(|(.., body)| body.clone()).collect()
    }

    /// The place of the n-th record seen of a partition.
    fn place(&self, index: u32, n: usize) -> (Partition, Position) {
        let (partition, position, _) =
            self.seen.iter().filter(|(p, ..)| p.index == index).nth(n).expect("it was read");
        (*partition, position.clone())
    }

    fn last_of(&self, partition: Partition) -> Option<Position> {
        self.seen.iter().rfind(|(p, ..)| *p == partition).map(|(_, position, _)| position.clone())
    }

    async fn release_all(&mut self) {
        for (index, epoch) in std::mem::take(&mut self.owned) {
            self.log.release(Partition { index, epoch }, None).await.expect("released");
        }
    }
}
