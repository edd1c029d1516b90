//! What a mapping says of itself: AWS's `State` and `LastProcessingResult`, whether it has reached its source, its figures.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

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

/// AWS's words for an invocation that failed.
pub(super) const CALL_FAILED: &str = "Function call failed";

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
    /// What was invoked with last was given up.
    failed: AtomicBool,
    problem: Mutex<Problem>,
    /// It became ready, or halted.
    settled: Notify,
}

#[derive(Debug, Default, Clone)]
struct Problem {
    what: Option<String>,
    /// Nothing that still comes in makes it fine.
    lasts: bool,
    /// When it began.
    since: Option<Instant>,
}

impl Status {
    /// Nothing has happened yet.
    pub fn new(name: impl Into<String>, figures: Figures) -> Self {
        Self {
            name: name.into(),
            figures,
            enabled: true,
            ready: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            problem: Mutex::default(),
            settled: Notify::new(),
        }
    }

    /// Of a mapping that is not to run. AWS: it has no figures, and none are exposed.
    pub fn disabled(name: impl Into<String>) -> Self {
        Self { enabled: false, ..Self::new(name, Figures::default()) }
    }

    /// AWS's `State` and `StateTransitionReason`. `draining`: the process was told to stop.
    pub fn state(&self, draining: bool) -> (&'static str, String) {
        const USER: &str = "User action";
        match self.halt() {
            Some(why) => ("Disabled", why),
            None if !self.enabled => ("Disabled", USER.to_owned()),
            None if draining => ("Disabling", USER.to_owned()),
            None if !self.is_ready() => ("Creating", USER.to_owned()),
            None => ("Enabled", USER.to_owned()),
        }
    }

    /// The source has answered.
    pub fn reached(&self) {
        if !self.ready.load(Ordering::Relaxed) {
            self.ready.store(true, Ordering::Relaxed);
            self.settled.notify_waiters();
        }
    }

    /// Waits until it has reached its source (and so fixed where it begins), or cannot go on.
    pub async fn settled(&self) {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            // Enabled before looking, or what comes in between would not wake us.
            settled.as_mut().enable();
            if self.is_ready() || self.lock().lasts {
                return;
            }
            settled.await;
        }
    }

    /// Why it does not go on, if a person must change something first.
    pub fn halt(&self) -> Option<String> {
        let Problem { what, lasts, .. } = self.lock().clone();
        what.filter(|_| lasts).map(|cause| format!("Disabled by the service: {cause}"))
    }

    /// Whether something is wrong right now.
    pub fn has_problem(&self) -> bool {
        self.lock().what.is_some()
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
        self.settled.notify_waiters();
    }

    fn tell(&self, what: String, lasts: bool) {
        let mut problem = self.lock();
        if problem.lasts {
            return;
        }
        if problem.what.as_deref() != Some(what.as_str()) {
            tracing::warn!(mapping = self.name, "PROBLEM: {what}");
        }
        let since = problem.since.or_else(|| Some(Instant::now()));
        *problem = Problem { what: Some(what), lasts, since };
        self.figures.problem.set(1);
    }

    /// What became of a batch: done, or given up. AWS: how the last invocation went stands until the next.
    pub fn ended(&self, given_up: bool) {
        self.failed.store(given_up, Ordering::Relaxed);
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
        if std::mem::take(&mut *problem).what.is_some() {
            tracing::info!(mapping = self.name, "OK");
        }
        self.figures.problem.set(0);
    }

    /// AWS's `LastProcessingResult`: `No records processed`, `OK` or `PROBLEM: …`.
    pub fn last_processing_result(&self) -> String {
        self.result_after(Duration::ZERO)
    }

    /// The same, without a problem that may be over soon: one that began less than `patience` ago.
    pub fn result_after(&self, patience: Duration) -> String {
        let problem = self.lock().clone();
        let lasting = problem.lasts || problem.since.is_some_and(|since| since.elapsed() >= patience);
        match problem.what.filter(|_| lasting) {
            Some(what) => format!("PROBLEM: {what}"),
            None if self.figures.invoked.get() == 0 => "No records processed".into(),
            None if self.failed.load(Ordering::Relaxed) => format!("PROBLEM: {CALL_FAILED}"),
            None => "OK".into(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Problem> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a process runs, by name; it comes and goes.
#[derive(Debug, Default)]
pub struct Board(RwLock<BTreeMap<(String, bool), Entry>>);

/// One of them.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What it says of itself.
    pub status: Arc<Status>,
    /// Whether the process is not ready before it is. One that is made while we run is its maker's affair.
    pub awaited: bool,
    /// A place in a file, or `api`.
    pub origin: String,
    /// The resource, if it is a mapping.
    pub written: Option<Arc<serde_json::Value>>,
}

impl Board {
    /// Puts one up, in the place of what had its name.
    pub fn show(&self, entry: Entry) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // A trigger may be called as a mapping is.
        all.insert((entry.status.name.clone(), entry.written.is_some()), entry);
    }

    /// Takes a mapping down.
    pub fn remove(&self, name: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&(name.to_owned(), true));
    }

    /// All of them, in the order of their names.
    pub fn all(&self) -> Vec<Entry> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Whether all that are awaited are ready.
    pub fn is_ready(&self) -> bool {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.values().all(|entry| !entry.awaited || entry.status.is_ready())
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
    fn the_last_invocation_is_told_of_when_its_batch_was_given_up_as_well() {
        let status = Status::new("orders", Figures::default());
        status.figures.invoked.inc();
        status.problem(CALL_FAILED);
        let told = || status.result_after(Duration::from_secs(10));
        assert_eq!(told(), "OK", "it is tried again");
        status.ended(true);
        status.fine();
        assert_eq!(told(), "PROBLEM: Function call failed");
        status.problem(CALL_FAILED);
        assert_eq!(told(), "PROBLEM: Function call failed", "the next one fails, too");
        status.ended(false);
        status.fine();
        assert_eq!(told(), "OK");
    }

    #[tokio::test]
    async fn who_waits_is_woken_when_it_has_begun_or_never_will() {
        for end in [Status::reached, |status: &Status| status.halted("the stream is gone")] {
            let status = Arc::new(Status::new("orders", Figures::default()));
            let waiting = tokio::spawn({
                let status = Arc::clone(&status);
                async move { status.settled().await }
            });
            tokio::task::yield_now().await;
            status.problem("the stream is not there yet");
            assert!(!waiting.is_finished());
            end(&status);
            waiting.await.unwrap();
        }
    }

    #[test]
    fn statuses_come_and_go() {
        let [a, b] = ["a", "b"].map(|name| Arc::new(Status::new(name, Figures::default())));
        let board = Board::default();
        for (status, awaited) in [(b, true), (a, false)] {
            board.show(Entry { status, awaited, origin: "api".to_owned(), written: Some(Arc::default()) });
        }
        let names = || board.all().iter().map(|entry| entry.status.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(), ["a", "b"]);
        assert!(!board.is_ready());
        board.all()[1].status.reached();
        assert!(board.is_ready(), "nobody waits for the other");
        board.remove("a");
        assert_eq!(names(), ["b"]);
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
