//! Rows in memory, shared by members that live and die as a test tells them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::{Error, Row, Store};

/// What the members share. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Table(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    rows: BTreeMap<(String, String), Row>,
    alive: BTreeSet<String>,
    /// Members that cannot reach the table.
    cut_off: BTreeSet<String>,
    joined: u64,
    /// Writes refused though nobody else wrote, by partition: how often still.
    refusals: BTreeMap<String, usize>,
    pace: Duration,
    writes: u64,
}

impl Table {
    /// Joins: a member that lives until it is closed, [killed](Self::kill) or dropped.
    pub fn join(&self) -> Member {
        let mut state = self.state();
        state.joined += 1;
        let name = format!("member-{}", state.joined);
        state.alive.insert(name.clone());
        Member { table: self.clone(), name }
    }

    /// Takes a member for dead, as a heartbeat that ran out does. It may still write what nobody has claimed from it.
    pub fn kill(&self, member: &str) {
        self.state().alive.remove(member);
    }

    /// Takes it for alive again.
    pub fn revive(&self, member: &str) {
        self.state().alive.insert(member.to_owned());
    }

    /// Lets every call of a member fail, or no longer.
    pub fn cut_off(&self, member: &str, cut: bool) {
        let mut state = self.state();
        if cut {
            state.cut_off.insert(member.to_owned());
        } else {
            state.cut_off.remove(member);
        }
    }

    /// Refuses the next `times` writes of a partition's row, as if somebody else were writing it all the time.
    pub fn refuse(&self, partition: &str, times: usize) {
        self.state().refusals.insert(partition.to_owned(), times);
    }

    /// Takes a row for another owner, as a claim does.
    pub fn take(&self, mapping: &str, partition: &str, owner: &str) {
        if let Some(row) = self.state().rows.get_mut(&key(mapping, partition)) {
            row.owner = Some(owner.to_owned());
            row.version += 1;
        }
    }

    /// How long members leave between two writes nobody waits for; zero unless set.
    pub fn set_pace(&self, pace: Duration) {
        self.state().pace = pace;
    }

    /// A row as it is stored.
    pub fn row(&self, mapping: &str, partition: &str) -> Option<Row> {
        self.state().rows.get(&key(mapping, partition)).cloned()
    }

    /// Stores a row as it is, whatever was there.
    pub fn put(&self, mapping: &str, row: Row) {
        self.state().rows.insert(key(mapping, &row.partition), row);
    }

    /// How many calls have written rows.
    pub fn writes(&self) -> u64 {
        self.state().writes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves plain data behind; the test that panicked is the news.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(mapping: &str, partition: &str) -> (String, String) {
    (mapping.to_owned(), partition.to_owned())
}

/// One member's way to the table. Dropping it is a crash that is noticed at once.
#[derive(Debug)]
pub struct Member {
    table: Table,
    name: String,
}

impl Member {
    fn reach(&self) -> Result<MutexGuard<'_, State>, Error> {
        let state = self.table.state();
        if state.cut_off.contains(&self.name) {
            let text = format!("expected the table of rows, {} cannot reach it", self.name);
            return Err(Error::retry("memory-store-unreachable", text));
        }
        Ok(state)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.table.kill(&self.name);
    }
}

#[async_trait]
impl Store for Member {
    fn member(&self) -> &str {
        &self.name
    }

    async fn members(&self) -> Result<Vec<String>, Error> {
        Ok(self.reach()?.alive.iter().cloned().collect())
    }

    async fn rows(&self, mapping: &str) -> Result<Vec<Row>, Error> {
        let state = self.reach()?;
        Ok(state.rows.iter().filter(|((of, _), _)| of == mapping).map(|(_, row)| row.clone()).collect())
    }

    async fn write(&self, mapping: &str, rows: &[Row]) -> Result<Vec<String>, Error> {
        let mut state = self.reach()?;
        state.writes += 1;
        let mut refused = Vec::new();
        for row in rows {
            let key = key(mapping, &row.partition);
            let stored = state.rows.get(&key).map_or(0, |row| row.version);
            let told = state.refusals.get_mut(&row.partition).filter(|left| **left > 0);
            let refuse = told.map(|left| *left -= 1).is_some();
            if refuse || stored != row.version {
                refused.push(row.partition.clone());
            } else {
                state.rows.insert(key, Row { version: stored + 1, ..row.clone() });
            }
        }
        Ok(refused)
    }

    async fn remove(&self, mapping: &str, rows: &[Row]) -> Result<(), Error> {
        let mut state = self.reach()?;
        for row in rows {
            let key = key(mapping, &row.partition);
            if state.rows.get(&key).is_some_and(|stored| stored.version == row.version) {
                state.rows.remove(&key);
            }
        }
        Ok(())
    }

    fn pace(&self) -> Duration {
        self.table.state().pace
    }

    async fn close(&self) -> Result<(), Error> {
        self.table.kill(&self.name);
        Ok(())
    }
}
