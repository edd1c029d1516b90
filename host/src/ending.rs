//! How an invocation, or an initialisation, ended.

use std::sync::Arc;

use http::HeaderValue;
use tokio::time::Instant;

use crate::{exchange::Answer, flight::Flight, telemetry::event::Status};

/// How something ended: for anything but a success and a timeout, with an error type in Lambda's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) status: Status,
    pub(crate) error_type: Option<String>,
}

impl Ending {
    pub(crate) fn success() -> Self {
        Self { status: Status::Success, error_type: None }
    }

    /// The runtime cannot start and said so, or its answer is none.
    pub(crate) fn error(kind: impl Into<String>) -> Self {
        Self { status: Status::Error, error_type: Some(kind.into()) }
    }

    /// The runtime reported an invocation's error.
    pub(crate) fn reported(kind: impl Into<String>) -> Self {
        Self { status: Status::Reported, error_type: Some(kind.into()) }
    }

    /// The process, or an extension, was lost.
    pub(crate) fn failure(kind: impl Into<String>) -> Self {
        Self { status: Status::Failure, error_type: Some(kind.into()) }
    }

    pub(crate) fn timeout() -> Self {
        Self { status: Status::Timeout, error_type: None }
    }
}

/// How the runtime dealt with an invocation.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) id: Arc<str>,
    pub(crate) trace: HeaderValue,
    pub(crate) tenant: Option<HeaderValue>,
    pub(crate) ending: Ending,
    /// What is to be said of a loss.
    pub(crate) why: Option<String>,
    pub(crate) begun: Instant,
    /// When its answer began to come.
    pub(crate) answering: Option<Instant>,
    /// When its answer was there.
    pub(crate) answered: Instant,
    pub(crate) produced: usize,
}

impl Ended {
    /// By an answer of the runtime's.
    pub(crate) fn of(flight: &Flight, answering: Option<Instant>, answer: &Answer) -> Self {
        let (ending, produced) = match answer {
            Answer::Response(reply) => (Ending::success(), reply.len()),
            Answer::Streamed(bytes) => (Ending::success(), *bytes),
            Answer::Error(kind, document) => (Ending::reported(kind), document.len()),
            Answer::Invalid(kind, document) => (Ending::error(kind), document.len()),
        };
        Self { answering, produced, ..Self::lost(flight, ending, None) }
    }

    /// Without an answer.
    pub(crate) fn lost(flight: &Flight, ending: Ending, why: Option<String>) -> Self {
        let (invocation, answered) = (&flight.invocation, Instant::now());
        Self {
            id: Arc::clone(&invocation.id),
            trace: invocation.trace.clone(),
            tenant: invocation.tenant.clone(),
            ending,
            why,
            begun: flight.begun.or(flight.since).unwrap_or(answered),
            answering: None,
            answered,
            produced: 0,
        }
    }
}
