//! Why an environment did not initialise, and what that is for whom.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    ending::Ending,
    exit::Exit,
    extension::{self, shutdown::Reason},
    invocation::{Outcome, SHUTTING_DOWN, cut_off, lost, platform_failure, timed_out},
    runtime_api,
};

/// What an initialisation ended with.
#[derive(Debug)]
pub(super) enum Failure {
    /// The runtime said why.
    Reported(Bytes),
    /// The runtime ended.
    Exited(Exit),
    /// It took too long.
    TimedOut,
    /// It could not be started: an error type, and what the system said.
    NotStarted(&'static str, String),
    /// An extension failed.
    Extension(extension::Failure),
    /// The host is shutting down.
    Ended,
}

impl Failure {
    /// What it is for the invocation whose time the start was on.
    pub(super) fn outcome(&self, id: &str, timeout: Duration) -> Outcome {
        match self {
            Self::Reported(document) => Outcome::Failed(document.clone()),
            Self::Exited(exit) => lost(id, *exit),
            Self::TimedOut => timed_out(id, timeout),
            Self::NotStarted(kind, why) => platform_failure(id, kind, why),
            Self::Extension(failure) => platform_failure(id, failure.kind, &failure.message),
            Self::Ended => cut_off(id),
        }
    }

    pub(super) fn ending(&self) -> Ending {
        match self {
            Self::Reported(document) => Ending::error(told_type(document)),
            Self::Exited(exit) => Ending::failure(exit.error_type()),
            Self::TimedOut => Ending::timeout(),
            Self::NotStarted(kind, _) => Ending::failure(*kind),
            Self::Extension(failure) => Ending::failure(failure.kind),
            Self::Ended => Ending::failure("Sandbox.Failure"),
        }
    }

    /// What the log says beside the error's type.
    pub(super) fn why(&self) -> String {
        match self {
            Self::Extension(failure) => failure.message.clone(),
            other => other.to_string(),
        }
    }

    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::TimedOut => Reason::Timeout,
            Self::Ended => Reason::Spindown,
            _ => Reason::Failure,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // The document is the caller's to read; it may quote what the function was given.
            Self::Reported(_) => f.write_str("the runtime client reported an error"),
            Self::Exited(exit) => exit.fmt(f),
            Self::TimedOut => f.write_str("no call of `next` within the limit"),
            Self::NotStarted(_, why) => f.write_str(why),
            Self::Extension(failure) => write!(f, "{}: {}", failure.kind, failure.message),
            Self::Ended => f.write_str(SHUTTING_DOWN),
        }
    }
}

/// The type an error document names, in the terms Lambda's telemetry has for it. Clients tell the same in a header.
fn told_type(document: &[u8]) -> String {
    let document: serde_json::Value = serde_json::from_slice(document).unwrap_or_default();
    runtime_api::error_type(document["errorType"].as_str())
}
