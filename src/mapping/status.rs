//! What a mapping says of itself: AWS's `LastProcessingResult`, whether it has reached its source, and its figures.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use crate::metrics::Figures;

/// How a mapping ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Asked to stop, or (`--once`) at the end of its source; everything read was settled.
    Settled,
    /// The same, but records were given up or left behind; says which.
    LeftBehind(String),
    /// It cannot go on until a person changes something.
    Halted(String),
}

/// What a mapping says of itself.
#[derive(Debug)]
pub struct Status {
    /// The mapping's name.
    pub name: String,
    /// Its figures.
    pub figures: Figures,
    ready: AtomicBool,
    problem: Mutex<Option<String>>,
}

impl Status {
    /// Nothing has happened yet.
    pub fn new(name: impl Into<String>, figures: Figures) -> Self {
        Self { name: name.into(), figures, ready: AtomicBool::new(false), problem: Mutex::new(None) }
    }

    /// The source has answered.
    pub fn reached(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// Whether the source has answered once.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Something is wrong that a person should know of. Logged when it is news.
    pub fn problem(&self, what: impl std::fmt::Display) {
        let what = what.to_string();
        let mut problem = self.problem.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if problem.as_deref() != Some(what.as_str()) {
            tracing::warn!(mapping = self.name, "PROBLEM: {what}");
            *problem = Some(what);
        }
        self.figures.problem.set(1);
    }

    /// It works (again).
    pub fn fine(&self) {
        if self.figures.problem.get() == 0 {
            return;
        }
        let mut problem = self.problem.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if problem.take().is_some() {
            tracing::info!(mapping = self.name, "OK");
        }
        self.figures.problem.set(0);
    }

    /// AWS's `LastProcessingResult`: `No records processed`, `OK` or `PROBLEM: …`.
    pub fn last_processing_result(&self) -> String {
        let problem = self.problem.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match &*problem {
            Some(what) => format!("PROBLEM: {what}"),
            None if self.figures.invoked.get() == 0 => "No records processed".into(),
            None => "OK".into(),
        }
    }
}
