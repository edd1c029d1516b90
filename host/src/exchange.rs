//! What passes between a sandbox and its process: the state of the Runtime API, without its wire.
//!
//! ```text
//! Starting ─ next ─▶ Ready ─ offer ─▶ Offered ─ next ─▶ Running ─ answer ─▶ Answered ─ next ─▶ Ready
//!    └─ init/error ─▶ Failed
//! ```

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use crate::invocation::Invocation;

/// An invocation as it is handed to the process.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) invocation: Invocation,
    /// Differs for each attempt, so that an answer that comes too late can be told.
    pub(crate) attempt: String,
    pub(crate) deadline: SystemTime,
}

/// What the process answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Response(Bytes),
    Error(Bytes),
}

/// Why a call of the process is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("Invalid request ID")]
    InvalidRequestId,
    #[error(
        "State transition from {from} to {to} failed for runtime. Error: State transition is not allowed"
    )]
    InvalidState { from: &'static str, to: &'static str },
}

#[derive(Debug)]
enum State {
    Starting,
    Failed(Bytes),
    Ready,
    Offered(Box<Offer>, oneshot::Sender<Answer>),
    Running { id: String, attempt: String, answer: oneshot::Sender<Answer> },
    Answered,
}

impl State {
    /// Its name where Lambda's error messages have one.
    fn name(&self) -> &'static str {
        match self {
            Self::Starting => "Started",
            Self::Failed(_) => "InitError",
            Self::Ready | Self::Offered(..) => "Ready",
            Self::Running { .. } => "Running",
            Self::Answered => "ResponseSent",
        }
    }

    fn expects(&self, id: &str, attempt: Option<&str>) -> Result<(), Refusal> {
        match self {
            Self::Running { id: current, attempt: this, .. }
                if current == id && attempt.is_none_or(|attempt| attempt == this) =>
            {
                Ok(())
            }
            Self::Starting => Err(Refusal::InvalidState { from: "Started", to: "InvocationResponse" }),
            _ => Err(Refusal::InvalidRequestId),
        }
    }
}

/// One process's half of the Runtime API.
#[derive(Debug)]
pub(crate) struct Exchange {
    state: Mutex<State>,
    changed: Notify,
}

impl Exchange {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State::Starting), changed: Notify::new() }
    }

    // --- the sandbox's side

    /// Waits until the process asks for work, or says that it cannot start (the document it posted).
    pub(crate) async fn ready(&self) -> Result<(), Bytes> {
        loop {
            let changed = self.changed.notified();
            match &*self.lock() {
                State::Ready => return Ok(()),
                State::Failed(document) => return Err(document.clone()),
                _ => {}
            }
            changed.await;
        }
    }

    /// The document of a failed start, if there is one.
    pub(crate) fn failure(&self) -> Option<Bytes> {
        match &*self.lock() {
            State::Failed(document) => Some(document.clone()),
            _ => None,
        }
    }

    /// Hands over an invocation. Only a process that is ready is given one.
    pub(crate) fn offer(&self, offer: Offer) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        *self.lock() = State::Offered(Box::new(offer), answer);
        self.changed.notify_waiters();
        answered
    }

    /// Takes back what was offered, if the process never fetched it.
    pub(crate) fn withdraw(&self) -> Option<Invocation> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::Answered) {
            State::Offered(offer, _) => Some(offer.invocation),
            other => {
                *state = other;
                None
            }
        }
    }

    // --- the process's side

    /// The process asks for work, and waits until there is some. Dropping the future loses nothing.
    pub(crate) async fn next(&self) -> Result<Offer, Refusal> {
        self.ask()?;
        loop {
            let changed = self.changed.notified();
            if let Some(offer) = self.fetch() {
                return Ok(offer);
            }
            changed.await;
        }
    }

    /// Asking while ready is tolerated; asking with an invocation in hand is not.
    fn ask(&self) -> Result<(), Refusal> {
        let mut state = self.lock();
        match &*state {
            State::Starting | State::Answered => *state = State::Ready,
            State::Ready | State::Offered(..) => {}
            State::Running { .. } | State::Failed(_) => {
                return Err(Refusal::InvalidState { from: state.name(), to: "Ready" });
            }
        }
        self.changed.notify_waiters();
        Ok(())
    }

    fn fetch(&self) -> Option<Offer> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::Answered) {
            State::Offered(offer, answer) => {
                let id = offer.invocation.id.clone();
                *state = State::Running { id, attempt: offer.attempt.clone(), answer };
                Some(*offer)
            }
            other => {
                *state = other;
                None
            }
        }
    }

    /// Whether an answer for `id` would be taken. A client that echoes its attempt must echo the current one.
    pub(crate) fn expects(&self, id: &str, attempt: Option<&str>) -> Result<(), Refusal> {
        self.lock().expects(id, attempt)
    }

    /// The process answers.
    pub(crate) fn answer(&self, id: &str, attempt: Option<&str>, answer: Answer) -> Result<(), Refusal> {
        let mut state = self.lock();
        state.expects(id, attempt)?;
        if let State::Running { answer: waiting, .. } = std::mem::replace(&mut *state, State::Answered) {
            // Nobody waits any more when the deadline has just passed; the process is about to be killed.
            let _ = waiting.send(answer);
        }
        Ok(())
    }

    /// The process says that it cannot start.
    pub(crate) fn fail(&self, document: Bytes) -> Result<(), Refusal> {
        let mut state = self.lock();
        let State::Starting = &*state else {
            return Err(Refusal::InvalidState { from: state.name(), to: "InitError" });
        };
        *state = State::Failed(document);
        self.changed.notify_waiters();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every transition is one assignment: a panic elsewhere leaves no half of one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn offer(id: &str) -> Offer {
        let invocation = Invocation {
            id: id.to_owned(),
            payload: Bytes::from_static(b"{}"),
            arn: HeaderValue::from_static("arn"),
            trace: HeaderValue::from_static("Root=1"),
            client_context: None,
            tenant: None,
            tail: false,
        };
        Offer { invocation, attempt: "a1".to_owned(), deadline: SystemTime::UNIX_EPOCH }
    }

    #[tokio::test]
    async fn an_invocation_goes_through_once() {
        let exchange = Exchange::new();
        assert!(matches!(exchange.expects("1", None), Err(Refusal::InvalidState { .. })));
        let next = exchange.next();
        tokio::pin!(next);
        assert!(futures::poll!(&mut next).is_pending());
        exchange.ready().await.unwrap();
        let answered = exchange.offer(offer("1"));
        let got = next.await;
        assert_eq!(got.unwrap().invocation.id, "1");
        assert!(exchange.withdraw().is_none());
        assert_eq!(exchange.expects("2", None), Err(Refusal::InvalidRequestId));
        assert_eq!(exchange.expects("1", Some("a0")), Err(Refusal::InvalidRequestId));
        let reply = Answer::Response(Bytes::from_static(b"1"));
        exchange.answer("1", Some("a1"), reply).unwrap();
        assert_eq!(answered.await.unwrap(), Answer::Response(Bytes::from_static(b"1")));
        let again = exchange.answer("1", None, Answer::Error(Bytes::new()));
        assert_eq!(again, Err(Refusal::InvalidRequestId));
    }

    #[tokio::test]
    async fn two_that_wait_share_the_work_and_one_that_runs_may_not_ask() {
        let exchange = Exchange::new();
        let (first, second) = (exchange.next(), exchange.next());
        tokio::pin!(first, second);
        assert!(futures::poll!(&mut first).is_pending());
        assert!(futures::poll!(&mut second).is_pending());
        let _answered = exchange.offer(offer("1"));
        assert!(futures::poll!(&mut first).is_ready());
        assert!(futures::poll!(&mut second).is_pending());
        assert!(matches!(exchange.next().await, Err(Refusal::InvalidState { from: "Running", .. })));
    }

    #[tokio::test]
    async fn what_was_not_fetched_is_taken_back() {
        let exchange = Exchange::new();
        {
            let next = exchange.next();
            tokio::pin!(next);
            assert!(futures::poll!(&mut next).is_pending());
        }
        let _answered = exchange.offer(offer("1"));
        assert_eq!(exchange.withdraw().unwrap().id, "1");
        assert!(exchange.withdraw().is_none());
    }

    #[tokio::test]
    async fn a_failed_start_is_told_once_and_for_all() {
        let exchange = Exchange::new();
        exchange.fail(Bytes::from_static(b"why")).unwrap();
        assert_eq!(exchange.ready().await, Err(Bytes::from_static(b"why")));
        assert!(exchange.fail(Bytes::new()).is_err());
        assert!(exchange.next().await.is_err());
    }
}
