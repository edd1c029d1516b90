//! Rounds on paper.

use proptest::prelude::*;

use super::*;
use crate::shards::OnLostPosition;

/// A mapping's world, and one member's view of it.
struct World {
    settings: Settings,
    listing: Listing,
    rows: Vec<Row>,
    members: Vec<String>,
    held: Vec<String>,
    left: Vec<String>,
    gone: Vec<String>,
}

const NOW: i64 = 1_700_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn shard(name: &str, parents: &[&str], closed: bool) -> Shard {
    Shard { name: name.into(), parents: parents.iter().map(|parent| (*parent).into()).collect(), closed }
}

fn row(name: &str, mark: Mark, owner: Option<&str>, version: u64) -> Row {
    let owner = owner.map(str::to_owned);
    Row { partition: name.to_owned(), stream: "s@1".to_owned(), mark, owner, version }
}

impl World {
    fn new(start: Start, shards: Vec<Shard>) -> Self {
        let settings = Settings {
            mapping: "m".to_owned(),
            stream: "arn".to_owned(),
            start,
            on_lost_position: OnLostPosition::Earliest,
            once: false,
        };
        let listing = Listing { identity: "s@1".to_owned(), shards };
        let members = vec!["me".to_owned()];
        Self { settings, listing, rows: vec![], members, held: vec![], left: vec![], gone: vec![] }
    }

    fn plan(&self) -> Plan {
        let set = |names: &'_ Vec<String>| -> HashSet<String> { names.iter().cloned().collect() };
        let (held, left, gone) = (set(&self.held), set(&self.left), set(&self.gone));
        let view = View {
            settings: &self.settings,
            listing: &self.listing,
            rows: &self.rows,
            members: &self.members,
            me: "me",
            held: &held.iter().map(String::as_str).collect(),
            left: &left.iter().map(String::as_str).collect(),
            gone: &gone.iter().map(String::as_str).collect(),
            now: at(NOW),
        };
        plan(&view)
    }

    /// Stores what the plan says, as a store without rivals does.
    fn store(&mut self, rows: Vec<Row>) {
        for row in rows {
            self.rows.retain(|known| known.partition != row.partition);
            self.rows.push(Row { version: row.version + 1, ..row });
        }
    }

    fn fixed(mut self) -> Self {
        let fix = self.plan().fix;
        self.store(fix);
        self
    }
}

fn names(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.partition.as_str()).collect()
}

fn marks(rows: &[Row]) -> Vec<Mark> {
    rows.iter().map(|row| row.mark.clone()).collect()
}

fn split() -> Vec<Shard> {
    vec![shard("p", &[], true), shard("a", &["p"], false), shard("b", &["p"], false)]
}

#[test]
fn starting_positions_are_stored_before_anything_is_claimed() {
    for (start, expected) in [
        (Start::TrimHorizon, [Mark::Oldest, Mark::Oldest, Mark::Oldest]),
        (Start::AtTimestamp(at(5)), [Mark::Moment(at(5)), Mark::Moment(at(5)), Mark::Moment(at(5))]),
        (Start::Latest, [Mark::Ended, Mark::Moment(at(NOW)), Mark::Moment(at(NOW))]),
    ] {
        let world = World::new(start, split());
        let plan = world.plan();
        assert_eq!(marks(&plan.fix), expected);
        assert!(plan.claim.is_empty());
    }
}

#[test]
fn parents_come_before_children() {
    let mut world = World::new(Start::TrimHorizon, split()).fixed();
    let plan = world.plan();
    assert_eq!(names(&plan.claim), ["p"]);
    world.store(plan.claim);
    world.held = vec!["p".to_owned()];
    assert!(world.plan().claim.is_empty());
    assert!(!world.plan().waiting, "its parent is ours: our own news will tell");
    world.held.clear();
    world.rows.retain(|row| row.partition != "p");
    world.rows.push(row("p", Mark::Ended, None, 3));
    assert_eq!(names(&world.plan().claim), ["a", "b"]);
}

#[test]
fn a_merged_shard_waits_for_both_parents() {
    let shards = vec![shard("a", &[], true), shard("b", &[], true), shard("c", &["a", "b"], false)];
    let mut world = World::new(Start::TrimHorizon, shards);
    world.rows = vec![
        row("a", Mark::Ended, None, 4),
        row("b", Mark::After("7".to_owned()), Some("other"), 4),
        row("c", Mark::Oldest, None, 1),
    ];
    world.members.push("other".to_owned());
    let plan = world.plan();
    assert!(!names(&plan.claim).contains(&"c"));
    assert!(plan.waiting);
    world.rows[1] = row("b", Mark::Ended, None, 5);
    world.members.pop();
    assert_eq!(names(&world.plan().claim), ["c"]);
}

#[test]
fn a_shard_that_appears_later_begins_at_its_beginning() {
    let mut world = World::new(Start::Latest, vec![shard("p", &[], false)]).fixed();
    let claim = world.plan().claim;
    world.store(claim);
    world.listing.shards = split();
    world.held = vec!["p".to_owned()];
    assert_eq!(marks(&world.plan().fix), [Mark::Oldest, Mark::Oldest]);
}

/// Cut short in the middle, with one row written: what is missing gets the moment that is stored.
#[test]
fn a_first_start_is_completed_with_its_own_moment() {
    let mut world = World::new(Start::Latest, split());
    world.rows = vec![row("a", Mark::Moment(at(NOW - 60)), None, 1)];
    assert_eq!(marks(&world.plan().fix), [Mark::Moment(at(NOW - 60)), Mark::Moment(at(NOW - 60))]);
}

#[test]
fn a_parent_without_a_row_expired_long_ago() {
    let world = World::new(Start::TrimHorizon, vec![shard("a", &["forgotten"], false)]).fixed();
    assert_eq!(names(&world.plan().claim), ["a"]);
}

#[test]
fn a_dead_members_shards_are_claimed_and_a_living_ones_are_not() {
    let mut world = World::new(Start::TrimHorizon, vec![shard("a", &[], false), shard("b", &[], false)]);
    let owned = |name| row(name, Mark::After("1".to_owned()), Some("other"), 7);
    world.rows = vec![owned("a"), owned("b")];
    assert_eq!(names(&world.plan().claim), ["a", "b"]);
    world.members = vec!["me".to_owned(), "other".to_owned()];
    let plan = world.plan();
    assert!(plan.claim.is_empty() && plan.waiting, "our half is asked for by waiting");
}

#[test]
fn who_has_too_much_lets_go() {
    let shards: Vec<_> = ["a", "b", "c", "d"].map(|name| shard(name, &[], false)).into();
    let mut world = World::new(Start::TrimHorizon, shards);
    world.held = ["a", "b", "c", "d"].map(str::to_owned).into();
    world.rows = ["a", "b", "c", "d"].map(|name| row(name, Mark::Oldest, Some("me"), 2)).into();
    assert_eq!(world.plan(), Plan::default());
    world.members.push("other".to_owned());
    assert_eq!(world.plan().lose.len(), 2);
}

#[test]
fn what_others_have_taken_is_lost() {
    let mut world = World::new(Start::TrimHorizon, vec![shard("a", &[], false)]);
    world.held = vec!["a".to_owned()];
    world.rows = vec![row("a", Mark::Oldest, Some("other"), 3)];
    world.members.push("other".to_owned());
    assert_eq!(world.plan().lost, ["a"]);
    world.rows = vec![row("a", Mark::Oldest, Some("me"), 3)];
    world.members = vec!["other".to_owned()];
    assert_eq!(world.plan().lost, ["a"], "taken for dead");
    assert!(world.plan().claim.is_empty());
}

#[test]
fn what_was_let_go_unasked_is_not_claimed_again() {
    let mut world = World::new(Start::TrimHorizon, vec![shard("a", &[], false)]).fixed();
    world.left = vec!["a".to_owned()];
    assert!(world.plan().claim.is_empty());
}

/// A claim whose answer never came: the row says ours, and nobody reads.
#[test]
fn a_row_that_is_ours_already_is_claimed_again() {
    let mut world = World::new(Start::TrimHorizon, vec![shard("a", &[], false)]);
    world.rows = vec![row("a", Mark::Oldest, Some("me"), 2)];
    assert_eq!(names(&world.plan().claim), ["a"]);
}

#[test]
fn a_stream_made_again_is_told_and_follows_the_setting() {
    for (choice, expected) in [
        (OnLostPosition::Earliest, vec![Mark::Oldest]),
        (OnLostPosition::Latest, vec![Mark::Moment(at(NOW))]),
        (OnLostPosition::Stop, vec![]),
    ] {
        let mut world = World::new(Start::TrimHorizon, vec![shard("a", &[], false)]);
        world.settings.on_lost_position = choice;
        world.rows =
            vec![row("a", Mark::After("99".to_owned()), Some("me"), 8), row("old", Mark::Ended, None, 5)];
        world.held = vec!["a".to_owned()];
        world.listing.identity = "s@2".to_owned();
        let plan = world.plan();
        assert!(plan.remade);
        assert_eq!(plan.lost, ["a"]);
        assert_eq!(marks(&plan.fix), expected);
        assert!(plan.fix.iter().all(|row| row.stream == "s@2" && row.owner.is_none() && row.version == 8));
        assert_eq!(names(&plan.tidy), ["old"]);
    }
}

/// It is not the earlier stream made again: it has the mapping's own starting position.
#[test]
fn another_stream_begins_as_the_mapping_says() {
    let mut world = World::new(Start::Latest, vec![shard("a", &[], false)]);
    world.rows =
        vec![row("a", Mark::After("99".to_owned()), Some("me"), 8), row("old", Mark::Ended, None, 5)];
    world.listing.identity = "another@1".to_owned();
    let plan = world.plan();
    assert!(!plan.remade);
    assert_eq!(marks(&plan.fix), [Mark::Moment(lost::moment(at(NOW)))]);
    assert_eq!(names(&plan.tidy), ["old"]);
}

#[test]
fn rows_of_expired_shards_are_tidied_unless_another_reads_them() {
    let mut world = World::new(Start::TrimHorizon, vec![shard("a", &["x"], false)]);
    world.rows = vec![
        row("a", Mark::Oldest, None, 1),
        row("x", Mark::After("1".to_owned()), None, 4),
        row("y", Mark::Oldest, Some("other"), 4),
    ];
    world.members.push("other".to_owned());
    assert!(world.plan().tidy.is_empty(), "missing once is no proof");
    assert!(world.plan().claim.is_empty(), "a waits for x");
    world.gone = vec!["x".to_owned(), "y".to_owned()];
    assert_eq!(names(&world.plan().tidy), ["x"]);
}

/// A forest of shards: each has up to two parents among those before it.
fn forest() -> impl Strategy<Value = Vec<Shard>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_u8..3), 1..12)
        .prop_map(|seeds| {
            let name = |n: usize| format!("s{n:02}");
            let parents = |n: usize, (a, b, count): &(prop::sample::Index, prop::sample::Index, u8)| {
                let some = if n == 0 { 0 } else { usize::from(*count) };
                let both: BTreeSet<usize> =
                    [a, b].iter().take(some).map(|index| index.index(n.max(1))).collect();
                both.into_iter().map(|parent| name(parent).into()).collect::<Vec<std::sync::Arc<str>>>()
            };
            let all: Vec<_> = seeds.iter().enumerate().map(|(n, seed)| parents(n, seed)).collect();
            let has_child = |n: usize| all.iter().flatten().any(|parent| **parent == *name(n));
            let shard =
                |n: usize| Shard { name: name(n).into(), parents: all[n].clone(), closed: has_child(n) };
            (0..all.len()).map(shard).collect()
        })
}

proptest! {
    /// Members take turns with rounds and end what they hold, in any order: each shard is read by one at a time, after its
    /// parents, and all are read in the end.
    #[test]
    fn everything_is_read_once_after_its_parents(
        shards in forest(),
        turns in prop::collection::vec((0_usize..3, any::<bool>()), 200..400),
    ) {
        let members = ["m0", "m1", "m2"].map(str::to_owned);
        let mut world = World::new(Start::TrimHorizon, shards.clone()).fixed();
        world.members = members.to_vec();
        let mut held: [BTreeSet<String>; 3] = Default::default();
        let mut ended: Vec<String> = Vec::new();
        for (member, end) in turns {
            let set: HashSet<&str> = held[member].iter().map(String::as_str).collect();
            let none = HashSet::new();
            let view = View {
                settings: &world.settings, listing: &world.listing, rows: &world.rows, members: &members,
                me: &members[member], held: &set, left: &none, gone: &none, now: at(NOW),
            };
            let plan = plan(&view);
            prop_assert!(plan.fix.is_empty() && plan.lost.is_empty() && plan.tidy.is_empty());
            for row in plan.claim {
                prop_assert!(held.iter().all(|held| !held.contains(&row.partition)), "one reader");
                let shard = shards.iter().find(|shard| *shard.name == *row.partition).unwrap();
                for parent in &shard.parents {
                    prop_assert!(ended.iter().any(|name| **name == **parent), "parents first");
                }
                held[member].insert(row.partition.clone());
                world.store(vec![row]);
            }
            let let_go: Vec<String> = if end { held[member].iter().take(1).cloned().collect() } else { plan.lose.clone() };
            for name in let_go {
                held[member].remove(&name);
                let known = world.rows.iter().find(|row| row.partition == name).unwrap().clone();
                let mark = if end { ended.push(name); Mark::Ended } else { known.mark.clone() };
                world.store(vec![Row { owner: None, mark, ..known }]);
            }
        }
        prop_assert_eq!(ended.len(), shards.len(), "all are read in the end");
    }
}
