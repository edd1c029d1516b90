//! What a mapping says of itself: AWS's `State` and `LastProcessingResult`, whether it has reached its source, its figures.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
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
    /// Told to run at all.
    enabled: bool,
    ready: AtomicBool,
    problem: Mutex<Problem>,
}

#[derive(Debug, Default, Clone)]
struct Problem {
    what: Option<String>,
    /// Nothing that still comes in makes it fine.
    lasts: bool,
}

impl Status {
    /// Nothing has happened yet.
    pub fn new(name: impl Into<String>, figures: Figures) -> Self {
        let (ready, problem) = (AtomicBool::new(false), Mutex::default());
        Self { name: name.into(), figures, enabled: true, ready, problem }
    }

    /// Of a mapping that is not to run. AWS: it has no figures, and none are exposed.
    pub fn disabled(name: impl Into<String>) -> Self {
        Self { enabled: false, ..Self::new(name, Figures::default()) }
    }

    /// AWS's `State` and `StateTransitionReason`. `draining`: the process was told to stop.
    pub fn state(&self, draining: bool) -> (&'static str, String) {
        const USER: &str = "User action";
        let Problem { what, lasts } = self.lock().clone();
        match what.filter(|_| lasts) {
            Some(cause) => ("Disabled", format!("Disabled by the service: {cause}")),
            None if !self.enabled => ("Disabled", USER.to_owned()),
            None if draining => ("Disabling", USER.to_owned()),
            None if !self.is_ready() => ("Creating", USER.to_owned()),
            None => ("Enabled", USER.to_owned()),
        }
    }

    /// The source has answered.
    pub fn reached(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// Whether the source has answered once; of one that is not to run nobody waits for that.
    pub fn is_ready(&self) -> bool {
        !self.enabled || self.ready.load(Ordering::Relaxed)
    }

    /// Something is wrong that a person should know of. Logged when it is news.
    pub fn problem(&self, what: impl std::fmt::Display) {
        self.tell(what.to_string(), false);
    }

    /// The mapping cannot go on. A poll that was on its way, and succeeds, does not change that.
    pub fn halted(&self, why: impl std::fmt::Display) {
        self.tell(why.to_string(), true);
    }

    fn tell(&self, what: String, lasts: bool) {
        let mut problem = self.lock();
        if problem.lasts {
            return;
        }
        if problem.what.as_deref() != Some(what.as_str()) {
            tracing::warn!(mapping = self.name, "PROBLEM: {what}");
        }
        *problem = Problem { what: Some(what), lasts };
        self.figures.problem.set(1);
    }

    /// It works (again).
    pub fn fine(&self) {
        if self.figures.problem.get() == 0 {
            return;
        }
        let mut problem = self.lock();
        if problem.lasts {
            return;
        }
        if problem.what.take().is_some() {
            tracing::info!(mapping = self.name, "OK");
        }
        self.figures.problem.set(0);
    }

    /// AWS's `LastProcessingResult`: `No records processed`, `OK` or `PROBLEM: …`.
    pub fn last_processing_result(&self) -> String {
        match &self.lock().what {
            Some(what) => format!("PROBLEM: {what}"),
            None if self.figures.invoked.get() == 0 => "No records processed".into(),
            None => "OK".into(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Problem> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_halted_mapping_stays_a_problem_whatever_still_comes_in() {
        let status = Status::new("orders", Figures::default());
        status.problem("the sink is down");
        status.fine();
        assert_eq!(status.last_processing_result(), "No records processed");
        status.halted("a person must change something");
        status.fine();
        status.problem("the sink is down");
        assert_eq!(status.last_processing_result(), "PROBLEM: a person must change something");
        assert_eq!(status.figures.problem.get(), 1);
    }

    #[test]
    fn states_are_awss() {
        let status = Status::new("orders", Figures::default());
        assert_eq!(status.state(false).0, "Creating");
        status.reached();
        status.problem("the sink is down");
        assert_eq!(status.state(false), ("Enabled", "User action".to_owned()));
        assert_eq!(status.state(true).0, "Disabling");
        status.halted("the stream is gone");
        let by_service = ("Disabled", "Disabled by the service: the stream is gone".to_owned());
        assert_eq!(status.state(true), by_service);
        let disabled = Status::disabled("orders");
        assert_eq!((disabled.state(false).0, disabled.is_ready()), ("Disabled", true));
    }
}
