//! An invocation on its way: from whoever asked, through the queue and a process, back to whoever asked.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::Instant,
};

use crate::{
    Metrics,
    invocation::{Done, Invocation, Outcome},
};

/// A place in the queue or in a process.
#[derive(Debug)]
pub(crate) struct Place(#[expect(dead_code, reason = "held for its drop")] pub(crate) OwnedSemaphorePermit);

/// An invocation, and who hears what came of it. It ends in [`finish`](Self::finish), once.
#[derive(Debug)]
pub(crate) struct Flight {
    // Boxed, because a flight is passed on from hand to hand.
    pub(crate) invocation: Box<Invocation>,
    /// By when it has to be answered. Unset until it is handed to an environment.
    pub(crate) deadline: Option<Instant>,
    /// An environment ended before it got to this one. Once is no fault of the invocation's.
    pub(crate) retried: bool,
    /// Since when its time runs, where the start of a process is on it.
    pub(crate) since: Option<Instant>,
    /// When it was handed to a process, or its time began.
    pub(crate) begun: Option<Instant>,
    /// Unset where nobody waits: an asynchronous invocation.
    tell: Option<oneshot::Sender<Result<Done, Saturated>>>,
    /// Where it is in the queue, or was.
    pub(crate) ticket: u64,
    metrics: Arc<Metrics>,
    place: Place,
}

/// The queue is full, or an invocation's turn did not come.
#[derive(Debug)]
pub(crate) struct Saturated;

impl Flight {
    pub(crate) fn new(
        invocation: Invocation,
        place: Place,
        tell: Option<oneshot::Sender<Result<Done, Saturated>>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let invocation = Box::new(invocation);
        Self {
            invocation,
            deadline: None,
            retried: false,
            since: None,
            begun: None,
            tell,
            ticket: 0,
            metrics,
            place,
        }
    }

    /// Whether nobody waits for it any more. One that nobody ever waited for is not abandoned.
    pub(crate) fn abandoned(&self) -> bool {
        self.tell.as_ref().is_some_and(oneshot::Sender::is_closed)
    }

    /// It is handed to a process.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.begun = Some(self.since.unwrap_or(now));
        self.metrics.invocations.fetch_add(1, Relaxed);
        self.metrics.running.fetch_add(1, Relaxed);
    }

    /// Tells what came of it.
    pub(crate) fn finish(self, done: Done) {
        match self.begun {
            Some(begun) => self.metrics.ran(begun.elapsed()),
            // Its environment did not start: it was invoked all the same.
            None => {
                self.metrics.invocations.fetch_add(1, Relaxed);
                self.metrics.took(self.since.map_or(Duration::ZERO, |since| since.elapsed()));
            }
        }
        self.metrics.count(&done.outcome);
        // First: who is told may be back at once.
        drop(self.place);
        match self.tell {
            // The caller may have gone.
            Some(tell) => drop(tell.send(Ok(done))),
            None if matches!(done.outcome, Outcome::Replied(_)) => {}
            None => tracing::warn!(request = &*self.invocation.id, "an asynchronous invocation failed"),
        }
    }

    /// Its turn will not come.
    pub(crate) fn turn_away(self) {
        match self.tell {
            Some(tell) => drop(tell.send(Err(Saturated))),
            None => tracing::warn!(
                request = &*self.invocation.id,
                "an asynchronous invocation is lost: the host is shutting down"
            ),
        }
    }

    /// The same as [`finish`](Self::finish), without a log.
    pub(crate) fn end(self, outcome: Outcome) {
        self.finish(Done { outcome, tail: None });
    }
}
