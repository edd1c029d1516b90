//! What passes between an environment and its process: the state of the Runtime API, without its wire.
//!
//! ```text
//! Starting ─ next ─▶ Open ─ end of the process ─▶ Closed        in an open one, for each invocation:
//!    └─ init/error ─▶ Failed                                    offered ─ next ─▶ running ─ answer, end, deadline ─▶ told
//! ```
//!
//! It has *spare* room for as many invocations as calls of `next` wait, up to its limit: one, or
//! `AWS_LAMBDA_MAX_CONCURRENCY`. The pool lists it once for each.

mod cut;
mod refusal;
mod state;
mod work;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::HeaderValue;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use self::state::{Phase, Running, State};
pub(crate) use self::{refusal::Refusal, state::Due};
use crate::{
    ending::{Ended, Ending},
    flight::Flight,
    invocation::{Done, Invocation, Outcome, timed_out},
    observer::Observer,
    pool::Pool,
    stream,
};

/// An invocation as it is handed to the process.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) invocation: Invocation,
    /// Differs for each attempt, so that an answer that comes too late can be told.
    pub(crate) attempt: HeaderValue,
    pub(crate) deadline: SystemTime,
}

/// What the process answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Response(Bytes),
    /// It was passed on as it came; this many bytes.
    Streamed(usize),
    /// An error type in Lambda's terms, and the document the caller gets.
    Error(String, Bytes),
    /// Something that cannot be passed on: the same, of ours.
    Invalid(String, Bytes),
}

/// One process's half of the Runtime API.
pub(crate) struct Exchange {
    state: Mutex<State>,
    offered: Notify,
    /// It is open, or has failed.
    settled: Notify,
    /// An answer was heard, whole or not.
    heard: Notify,
    /// Its process has ended; what it said is still being read.
    ending: CancellationToken,
    pool: Arc<Pool>,
    pub(crate) observer: Arc<Observer>,
    timeout: Duration,
    limit: usize,
    /// The process takes several at a time: `AWS_LAMBDA_MAX_CONCURRENCY` is set, be it to one.
    several: bool,
}

impl Exchange {
    /// With `first` in hand already, for a process that is started for its sake.
    pub(crate) fn new(
        pool: Arc<Pool>,
        observer: Arc<Observer>,
        timeout: Duration,
        max_concurrency: Option<usize>,
        first: Option<Flight>,
    ) -> Self {
        Self {
            state: Mutex::new(State::new(first)),
            offered: Notify::new(),
            settled: Notify::new(),
            heard: Notify::new(),
            ending: CancellationToken::new(),
            pool,
            observer,
            timeout,
            limit: max_concurrency.unwrap_or(1),
            several: max_concurrency.is_some(),
        }
    }

    // --- the environment's side

    /// Waits until the process asks for work, or says that it cannot start (the document it posted).
    pub(crate) async fn ready(&self) -> Result<(), Bytes> {
        loop {
            let settled = self.settled.notified();
            match &self.lock().phase {
                Phase::Open => return Ok(()),
                Phase::Failed(document) => return Err(document.clone()),
                _ => {}
            }
            settled.await;
        }
    }

    /// The document of a failed start, if there is one.
    pub(crate) fn failure(&self) -> Option<Bytes> {
        match &self.lock().phase {
            Phase::Failed(document) => Some(document.clone()),
            _ => None,
        }
    }

    /// Takes an invocation for which the pool had it listed; refused if there is no room any more.
    pub(crate) fn offer(&self, mut flight: Flight) -> Result<(), Flight> {
        let mut state = self.lock();
        state.listed = state.listed.saturating_sub(1);
        if state.spare(self.limit) == 0 {
            return Err(flight);
        }
        let deadline = *flight.deadline.get_or_insert_with(|| Instant::now() + self.timeout);
        if !self.several {
            state.due = Some(deadline);
        }
        state.offered.push_back(flight);
        drop(state);
        self.offered.notify_one();
        Ok(())
    }

    /// Fails what took too long, and says when to look again. A stuck process gets nothing any more.
    pub(crate) fn overdue(&self, now: Instant) -> Due {
        let mut state = self.lock();
        if !self.several {
            match state.due {
                Some(due) if due <= now => {
                    state.phase = Phase::Closed;
                    return Due::Stuck;
                }
                due => return Due::At(due.unwrap_or(now + self.timeout)),
            }
        }
        let (over, due) = state.overdue(now, self.timeout);
        if due == Due::Stuck {
            state.phase = Phase::Closed;
        }
        drop(state);
        for flight in over {
            let outcome = timed_out(&flight.invocation.id, self.timeout);
            self.lose(flight, Ending::timeout(), None, outcome);
        }
        due
    }

    /// No more passes. Whatever it had in hand: what was not fetched, and what was.
    pub(crate) fn close(self: &Arc<Self>) -> (Vec<Flight>, Vec<Flight>) {
        let mut state = self.lock();
        state.phase = Phase::Closed;
        state.due = None;
        let unfetched = state.offered.drain(..).collect();
        let running = state.running.drain(..).map(|running| running.flight).collect();
        let answered = state.answered.take();
        drop(state);
        if let Some(ended) = answered {
            self.observer.runtime_done(ended);
        }
        (unfetched, running)
    }

    /// Its process has ended: what it has said whole counts, and nothing else does.
    pub(crate) fn end(&self) {
        self.ending.cancel();
    }

    /// Whether an answer is on its way.
    pub(crate) fn answering(&self) -> bool {
        self.lock().running.iter().any(|running| running.answering.is_some())
    }

    /// Whether the process ever answered an invocation.
    pub(crate) fn proven(&self) -> bool {
        self.lock().proven
    }

    /// Queues what the environment ended before it was fetched. Once: the end may have to do with it after all, and then it is
    /// returned.
    pub(crate) fn again(&self, mut flight: Flight) -> Option<Flight> {
        if flight.retried {
            return Some(flight);
        }
        (flight.retried, flight.deadline) = (true, None);
        self.pool.resubmit(flight);
        None
    }

    /// Ends an invocation that the process did not answer, and that never will be; `why` is for the log.
    pub(crate) fn lose(&self, flight: Flight, ending: Ending, why: Option<String>, outcome: Outcome) {
        if flight.begun.is_none() {
            // Never handed over: it has its place in the log all the same.
            self.observer.start(&flight.invocation);
        }
        let ended = Ended::lost(&flight, ending, why);
        self.observer.runtime_done(ended.clone());
        self.tell(flight, outcome, ended, None);
    }

    // --- the process's side

    /// Whether an answer for `id` would be taken; by when, and who wants it as it comes.
    pub(crate) fn expects(
        &self,
        id: &str,
        attempt: Option<&str>,
    ) -> Result<(Instant, Option<stream::Sender>), Refusal> {
        let mut state = self.lock();
        let place = state.find(id, attempt)?;
        let running = &mut state.running[place];
        running.answering.get_or_insert_with(Instant::now);
        Ok((running.deadline, running.flight.invocation.stream.clone()))
    }

    /// The process answers.
    pub(crate) fn answer(
        self: &Arc<Self>,
        id: &str,
        attempt: Option<&str>,
        answer: Answer,
    ) -> Result<(), Refusal> {
        let mut state = self.lock();
        let place = state.find(id, attempt)?;
        let Running { flight, answering, .. } = state.running.swap_remove(place);
        state.proven = true;
        let ended = Ended::of(&flight, answering, &answer);
        let mut held = None;
        if self.several {
            drop(state);
            self.observer.runtime_done(ended.clone());
        } else {
            // The environment is not free before the log is read.
            state.holds += usize::from(flight.invocation.tail);
            held = flight.invocation.tail.then(|| Arc::clone(self));
            state.answered = Some(ended.clone());
            drop(state);
        }
        let outcome = match answer {
            Answer::Response(reply) => Outcome::Replied(reply),
            Answer::Streamed(_) => Outcome::Replied(Bytes::new()),
            Answer::Error(_, document) | Answer::Invalid(_, document) => Outcome::Failed(document),
        };
        self.tell(flight, outcome, ended, held);
        self.heard.notify_waiters();
        Ok(())
    }

    /// Tells an outcome; with the end of the log, where that is asked for. It holds the environment until that is read, where
    /// the invocation has it to itself.
    fn tell(&self, flight: Flight, outcome: Outcome, ended: Ended, held: Option<Arc<Self>>) {
        if !flight.invocation.tail {
            return flight.end(outcome);
        }
        let observer = Arc::clone(&self.observer);
        tokio::spawn(async move {
            let tail = observer.log_tail(&ended).await;
            flight.finish(Done { outcome, tail: Some(tail) });
            if let Some(exchange) = held {
                exchange.release();
            }
        });
    }

    /// Whether the process is still on its start: what it does once at most may be done.
    pub(crate) fn starting(&self, to: &'static str) -> Result<(), Refusal> {
        let state = self.lock();
        match state.phase {
            Phase::Starting => Ok(()),
            _ => Err(Refusal::to(to, &state)),
        }
    }

    /// The process says that it cannot start.
    pub(crate) fn init_error(&self, document: Bytes) -> Result<(), Refusal> {
        let mut state = self.lock();
        let Phase::Starting = state.phase else {
            return Err(Refusal::to("InitError", &state));
        };
        state.phase = Phase::Failed(document);
        self.settled.notify_waiters();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Transitions are assignments: a panic elsewhere leaves no half of one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests;
