//! A process asks for work, and gets some: `next`.

use std::{sync::Arc, time::SystemTime};

use http::HeaderValue;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Exchange, Offer, Refusal,
    state::{Phase, Running},
};

impl Exchange {
    /// The process asks for work, and waits until there is some. Dropping the future loses nothing.
    pub(crate) async fn next(self: &Arc<Self>) -> Result<Offer, Refusal> {
        let _poll = match self.ask() {
            Err(_) if self.busy() => self.ask_again().await?,
            asked => asked?,
        };
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
    pub(super) fn ask(self: &Arc<Self>) -> Result<Poll, Refusal> {
        self.go_on(|_| true);
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
        let answered = state.answered.is_some();
        drop(state);
        if answered && self.observer.log().behind() {
            let mut state = self.lock();
            state.holds += 1;
            let due = state.due.take();
            drop(state);
            tokio::spawn(Arc::clone(self).settle_when_read(due));
        } else {
            self.settle();
        }
        self.list();
        Ok(Poll(Arc::clone(self)))
    }

    /// The runtime is done with what it answered. Whether its extensions are not.
    fn settle(self: &Arc<Self>) -> bool {
        let answered = self.lock().answered.take();
        let Some(ended) = answered else { return false };
        let engaged = self.observer.runtime_done(ended);
        if engaged {
            tokio::spawn(Arc::clone(self).await_extensions());
        } else {
            // It asked in time; that a log is still being read is no fault of its.
            let mut state = self.lock();
            // Unless it has more in hand already.
            if state.offered.is_empty() && state.running.is_empty() {
                state.due = None;
            }
        }
        engaged
    }

    /// The same, once what it wrote is in the log. Nothing is `due` meanwhile: it asked in time.
    async fn settle_when_read(self: Arc<Self>, due: Option<Instant>) {
        self.observer.log().caught_up().await;
        if self.settle() {
            self.lock().due = due;
        }
        self.release();
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
        state.running.push(Running {
            flight,
            attempt: attempt.clone(),
            deadline,
            answering: None,
            instead: None,
        });
        drop(state);
        self.observer.start(&invocation);
        if self.observer.engage(&invocation, deadline) {
            self.hold();
        }
        Some(Offer { invocation, attempt, deadline: wall })
    }

    /// Keeps the environment from the next invocation until [`release`](Self::release).
    pub(super) fn hold(&self) {
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
}

/// One call of `next` that waits.
pub(super) struct Poll(Arc<Exchange>);

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
