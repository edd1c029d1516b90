//! What passes between an environment and its process: the state of the Runtime API, without its wire.
//!
//! ```text
//! Starting ─ next ─▶ Open ─ end of the process ─▶ Closed        in an open one, for each invocation:
//!    └─ init/error ─▶ Failed                                    offered ─ next ─▶ running ─ answer, end, deadline ─▶ told
//! ```
//!
//! It has *spare* room for as many invocations as calls of `next` wait, up to its limit: one, or
//! `AWS_LAMBDA_MAX_CONCURRENCY`. The pool lists it once for each.

mod refusal;
mod state;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::HeaderValue;
use tokio::{sync::Notify, time::Instant};
use uuid::Uuid;

use self::state::{Phase, Running, State};
pub(crate) use self::{refusal::Refusal, state::Due};
use crate::{
    ending::{Ended, Ending},
    exit::Exit,
    flight::Flight,
    invocation::{Done, Invocation, Outcome, lost, timed_out},
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
}

/// One process's half of the Runtime API.
pub(crate) struct Exchange {
    state: Mutex<State>,
    offered: Notify,
    /// It is open, or has failed.
    settled: Notify,
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

    /// Fails what took too long, and says when to look again.
    pub(crate) fn overdue(&self, now: Instant) -> Due {
        let mut state = self.lock();
        if !self.several {
            match state.due {
                Some(due) if due <= now => return Due::Stuck,
                due => return Due::At(due.unwrap_or(now + self.timeout)),
            }
        }
        let (over, due) = state.overdue(now, self.timeout);
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

    /// Whether the process ever answered an invocation.
    pub(crate) fn proven(&self) -> bool {
        self.lock().proven
    }

    /// Queues what the process ended before it fetched. Once: the end may have to do with it after all.
    pub(crate) fn again(self: &Arc<Self>, mut flight: Flight, exit: Exit) {
        if flight.retried {
            let outcome = lost(&flight.invocation.id, exit);
            return self.lose(flight, Ending::failure(exit.error_type()), Some(exit.to_string()), outcome);
        }
        (flight.retried, flight.deadline) = (true, None);
        self.pool.resubmit(flight);
    }

    /// Ends an invocation that the process did not answer, and that never will be; `why` is for the log.
    pub(crate) fn lose(&self, flight: Flight, ending: Ending, why: Option<String>, outcome: Outcome) {
        if flight.begun.is_none() {
            // Never handed over: it has its place in the log all the same.
            self.observer.start(&flight.invocation);
        }
        self.observer.runtime_done(Ended::lost(&flight, ending, why));
        self.tell(flight, outcome, None);
    }

    // --- the process's side

    /// The process asks for work, and waits until there is some. Dropping the future loses nothing.
    pub(crate) async fn next(self: &Arc<Self>) -> Result<Offer, Refusal> {
        let _poll = self.ask()?;
        loop {
            let mut offered = std::pin::pin!(self.offered.notified());
            // In line before it looks: two that wait are woken by two offers.
            offered.as_mut().enable();
            if let Some(offer) = self.fetch() {
                return Ok(offer);
            }
            offered.await;
        }
    }

    /// Asking while ready is tolerated; asking with an invocation in hand is not, of a process that takes one at a time.
    fn ask(self: &Arc<Self>) -> Result<Poll, Refusal> {
        let mut state = self.lock();
        match state.phase {
            Phase::Starting => {
                state.phase = Phase::Open;
                self.settled.notify_waiters();
            }
            Phase::Open if self.several || state.running.is_empty() => {}
            _ => return Err(Refusal::to("Ready", &state)),
        }
        state.polls += 1;
        let answered = state.answered.take();
        drop(state);
        if answered.is_some_and(|ended| self.observer.runtime_done(ended)) {
            tokio::spawn(Arc::clone(self).await_extensions());
        }
        self.list();
        Ok(Poll(Arc::clone(self)))
    }

    /// The environment is free when the extensions are, too. If they never are, the invocation's time runs out.
    async fn await_extensions(self: Arc<Self>) {
        if self.observer.extensions().idle().await.is_ok() {
            self.observer.settle();
            self.release();
        }
    }

    /// Tells the pool of room that it does not know of.
    fn list(self: &Arc<Self>) {
        let mut state = self.lock();
        let spare = state.spare(self.limit);
        let fresh = spare.saturating_sub(state.listed);
        if spare > 0 {
            state.due = None;
        }
        state.listed += fresh;
        drop(state);
        for _ in 0..fresh {
            self.pool.free(self);
        }
    }

    fn fetch(&self) -> Option<Offer> {
        let mut state = self.lock();
        if state.holds > 0 {
            return None;
        }
        let mut flight = state.offered.pop_front()?;
        let now = Instant::now();
        let deadline = flight.deadline.unwrap_or(now + self.timeout);
        let wall = SystemTime::now() + deadline.saturating_duration_since(now);
        flight.begin(now);
        let attempt =
            HeaderValue::from_str(Uuid::new_v4().hyphenated().encode_lower(&mut Uuid::encode_buffer()))
                .expect("a UUID is a header value");
        let invocation = flight.invocation.hand_over();
        state.running.push(Running { flight, attempt: attempt.clone(), deadline, answering: None });
        drop(state);
        self.observer.start(&invocation);
        if self.observer.engage(&invocation, deadline) {
            self.hold();
        }
        Some(Offer { invocation, attempt, deadline: wall })
    }

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
            self.observer.runtime_done(ended);
        } else {
            // The environment is not free before the log is read.
            state.holds += usize::from(flight.invocation.tail);
            held = flight.invocation.tail.then(|| (Arc::clone(self), ended.clone()));
            state.answered = Some(ended);
            drop(state);
        }
        let outcome = match answer {
            Answer::Response(reply) => Outcome::Replied(reply),
            Answer::Streamed(_) => Outcome::Replied(Bytes::new()),
            Answer::Error(_, document) => Outcome::Failed(document),
        };
        self.tell(flight, outcome, held);
        Ok(())
    }

    /// Tells an outcome; with the end of the log, where that is asked for. It holds the environment until that is read, where
    /// the invocation has it to itself.
    fn tell(&self, flight: Flight, outcome: Outcome, held: Option<(Arc<Self>, Ended)>) {
        if !flight.invocation.tail {
            return flight.end(outcome);
        }
        let observer = Arc::clone(&self.observer);
        tokio::spawn(async move {
            let tail = observer.log_tail(held.as_ref().map(|(_, ended)| ended)).await;
            flight.finish(Done { outcome, tail: Some(tail) });
            if let Some((exchange, _)) = held {
                exchange.release();
            }
        });
    }

    /// Keeps the environment from the next invocation until [`release`](Self::release).
    fn hold(&self) {
        self.lock().holds += 1;
    }

    /// Undoes one [`hold`](Self::hold).
    pub(crate) fn release(self: &Arc<Self>) {
        let mut state = self.lock();
        state.holds -= 1;
        let waits = state.holds == 0 && !state.offered.is_empty();
        drop(state);
        if waits {
            // What the environment was started for, offered before it was free.
            self.offered.notify_one();
        }
        self.list();
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

/// One call of `next` that waits.
struct Poll(Arc<Exchange>);

impl Drop for Poll {
    fn drop(&mut self) {
        let exchange = &self.0;
        let mut state = exchange.lock();
        state.polls -= 1;
        let idle = state.polls == 0 && state.offered.is_empty() && state.running.is_empty();
        if idle && !exchange.several {
            // It hung up without work. A process that never asks again would be no use to anyone.
            state.due = Some(Instant::now() + exchange.timeout);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
