//! Rounds: what is there, who is there, and what follows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use klr_contract::{Error, Mark, Row};
use tokio::time::{Instant, sleep, timeout};

use super::lineage::{Plan, View, plan};
use super::lost::{self, Why};
use super::pen::{Pen, rows_by_name};
use super::source::Shared;
use super::{Failure, Listing, Service};

/// Between two rounds when nothing calls for one.
const ROUND: Duration = Duration::from_secs(10);
/// While something will be ours as soon as somebody else lets go of it.
const SOON: Duration = Duration::from_secs(2);
/// Rounds are not closer than this, whatever calls.
const BREATH: Duration = Duration::from_millis(100);
/// A shard that so many listings in a row do not have has expired. (One is no proof: listings are eventually consistent.)
const MISSING: u32 = 3;
/// A round stores starting positions, then claims. Another member in between makes it look again.
const LOOKS: usize = 4;

/// The rounds of a source, one after the other for as long as it lives.
pub(super) struct Keeper<S: Service> {
    shared: Arc<Shared<S>>,
    /// In how many listings in a row a shard with a row was missing.
    missing: HashMap<String, u32>,
    /// Cursors at the ends of shards that begin with what arrives from now on.
    tips: HashMap<String, S::Cursor>,
    /// A stream made again was reported.
    reported: Option<String>,
}

pub(super) async fn run<S: Service>(shared: Arc<Shared<S>>) {
    let mut keeper = Keeper { shared, missing: HashMap::new(), tips: HashMap::new(), reported: None };
    let mut failures = 0;
    loop {
        let wait = match keeper.round().await {
            Ok(waiting) => {
                failures = 0;
                if waiting { SOON } else { ROUND }
            }
            Err(error) => {
                failures += 1;
                keeper.shared.state().complain(error);
                super::pace::backoff(failures, keeper.shared.chance())
            }
        };
        let shared = &keeper.shared;
        shared.rounds.send_modify(|rounds| *rounds += 1);
        shared.heard.notify_waiters();
        shared.read.notify_one();
        sleep(BREATH).await;
        let wait = wait.mul_f64(1.0 + shared.chance() / 4.0);
        // Called or not, the next round comes.
        let _ = timeout(wait, shared.look.notified()).await;
    }
}

impl<S: Service> Keeper<S> {
    /// Whether something is awaited from another member.
    async fn round(&mut self) -> Result<bool, Error> {
        let shared = Arc::clone(&self.shared);
        let listing = match shared.service.list().await {
            Ok(listing) => listing,
            Err(Failure::Gone(error)) => {
                // Nothing that is done can be stored for a stream that is no more.
                shared.state().lost_all();
                return Err(error);
            }
            Err(failure) => return Err(shared.explain(failure)),
        };
        let members = shared.store.members().await.inspect_err(|_| {
            // We may be taken for dead, and others may read already what was ours.
            shared.state().lost_all();
        })?;
        shared.identify(&listing.identity);
        let closed: HashSet<&str> =
            listing.shards.iter().filter(|shard| shard.closed).map(|shard| &*shard.name).collect();
        {
            // Numbers go by the order of the listing.
            let mut state = shared.state();
            for shard in &listing.shards {
                state.number(&shard.name);
            }
        }
        super::pen::flush(&shared).await?;
        let pen = shared.pen.lock().await;
        let mut waiting = true;
        for _ in 0..LOOKS {
            let rows = rows_by_name(&shared).await?;
            shared.state().refresh(
                |name| closed.contains(name),
                |name| {
                    rows.get(name)
                        .filter(|row| row.owner.as_deref() == Some(shared.store.member()))
                        .map(|row| row.version)
                },
            );
            let rows: Vec<Row> = rows.into_values().collect();
            let gone = self.gone(&listing, &rows);
            let plan = self.plan(&listing, &rows, &members, &gone);
            waiting = plan.waiting;
            if !self.perform(&listing, &closed, plan, &pen).await? {
                self.count_missing(&listing, &rows);
                break;
            }
        }
        shared.state().tell_reached();
        Ok(waiting)
    }

    fn plan(&self, listing: &Listing, rows: &[Row], members: &[String], gone: &HashSet<String>) -> Plan {
        let (held, left) = self.shared.state().holdings();
        plan(&View {
            settings: &self.shared.settings,
            listing,
            rows,
            members,
            me: self.shared.store.member(),
            held: &held.iter().map(|name| &**name).collect(),
            left: &left.iter().map(|name| &**name).collect(),
            gone: &gone.iter().map(String::as_str).collect(),
            now: Timestamp::now(),
        })
    }

    /// Whether to look again: something was stored that the rest builds upon.
    async fn perform(
        &mut self,
        listing: &Listing,
        closed: &HashSet<&str>,
        plan: Plan,
        pen: &Pen<'_>,
    ) -> Result<bool, Error> {
        let shared = Arc::clone(&self.shared);
        if plan.remade {
            self.report_remade(listing)?;
        }
        for name in &plan.lost {
            tracing::info!(stream = shared.settings.stream, shard = name, "the shard is no longer ours");
            shared.state().lost(name);
        }
        plan.lose.iter().for_each(|name| shared.state().lose(name));
        if !plan.tidy.is_empty() {
            self.tidy(plan.tidy).await?;
        }
        if !plan.fix.is_empty() {
            self.fix(plan.fix).await?;
            return Ok(true);
        }
        if plan.remade {
            return Ok(true);
        }
        self.claim(plan.claim, closed, pen).await
    }

    /// Stores starting positions.
    async fn fix(&mut self, rows: Vec<Row>) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        for row in rows.iter().filter(|row| matches!(row.mark, Mark::Moment(_))) {
            let tip = shared.service.tip(&row.partition).await.map_err(|failure| shared.explain(failure))?;
            self.tips.extend(tip.map(|tip| (row.partition.clone(), tip)));
        }
        let refused = shared.store.write(&shared.settings.mapping, &rows).await?;
        // Another member was first, with a moment of its own.
        self.tips.retain(|name, _| !refused.contains(name));
        tracing::info!(
            stream = shared.settings.stream,
            shards = rows.len() - refused.len(),
            start = ?shared.settings.start,
            "starting positions fixed"
        );
        Ok(())
    }

    /// Writes our name into rows; whether another member was first somewhere.
    async fn claim(&mut self, rows: Vec<Row>, closed: &HashSet<&str>, _: &Pen<'_>) -> Result<bool, Error> {
        if rows.is_empty() {
            return Ok(false);
        }
        let shared = Arc::clone(&self.shared);
        let refused = shared.store.write(&shared.settings.mapping, &rows).await?;
        let now = Instant::now();
        let mut state = shared.state();
        for row in rows.into_iter().filter(|row| !refused.contains(&row.partition)) {
            let closed = closed.contains(row.partition.as_str());
            let tip = self.tips.remove(&row.partition).filter(|_| matches!(row.mark, Mark::Moment(_)));
            state.gain(Row { version: row.version + 1, ..row }, closed, tip, now);
        }
        Ok(!refused.is_empty())
    }

    async fn tidy(&mut self, rows: Vec<Row>) -> Result<(), Error> {
        let shared = &self.shared;
        shared.store.remove(&shared.settings.mapping, &rows).await?;
        let identity = shared.identity();
        for row in rows.iter().filter(|row| row.mark != Mark::Ended && row.stream == *identity) {
            let error = lost::report(&shared.settings, Why::Forgotten, &row.partition);
            tracing::warn!(stream = shared.settings.stream, shard = row.partition, %error, "position lost");
            shared.tell(error);
        }
        shared.state().forget(rows.iter().map(|row| row.partition.as_str()));
        self.missing.retain(|name, _| rows.iter().all(|row| row.partition != *name));
        Ok(())
    }

    /// Once for each such stream; again and again where it is what stops the mapping.
    fn report_remade(&mut self, listing: &Listing) -> Result<(), Error> {
        let shared = &self.shared;
        let error = lost::report(&shared.settings, Why::Remade, "");
        if error.kind() == klr_contract::Kind::Stop {
            shared.state().lost_all();
            return Err(error);
        }
        if self.reported.as_ref() != Some(&listing.identity) {
            self.reported = Some(listing.identity.clone());
            tracing::warn!(stream = shared.settings.stream, %error, "position lost");
            shared.tell(error);
        }
        Ok(())
    }

    fn gone(&self, listing: &Listing, rows: &[Row]) -> HashSet<String> {
        let listed: HashSet<&str> = listing.shards.iter().map(|shard| &*shard.name).collect();
        let missing = |row: &&Row| {
            !listed.contains(row.partition.as_str())
                && self.missing.get(&row.partition).is_some_and(|times| *times >= MISSING)
        };
        rows.iter().filter(missing).map(|row| row.partition.clone()).collect()
    }

    fn count_missing(&mut self, listing: &Listing, rows: &[Row]) {
        let listed: HashSet<&str> = listing.shards.iter().map(|shard| &*shard.name).collect();
        let before = std::mem::take(&mut self.missing);
        for row in rows.iter().filter(|row| !listed.contains(row.partition.as_str())) {
            let times = before.get(&row.partition).map_or(1, |times| times + 1);
            self.missing.insert(row.partition.clone(), times);
        }
    }
}
