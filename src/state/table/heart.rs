//! Who is alive.
//!
//! Every member counts in an item of its own, and watches the others count. It needs no clock but its own, and that only for
//! how long a count has stood still: whoever has stood still for the expiry is dead. A member knows when it may be dead
//! itself: when its last count that was stored was *sent* the expiry ago. Others have seen it later, so they are later to
//! bury it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::join_all;
use klr_contract::Error;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};

use super::{super::Error as StateError, remote::Remote};

/// The code of an error that says that a heartbeat was not stored in time.
pub(super) const LATE: &str = "state-heartbeat";

#[derive(Debug)]
pub(super) struct Heart {
    remote: Arc<Remote>,
    name: String,
    expiry: Duration,
    /// Held while we beat: many callers share one beat.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    beat: u64,
    /// Nobody can have taken us for dead before.
    alive_until: Instant,
    /// When the next beat is to be.
    due: Instant,
    watch: Watch,
    left: bool,
}

impl Heart {
    pub fn new(remote: Arc<Remote>, name: String, expiry: Duration) -> Self {
        let now = Instant::now();
        let state = State { beat: 0, alive_until: now, due: now, watch: Watch::default(), left: false };
        Self { remote, name, expiry, state: Mutex::new(state) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Those who are alive, we among them, as of a third of the expiry ago at most.
    pub async fn members(&self) -> Result<Vec<String>, Error> {
        let mut state = self.state.lock().await;
        if state.left {
            return Err(StateError::Closed.into());
        }
        if Instant::now() >= state.due {
            let beaten = self.beat(&mut state).await;
            if Instant::now() >= state.alive_until {
                // It was stored, but too late.
                beaten?;
                return Err(self.late());
            }
            if let Err(error) = beaten {
                tracing::warn!(member = self.name, %error, "a heartbeat failed: others still take us for alive");
            }
        }
        let mut members: Vec<String> = state.watch.alive().map(str::to_owned).collect();
        members.push(self.name.clone());
        members.sort_unstable();
        Ok(members)
    }

    /// Beats for as long as it is let, whoever else asks.
    pub async fn go_on(self: Arc<Self>) {
        loop {
            let due = self.state.lock().await.due;
            // After a beat that failed, soon again.
            let wait = due.saturating_duration_since(Instant::now()).max(self.third() / 4);
            sleep(wait).await;
            if let Err(error) = self.members().await {
                if self.state.lock().await.left {
                    return;
                }
                tracing::warn!(member = self.name, %error, "others may take us for dead");
            }
        }
    }

    /// Leaves: the others need not wait.
    pub async fn leave(&self) -> Result<(), Error> {
        let mut state = self.state.lock().await;
        state.left = true;
        self.remote.leave(&self.name).await
    }

    /// Counts on and looks around, at the same time. Each third of the expiry has time for one: three may fail.
    async fn beat(&self, state: &mut State) -> Result<(), Error> {
        state.beat += 1;
        let asked = Instant::now();
        let (beaten, beats) = tokio::join!(
            timeout(self.third(), self.remote.beat(&self.name, state.beat)),
            timeout(self.third(), self.remote.beats()),
        );
        beaten.map_err(|_| self.late())??;
        let mut beats = beats.map_err(|_| self.late())??;
        state.alive_until = asked + self.expiry;
        state.due = asked + self.third();
        beats.retain(|(member, _)| *member != self.name);
        let dead = state.watch.look(beats, asked, Instant::now(), self.expiry);
        let burials = dead.iter().map(|(member, beat)| {
            tracing::info!(member, "a member is dead");
            self.remote.bury(member, *beat)
        });
        // Only so that the table does not fill up with them: the next look may do it as well.
        let _ = timeout(self.third(), join_all(burials)).await;
        Ok(())
    }

    fn third(&self) -> Duration {
        self.expiry / 3
    }

    fn late(&self) -> Error {
        let third = self.third();
        Error::retry(
            LATE,
            format!(
                "expected a heartbeat stored within {third:?}, it was not: is DynamoDB slow, or this machine?"
            ),
        )
    }
}

/// How far the others have counted. Pure.
#[derive(Debug, Default)]
struct Watch(BTreeMap<String, Seen>);

#[derive(Debug)]
struct Seen {
    beat: u64,
    /// The count was there by then.
    since: Instant,
    dead: bool,
}

impl Watch {
    /// Takes note of what was read between `asked` and `answered`; answers those whose count has stood still for the expiry.
    /// Counts never repeat, so a member has stood still in between however long nobody looked.
    fn look(
        &mut self,
        beats: Vec<(String, u64)>,
        asked: Instant,
        answered: Instant,
        expiry: Duration,
    ) -> Vec<(String, u64)> {
        let mut before = std::mem::take(&mut self.0);
        let mut dead = Vec::new();
        for (member, beat) in beats {
            let mut seen = match before.remove(&member) {
                Some(seen) if seen.beat == beat => seen,
                _ => Seen { beat, since: answered, dead: false },
            };
            seen.dead = asked.saturating_duration_since(seen.since) >= expiry;
            if seen.dead {
                dead.push((member.clone(), beat));
            }
            self.0.insert(member, seen);
        }
        dead
    }

    fn alive(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, seen)| !seen.dead).map(|(member, _)| member.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRY: Duration = Duration::from_secs(10);

    struct Scene {
        watch: Watch,
        start: Instant,
    }

    impl Scene {
        /// A look that takes a second, ending at `second`; the dead.
        fn look(&mut self, second: u64, beats: &[(&str, u64)]) -> Vec<(String, u64)> {
            let answered = self.start + Duration::from_secs(second);
            let beats = beats.iter().map(|(member, beat)| ((*member).to_owned(), *beat)).collect();
            self.watch.look(beats, answered - Duration::from_secs(1), answered, EXPIRY)
        }

        fn alive(&self) -> Vec<&str> {
            self.watch.alive().collect()
        }
    }

    #[test]
    fn who_stands_still_for_the_expiry_is_dead() {
        let mut scene = Scene { watch: Watch::default(), start: Instant::now() };
        assert!(scene.look(1, &[("a", 7), ("b", 1)]).is_empty(), "nobody is dead at first sight");
        assert!(scene.look(11, &[("a", 7), ("b", 2)]).is_empty(), "asked at 10: nine seconds");
        assert_eq!(scene.look(12, &[("a", 7), ("b", 2)]), [("a".to_owned(), 7)]);
        assert_eq!(scene.alive(), ["b"]);
        assert_eq!(scene.look(13, &[("a", 7), ("b", 3)]), [("a".to_owned(), 7)], "still to be buried");
        assert!(scene.look(14, &[("a", 8), ("b", 4)]).is_empty());
        assert_eq!(scene.alive(), ["a", "b"], "who counts on is alive");
        assert!(scene.look(15, &[("b", 4)]).is_empty());
        assert_eq!(scene.alive(), ["b"], "who left is no member");
    }

    /// The watch itself may have slept.
    #[test]
    fn only_what_was_seen_counts() {
        let mut scene = Scene { watch: Watch::default(), start: Instant::now() };
        assert!(scene.look(1, &[("a", 1)]).is_empty());
        assert!(scene.look(100, &[("a", 30)]).is_empty(), "it has counted on while nobody looked");
        assert_eq!(scene.look(200, &[("a", 30)]).len(), 1, "a count never repeats: it has stood still");
    }
}
