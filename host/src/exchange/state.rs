//! How far a process is, and what it has in hand.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use http::HeaderValue;
use tokio::time::Instant;

use super::{Answer, Refusal};
use crate::{ending::Ended, flight::Flight};

/// Late answers that are still told from wrong ones.
const REMEMBERED: usize = 1000;

/// What [`Exchange::overdue`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing before then. What is offered later is due later.
    At(Instant),
    /// The process is stuck.
    Stuck,
}

#[derive(Debug)]
pub(super) enum Phase {
    Starting,
    /// The document it posted.
    Failed(Bytes),
    Open,
    Closed,
}

/// What the process has in hand.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) flight: Flight,
    pub(super) attempt: HeaderValue,
    pub(super) deadline: Instant,
    /// When its answer began to come.
    pub(super) answering: Option<Instant>,
    /// What counts for its answer, which was cut off.
    pub(super) instead: Option<Answer>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) phase: Phase,
    /// Calls of `next` that wait.
    pub(super) polls: usize,
    /// How often the pool has it listed.
    pub(super) listed: usize,
    /// What else must be over before the next invocation: an extension's work, a log that is being read.
    pub(super) holds: usize,
    /// Not fetched yet.
    pub(super) offered: VecDeque<Flight>,
    pub(super) running: Vec<Running>,
    /// Answered, while the process has not asked for more. Of a process that takes one at a time.
    pub(super) answered: Option<Ended>,
    /// Overdue invocations that the process may still answer.
    pub(super) late: VecDeque<Arc<str>>,
    /// By when the process must ask for more: after each invocation, where it takes one at a time; when all its workers are
    /// overdue, where it takes several.
    pub(super) due: Option<Instant>,
    /// Whether it ever answered.
    pub(super) proven: bool,
}

impl State {
    /// Of a process that starts; with `first` in hand already, if it is started for its sake.
    pub(super) fn new(first: Option<Flight>) -> Self {
        Self {
            phase: Phase::Starting,
            polls: 0,
            listed: 0,
            // Until the environment is initialised: its extensions may be behind its runtime.
            holds: 1,
            due: first.as_ref().and_then(|first| first.deadline),
            offered: first.into_iter().collect(),
            running: Vec::new(),
            answered: None,
            late: VecDeque::new(),
            proven: false,
        }
    }

    /// Room for invocations that it does not have in hand, up to `limit` with those it has.
    pub(super) fn spare(&self, limit: usize) -> usize {
        if !matches!(self.phase, Phase::Open) || self.holds > 0 {
            return 0;
        }
        let in_hand = self.offered.len() + self.running.len();
        self.polls.saturating_sub(self.offered.len()).min(limit.saturating_sub(in_hand))
    }

    /// Its name where Lambda's error messages have one.
    pub(super) fn name(&self) -> &'static str {
        match self.phase {
            Phase::Starting => "Started",
            Phase::Failed(_) => "InitError",
            Phase::Closed => "Exited",
            Phase::Open if !self.running.is_empty() => "Running",
            Phase::Open if self.answered.is_some() => "ResponseSent",
            Phase::Open => "Ready",
        }
    }

    /// Where the invocation is that an answer is for. A client that echoes its attempt must echo the current one.
    pub(super) fn find(&self, id: &str, attempt: Option<&str>) -> Result<usize, Refusal> {
        let meant = |running: &Running| {
            *running.flight.invocation.id == *id && attempt.is_none_or(|attempt| running.attempt == attempt)
        };
        match self.running.iter().position(meant) {
            Some(place) => Ok(place),
            None if matches!(self.phase, Phase::Starting) => {
                Err(Refusal::InvalidState { from: "Started", to: "InvocationResponse" })
            }
            None if self.late.iter().any(|late| **late == *id) => Err(Refusal::TooLate),
            None => Err(Refusal::InvalidRequestId),
        }
    }

    /// Takes out what took too long, of a process that takes several at a time; and says when to look again.
    pub(super) fn overdue(&mut self, now: Instant, timeout: Duration) -> (Vec<Flight>, Due) {
        let late = |flight: &Flight| flight.deadline.is_some_and(|deadline| deadline <= now);
        let (offered, kept): (VecDeque<_>, _) = self.offered.drain(..).partition(late);
        self.offered = kept;
        let mut over = Vec::from(offered);
        for running in self.running.extract_if(.., |running| running.deadline <= now) {
            self.late.push_back(Arc::clone(&running.flight.invocation.id));
            over.push(running.flight);
        }
        let excess = self.late.len().saturating_sub(REMEMBERED);
        self.late.drain(..excess);
        let waiting = self.offered.iter().filter_map(|flight| flight.deadline);
        let next = waiting.chain(self.running.iter().map(|running| running.deadline)).min();
        // One overdue worker leaves the others to work; when none of them ever asks again, nobody works.
        let deserted = self.polls == 0 && next.is_none();
        self.due = deserted.then(|| self.due.unwrap_or(now + timeout));
        let due = match self.due {
            Some(due) if due <= now => Due::Stuck,
            due => Due::At(next.or(due).unwrap_or(now + timeout)),
        };
        (over, due)
    }
}
