//! The shard reader against a scripted service: what no emulator does, or not when asked.
#![allow(clippy::unwrap_used)] // A test that cannot set its scene has failed.

mod script;

use std::time::Duration;

use async_trait::async_trait;
use klr_aws::shards::{OnLostPosition, Settings, Start};
use klr_contract::conformance::log::{Harness, Subject, all};
use klr_contract::memory::store::Table;
use klr_contract::{Arrival, Kind, Log, Mark, Record, Row, Store as _};
use script::{MAPPING, Script, bodies, body, gained, last_place, settings, shard};
use tokio::time::{Instant, timeout};

struct Scripts;

struct Stream(Script, Table);

#[async_trait]
impl Harness for Scripts {
    async fn create(&self, partitions: u32) -> Box<dyn Subject> {
        Box::new(Stream(Script::new(partitions as usize), Table::default()))
    }
}

#[async_trait]
impl Subject for Stream {
    async fn open(&self) -> Box<dyn Log> {
        Box::new(self.0.open(&self.1, settings(Start::TrimHorizon)))
    }

    async fn append(&self, partition: u32, bodies: &[String]) {
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        self.0.put(&shard(partition as usize), &bodies);
    }

    fn body(&self, record: &Record) -> String {
        body(record)
    }
}

#[tokio::test(start_paused = true)]
async fn conforms() {
    all(&Scripts).await;
}

#[tokio::test(start_paused = true)]
async fn a_parent_is_done_before_its_children() {
    let (script, table) = (Script::new(1), Table::default());
    script.put(&shard(0), &["p1", "p2"]);
    script.add(&shard(1), &[&shard(0)]);
    script.add(&shard(2), &[&shard(0)]);
    script.put(&shard(1), &["a"]);
    script.put(&shard(2), &["b"]);
    let reader = script.open(&table, settings(Start::TrimHorizon));
    let (seen, _) = reader.read_until(|all, _| all.iter().any(|a| matches!(a, Arrival::Ended(_)))).await;
    assert_eq!(bodies(&seen), ["p1", "p2"]);
    let quiet = timeout(Duration::from_secs(60), reader.read_until(|all, _| !all.is_empty())).await;
    assert!(quiet.is_err(), "its children wait until all of it is done");
    let (parent, position) = last_place(&seen);
    reader.release(parent, Some(position)).await.unwrap();
    assert_eq!(table.row(MAPPING, &shard(0)).unwrap().mark, Mark::Ended);
    let mut children = bodies(&reader.read(2).await);
    children.sort();
    assert_eq!(children, ["a", "b"]);
}

/// The parents of a merged shard are with two members.
#[tokio::test(start_paused = true)]
async fn a_merged_shard_waits_for_the_parents_of_all_members() {
    let (script, table) = (Script::new(2), Table::default());
    let readers = [0, 1].map(|_| script.open(&table, settings(Start::TrimHorizon)));
    let both = async {
        tokio::join!(readers[0].run(Duration::from_secs(60)), readers[1].run(Duration::from_secs(60)))
    };
    let (first, second) = both.await;
    assert_eq!((gained(&first).len(), gained(&second).len()), (1, 1), "{first:?} {second:?}");
    script.put(&shard(0), &["p0"]);
    script.put(&shard(1), &["p1"]);
    script.add(&shard(2), &[&shard(0), &shard(1)]);
    script.put(&shard(2), &["c"]);
    let alone = readers[0].run(Duration::from_secs(60)).await;
    assert_eq!(bodies(&alone).len(), 1, "the other parent is not done: {alone:?}");
    let (first, second) =
        tokio::join!(readers[0].run(Duration::from_secs(60)), readers[1].run(Duration::from_secs(60)));
    let mut rest = [bodies(&first), bodies(&second)].concat();
    rest.sort();
    assert_eq!(rest.len(), 2);
    assert_eq!(rest[0], "c");
}

#[tokio::test(start_paused = true)]
async fn an_expired_iterator_is_replaced_without_a_gap() {
    let (script, table) = (Script::new(1), Table::default());
    let reader = script.open(&table, settings(Start::TrimHorizon));
    let mut seen = Vec::new();
    for n in 0..20 {
        script.put(&shard(0), &[&format!("{n}")]);
        if n % 3 == 0 {
            script.expire();
        }
        seen.extend(bodies(&reader.read(1).await));
    }
    assert_eq!(seen, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// Checkpointed at "1"; "2" is trimmed unread; then "3" arrives.
async fn trimmed(choice: OnLostPosition) -> (Vec<String>, Vec<&'static str>, Script, Table) {
    let (script, table) = (Script::new(1), Table::default());
    let settings = || Settings { on_lost_position: choice, ..settings(Start::TrimHorizon) };
    script.put(&shard(0), &["1"]);
    let reader = script.open(&table, settings());
    let seen = reader.read(1).await;
    reader.checkpoint(&[last_place(&seen)]).await.unwrap();
    drop(reader);
    tokio::time::sleep(Duration::from_secs(1)).await;
    script.put(&shard(0), &["2"]);
    script.trim(&shard(0));
    script.put(&shard(0), &["3"]);
    std::thread::sleep(Duration::from_millis(5));
    let reader = script.open(&table, settings());
    let (seen, told) = reader.read_until(|all, told| !told.is_empty() || bodies(all).len() == 1).await;
    let more = timeout(Duration::from_secs(30), reader.read(1)).await.unwrap_or_default();
    script.put(&shard(0), &["4"]);
    let rest = timeout(Duration::from_secs(30), reader.read(1)).await.unwrap_or_default();
    ([bodies(&seen), bodies(&more), bodies(&rest)].concat(), told, script, table)
}

#[tokio::test(start_paused = true)]
async fn a_trimmed_position_goes_on_at_the_oldest() {
    let (seen, told, ..) = trimmed(OnLostPosition::Earliest).await;
    assert_eq!((seen, told), (vec!["3".to_owned(), "4".to_owned()], vec!["shards-position-lost"]));
}

#[tokio::test(start_paused = true)]
async fn a_trimmed_position_goes_on_from_now() {
    let (seen, told, _, table) = trimmed(OnLostPosition::Latest).await;
    assert_eq!((seen, told), (vec!["4".to_owned()], vec!["shards-position-lost"]));
    let mark = table.row(MAPPING, &shard(0)).unwrap().mark;
    assert!(matches!(mark, Mark::Moment(_)), "stored before anything was read: {mark:?}");
}

#[tokio::test(start_paused = true)]
async fn a_trimmed_position_stops() {
    let (seen, told, _, table) = trimmed(OnLostPosition::Stop).await;
    assert_eq!((seen, told), (vec![], vec!["shards-position-lost"]));
    assert_eq!(table.row(MAPPING, &shard(0)).unwrap().mark, Mark::After("1".to_owned()), "left as it was");
}

#[tokio::test(start_paused = true)]
async fn latest_is_fixed_at_the_first_start() {
    let (script, table) = (Script::new(1), Table::default());
    script.put(&shard(0), &["before"]);
    std::thread::sleep(Duration::from_millis(5));
    for _ in 0..2 {
        let reader = script.open(&table, settings(Start::Latest));
        reader.read_until(|all, _| !gained(all).is_empty()).await;
        assert!(matches!(table.row(MAPPING, &shard(0)).unwrap().mark, Mark::Moment(_)));
        drop(reader);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    std::thread::sleep(Duration::from_millis(5));
    script.put(&shard(0), &["between"]);
    let reader = script.open(&table, settings(Start::Latest));
    assert_eq!(bodies(&reader.read(1).await), ["between"]);
    // What a split brings later begins at its beginning.
    script.add(&shard(1), &[&shard(0)]);
    script.put(&shard(1), &["child"]);
    let seen = reader.run(Duration::from_secs(60)).await;
    assert_eq!(bodies(&seen), [""; 0], "the parent's only record is not done");
}

#[tokio::test(start_paused = true)]
async fn a_stream_made_again_is_reported_and_read_from_its_beginning() {
    let (script, table) = (Script::new(1), Table::default());
    script.put(&shard(0), &["old 1", "old 2"]);
    let reader = script.open(&table, settings(Start::TrimHorizon));
    let seen = reader.read(2).await;
    reader.checkpoint(&[last_place(&seen)]).await.unwrap();
    script.world().deleted = true;
    let (seen, told) = reader.read_until(|all, told| !all.is_empty() && !told.is_empty()).await;
    assert!(matches!(seen[0], Arrival::Lost(_)), "{seen:?}");
    assert_eq!(told[0], "script-gone");
    script.remake(2);
    script.world().deleted = false;
    script.put(&shard(0), &["new"]);
    let (seen, told) =
        reader.read_until(|all, told| bodies(all).len() == 1 && told.contains(&"shards-position-lost")).await;
    assert_eq!(bodies(&seen), ["new"]);
    assert!(told.len() < 20, "told once: {told:?}");
    assert_eq!(table.row(MAPPING, &shard(0)).unwrap().stream, "stream@1");
}

#[tokio::test(start_paused = true)]
async fn a_stream_made_again_stops_where_that_is_asked_for() {
    let (script, table) = (Script::new(1), Table::default());
    let settings = || Settings { on_lost_position: OnLostPosition::Stop, ..settings(Start::TrimHorizon) };
    let reader = script.open(&table, settings());
    reader.read_until(|all, _| !all.is_empty()).await;
    drop(reader);
    script.remake(1);
    let reader = script.open(&table, settings());
    let error = timeout(Duration::from_secs(60), reader.next(1)).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Stop, "shards-position-lost"));
}

/// One dies, and what it had is read on by the other; one joins, and gets half.
#[tokio::test(start_paused = true)]
async fn members_share_die_and_join() {
    let (script, table) = (Script::new(6), Table::default());
    let minute = Duration::from_secs(60);
    let first = script.open(&table, settings(Start::TrimHorizon));
    assert_eq!(gained(&first.run(minute).await).len(), 6);
    let second = script.open(&table, settings(Start::TrimHorizon));
    let (_, got) = tokio::join!(first.run(minute), second.run(minute));
    assert_eq!(gained(&got).len(), 3, "{got:?}");
    (0..6).for_each(|n| script.put(&shard(n), &["1", "2"]));
    let (one, other) = tokio::join!(first.run(minute), second.run(minute));
    assert_eq!((bodies(&one).len(), bodies(&other).len()), (6, 6));
    drop(second);
    (0..6).for_each(|n| script.put(&shard(n), &["3"]));
    let all = first.run(minute).await;
    assert_eq!(gained(&all).len(), 3);
    assert_eq!(bodies(&all), ["3"; 6], "nothing twice, nothing left out");
}

#[tokio::test(start_paused = true)]
async fn who_has_lost_a_shard_cannot_move_it() {
    let (script, table) = (Script::new(1), Table::default());
    script.put(&shard(0), &["1", "2"]);
    let reader = script.open(&table, settings(Start::TrimHorizon));
    let seen = reader.read(2).await;
    table.take(MAPPING, &shard(0), "somebody");
    reader.checkpoint(&[last_place(&seen)]).await.unwrap();
    let row = table.row(MAPPING, &shard(0)).unwrap();
    assert_eq!((row.owner.as_deref(), row.mark), (Some("somebody"), Mark::Oldest));
    let (seen, _) = reader.read_until(|all, _| !all.is_empty()).await;
    assert!(matches!(seen[0], Arrival::Lost(_)), "{seen:?}");
    // "somebody" is no member: its rows are free.
    assert_eq!(bodies(&reader.read(2).await), ["1", "2"]);
}

/// A write was stored, and its answer lost: ours all the same.
#[tokio::test(start_paused = true)]
async fn a_refusal_without_a_rival_is_no_loss() {
    let (script, table) = (Script::new(1), Table::default());
    script.put(&shard(0), &["1", "2"]);
    let reader = script.open(&table, settings(Start::TrimHorizon));
    let seen = reader.read(2).await;
    table.refuse(&shard(0), 1);
    reader.checkpoint(&[last_place(&seen)]).await.unwrap();
    assert_eq!(table.row(MAPPING, &shard(0)).unwrap().mark, Mark::After("2".to_owned()));
    let quiet = timeout(Duration::from_secs(60), reader.next(9)).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

/// And that is noticed between two rounds, which are ten seconds apart.
#[tokio::test(start_paused = true)]
async fn without_the_store_nothing_is_ours() {
    let (script, table) = (Script::new(2), Table::default());
    let reader = script.open(&table, settings(Start::TrimHorizon));
    reader.read_until(|all, _| gained(all).len() == 2).await;
    let cut = Instant::now();
    table.cut_off(reader.member.member(), true);
    let lost = |all: &[Arrival]| all.iter().filter(|a| matches!(a, Arrival::Lost(_))).count();
    let (_, told) = reader.read_until(|all, told| lost(all) == 2 && !told.is_empty()).await;
    assert_eq!(told[0], "memory-store-unreachable");
    assert!(cut.elapsed() < Duration::from_secs(3), "{:?}", cut.elapsed());
    table.cut_off(reader.member.member(), false);
    reader.read_until(|all, _| gained(all).len() == 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_throttled_shard_goes_on_and_is_told_of_when_it_lasts() {
    let (script, table) = (Script::new(1), Table::default());
    script.put(&shard(0), &["1"]);
    script.world().throttled = 7;
    let reader = script.open(&table, settings(Start::TrimHorizon));
    let (seen, told) = reader.read_until(|all, _| bodies(all).len() == 1).await;
    assert_eq!((bodies(&seen).len(), told), (1, vec!["aws-throttled", "aws-throttled"]));
}

/// The parent expired before all of it was read: its child is read on, and that is said.
#[tokio::test(start_paused = true)]
async fn a_forgotten_shard_is_tidied_and_reported() {
    let (script, table) = (Script::new(1), Table::default());
    script.put(&shard(0), &["1"]);
    drop(script.open(&table, settings(Start::TrimHorizon)).read(1).await);
    script.add(&shard(1), &[&shard(0)]);
    script.put(&shard(1), &["2"]);
    script.forget(&shard(0));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let reader = script.open(&table, settings(Start::TrimHorizon));
    let (seen, told) =
        reader.read_until(|all, told| bodies(all).contains(&"2".to_owned()) && !told.is_empty()).await;
    assert!(bodies(&seen).ends_with(&["2".to_owned()]), "{seen:?}");
    assert_eq!(told, ["shards-position-lost"]);
    assert_eq!(table.row(MAPPING, &shard(0)), None);
}

/// Nothing is taken, so reading stops, whatever there is.
#[tokio::test(start_paused = true)]
async fn answers_in_hand_are_bounded() {
    let (script, table) = (Script::new(50), Table::default());
    for n in 0..50 {
        let many: Vec<String> = (0..500).map(|n| n.to_string()).collect();
        script.put(&shard(n), &many.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let reader = script.open(&table, settings(Start::TrimHorizon));
    reader.read_until(|all, _| gained(all).len() == 50).await;
    let taken: usize = reader.lag().iter().map(|(_, lag)| *lag as usize).sum();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let lag: usize = reader.lag().iter().map(|(_, lag)| *lag as usize).sum();
    let reads = script.world().reads;
    assert!(lag - taken <= 1600, "eight answers of a hundred: {lag} - {taken}");
    assert!(reads < 60, "{reads} reads");
    let seen = reader.read(25_000 - taken.min(1000)).await;
    assert!(seen.len() > 20_000, "and all comes once it is taken");
}

#[tokio::test(start_paused = true)]
async fn once_ends_at_the_end_it_had_children_included() {
    let (script, table) = (Script::new(2), Table::default());
    script.put(&shard(0), &["p"]);
    script.add(&shard(2), &[&shard(0)]);
    script.put(&shard(2), &["child"]);
    script.put(&shard(1), &["other"]);
    let reader = script.open(&table, Settings { once: true, ..settings(Start::TrimHorizon) });
    std::thread::sleep(Duration::from_millis(5));
    script.put(&shard(1), &["late"]);
    let seen = reader.run(Duration::from_secs(120)).await;
    let mut all = bodies(&seen);
    all.sort();
    assert_eq!(all, ["child", "other", "p"]);
    assert_eq!(seen.iter().filter(|a| matches!(a, Arrival::Ended(_))).count(), 3);
    assert_eq!(table.row(MAPPING, &shard(0)).unwrap().mark, Mark::Ended);
    let open = table.row(MAPPING, &shard(1)).unwrap();
    assert!(matches!(open.mark, Mark::After(_)) && open.owner.is_none(), "{open:?}");
}

/// A mapping that was stopped while a claim's answer was on its way finds its own row again under another name.
#[tokio::test(start_paused = true)]
async fn a_dead_members_row_is_taken_where_it_stood() {
    let (script, table) = (Script::new(1), Table::default());
    script.put(&shard(0), &["1", "2"]);
    table.put(
        MAPPING,
        Row {
            partition: shard(0),
            stream: "stream@0".to_owned(),
            mark: Mark::After("1".to_owned()),
            owner: Some("dead".to_owned()),
            version: 9,
        },
    );
    let reader = script.open(&table, settings(Start::Latest));
    assert_eq!(bodies(&reader.read(1).await), ["2"]);
}
