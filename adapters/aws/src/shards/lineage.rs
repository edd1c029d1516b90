//! Which shard is whose turn: what to store, claim, let go and tidy. Pure.
//!
//! A shard without a row is new: at a mapping's first start it takes the starting position, later (it came from a split or
//! a merge meanwhile) it begins at its beginning. The first start is over when any row was ever claimed; one that was cut
//! short has only rows of version 1, and is completed with the moment it had begun with.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use klr_contract::{Mark, Row};

use super::{Listing, Settings, Shard, Start, lost, share};

/// What is known at the time of a round.
pub(super) struct View<'a> {
    pub settings: &'a Settings,
    pub listing: &'a Listing,
    pub rows: &'a [Row],
    pub members: &'a [String],
    pub me: &'a str,
    /// What we read, or are about to let go.
    pub held: &'a HashSet<&'a str>,
    /// What we let go without having been asked: not ours again.
    pub left: &'a HashSet<&'a str>,
    /// Shards that were missing from the last listings: they have expired.
    pub gone: &'a HashSet<&'a str>,
    pub now: Timestamp,
}

impl View<'_> {
    /// Of a stream the mapping read before it was given another, which has a start of its own.
    fn is_foreign(&self, row: &Row) -> bool {
        stream(&row.stream) != stream(&self.listing.identity)
    }
}

/// The stream in an identity, whenever it was made: `NAME@TIME`, `TABLE/stream/LABEL`.
fn stream(identity: &str) -> &str {
    let parts = identity.split_once('@').or_else(|| identity.split_once("/stream/"));
    parts.map_or(identity, |(stream, _)| stream)
}

/// What to do.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// The stored positions are those of an earlier stream of this name.
    pub remade: bool,
    /// Starting positions to store, before anything else.
    pub fix: Vec<Row>,
    /// To be ours, with us as owner.
    pub claim: Vec<Row>,
    /// Held, and should be somebody else's.
    pub lose: Vec<String>,
    /// Held, and somebody else's already, or of no stream any more.
    pub lost: Vec<String>,
    /// Rows of expired shards.
    pub tidy: Vec<Row>,
    /// Something will be ours once somebody else has let go of it or of its parents.
    pub waiting: bool,
}

/// The plan of a round. Without a starting position for everything it says what to store, and nothing else.
pub(super) fn plan(view: &View<'_>) -> Plan {
    let current = |row: &&Row| row.stream == view.listing.identity;
    let rows: HashMap<&str, &Row> = view.rows.iter().map(|row| (row.partition.as_str(), row)).collect();
    let stale = view.rows.iter().any(|row| !current(&row));
    let remade = view.rows.iter().any(|row| !current(&row) && !view.is_foreign(row));
    let mut plan = Plan { remade, fix: fix(view, &rows, remade), ..Plan::default() };
    if !plan.fix.is_empty() || stale {
        plan.lost = view.held.iter().filter(|_| stale).map(|name| (*name).to_owned()).collect();
        plan.tidy =
            view.rows.iter().filter(|row| !current(row) && !listed(view, &row.partition)).cloned().collect();
        return plan;
    }
    deal(view, &rows, &mut plan);
    tidy(view, &mut plan);
    plan
}

fn listed(view: &View<'_>, name: &str) -> bool {
    view.listing.shards.iter().any(|shard| &*shard.name == name)
}

/// Rows for the listed shards that have none, or an earlier stream's.
fn fix(view: &View<'_>, rows: &HashMap<&str, &Row>, remade: bool) -> Vec<Row> {
    let identity = &view.listing.identity;
    let begun = view.rows.iter().find_map(|row| match row.mark {
        Mark::Moment(moment) if row.stream == *identity => Some(moment),
        _ => None,
    });
    let mut own = view.rows.iter().filter(|row| !view.is_foreign(row));
    let first = own.all(|row| row.version <= 1 && row.owner.is_none());
    let start = |shard: &Shard| -> Option<Mark> {
        if remade {
            return lost::go_on(view.settings.on_lost_position, view.now).map(|mark| at_end(shard, mark));
        }
        Some(match view.settings.start {
            _ if !first => Mark::Oldest,
            Start::TrimHorizon => Mark::Oldest,
            Start::AtTimestamp(moment) => Mark::Moment(moment),
            Start::Latest => match begun {
                Some(moment) => Mark::Moment(moment),
                None => at_end(shard, Mark::Moment(lost::moment(view.now))),
            },
        })
    };
    let stale = |shard: &&Shard| rows.get(&*shard.name).is_none_or(|row| row.stream != *identity);
    let row = |shard: &Shard| {
        Some(Row {
            partition: shard.name.to_string(),
            stream: identity.clone(),
            mark: start(shard)?,
            owner: None,
            version: rows.get(&*shard.name).map_or(0, |row| row.version),
        })
    };
    view.listing.shards.iter().filter(stale).filter_map(row).collect()
}

/// A closed shard has nothing that arrives from now on.
fn at_end(shard: &Shard, mark: Mark) -> Mark {
    match mark {
        Mark::Moment(_) if shard.closed => Mark::Ended,
        mark => mark,
    }
}

/// Who should own what is ready, and what follows for us.
fn deal(view: &View<'_>, rows: &HashMap<&str, &Row>, plan: &mut Plan) {
    let alive = |owner: &str| view.members.iter().any(|member| member == owner);
    let ours = |name: &str| rows.get(name).is_some_and(|row| row.owner.as_deref() == Some(view.me));
    // Taken for dead, we own nothing: others may be claiming it.
    let me_alive = alive(view.me);
    let open = |shard: &&Shard| rows.get(&*shard.name).is_some_and(|row| row.mark != Mark::Ended);
    // A parent without a row expired before we ever saw it. One whose row is left waits until that is tidied.
    let done = |parent: &str| rows.get(parent).is_none_or(|row| row.mark == Mark::Ended);
    let ready = |shard: &Shard| shard.parents.iter().all(|parent| done(parent));
    let (turn, blocked): (Vec<&Shard>, Vec<&Shard>) =
        view.listing.shards.iter().filter(open).partition(|shard| ready(shard));
    let names: BTreeSet<&str> = turn.iter().map(|shard| &*shard.name).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let owners = share::owners(&names, view.members);
    let others = |parent: &str| {
        let owner = rows.get(parent).and_then(|row| row.owner.as_deref());
        owner.is_some_and(|owner| owner != view.me && alive(owner))
    };
    plan.waiting = blocked.iter().any(|shard| shard.parents.iter().any(|parent| others(parent)));
    for (name, owner) in names.iter().zip(owners) {
        let row = rows[name];
        if view.held.contains(name) {
            if me_alive && ours(name) && owner != view.me {
                plan.lose.push((*name).to_owned());
            }
        } else if owner == view.me && !view.left.contains(name) {
            match &row.owner {
                Some(other) if other != view.me && alive(other) => plan.waiting = true,
                _ => plan.claim.push(Row { owner: Some(view.me.to_owned()), ..row.clone() }),
            }
        }
    }
    let gone = |name: &str| view.gone.contains(name);
    let lost = view.held.iter().filter(|name| !me_alive || !ours(name) || gone(name));
    plan.lost = lost.map(|name| (*name).to_owned()).collect();
}

/// Rows of expired shards. One that somebody else reads is that member's to give up.
fn tidy(view: &View<'_>, plan: &mut Plan) {
    let others = |row: &Row| {
        let owner = row.owner.as_deref().filter(|owner| *owner != view.me);
        owner.is_some_and(|owner| view.members.iter().any(|member| member == owner))
    };
    let over = view.rows.iter().filter(|row| view.gone.contains(row.partition.as_str()) && !others(row));
    plan.tidy = over.cloned().collect();
}

#[cfg(test)]
#[path = "lineage_tests.rs"]
mod tests;
