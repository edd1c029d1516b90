//! What the queue asks of those who have the functions.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::event::Event;

/// Gives a function its events.
#[async_trait]
pub trait Attempt: Send + Sync {
    /// One attempt. It must end by itself (a function has a timeout), and may be made again for the same event at any time: after
    /// a crash nobody knows whether it was.
    async fn attempt(&self, event: &Event) -> Outcome;
}

/// Knows a function's settings for asynchronous invocation.
#[async_trait]
pub trait Policy: Send + Sync {
    /// Those of an event's target at this moment. They are asked for at each decision and never kept.
    async fn of(&self, target: &str) -> Settings;
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The function returned.
    Success {
        /// The version that ran.
        version: String,
        /// What it returned.
        reply: Bytes,
    },
    /// The function failed: an error, a crash, a timeout.
    Error {
        /// The version that ran.
        version: String,
        /// `Unhandled` or `Handled`.
        kind: String,
        /// The error's document.
        reply: Bytes,
    },
    /// Too many at once.
    Throttled {
        /// What was asked for.
        after: Option<Duration>,
    },
    /// Nobody could be asked; why.
    Unreachable(String),
    /// There is no such function, or no such version or alias.
    Gone,
}

/// AWS's settings of a function for asynchronous invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `MaximumRetryAttempts`: 0 to 2.
    pub retries: u32,
    /// `MaximumEventAgeInSeconds`: a minute to six hours.
    pub age: Duration,
    /// The ARN of the on-success destination.
    pub on_success: Option<String>,
    /// The ARN of the on-failure destination.
    pub on_failure: Option<String>,
    /// The ARN of the function's dead-letter queue.
    pub dead_letter: Option<String>,
    /// Its reserved concurrency is 0.
    pub paused: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            retries: 2,
            age: Duration::from_secs(21_600),
            on_success: None,
            on_failure: None,
            dead_letter: None,
            paused: false,
        }
    }
}
