//! Who has registered, and how far each is.
//!
//! ```text
//! Started ─ register ─▶ Registered ─ next ─▶ Ready ─ event fetched ─▶ Running ─ next ─▶ Ready
//!                           └─ init/error ─▶ InitError      └─ exit/error, anywhere ─▶ ExitError
//! ```

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use uuid::Uuid;

use super::state::{Event, Extension, State, parse};

/// External and internal ones together.
const MOST: usize = 10;

/// Why a call is refused; always with 403.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("Empty extension name")]
    NoName,
    #[error("Extension registration closed already")]
    Closed,
    #[error("Unknown extension {0}")]
    Unknown(Uuid),
    #[error("Missing Lambda-Extension-Identifier header")]
    NoIdentifier,
    #[error("Invalid Lambda-Extension-Identifier")]
    InvalidIdentifier,
    #[error(
        "State transition from {from} to {to} failed for extension {who}. Error: State transition is not allowed"
    )]
    InvalidState { from: &'static str, to: &'static str, who: String },
    #[error("Extension with this name already registered")]
    NameTaken,
    #[error("Extension limit ({MOST}) reached")]
    TooMany,
    #[error("{0}: {1}")]
    InvalidEvent(String, &'static str),
    #[error("{0}")]
    InvalidRequest(String),
    #[error("Lambda-Extension-Function-Error-Type not found")]
    NoErrorType,
}

/// What an extension did that ends the whole environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// As in `Extension.Crash`.
    pub(crate) kind: &'static str,
    /// Said of it.
    pub(crate) message: String,
}

#[derive(Debug, Default)]
struct All {
    extensions: Vec<Extension>,
    closed: bool,
    ending: bool,
    failure: Option<Failure>,
}

/// The extensions of one environment.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    all: Mutex<All>,
    changed: Notify,
    /// Several invocations run at once: no extension is told of each.
    several: bool,
}

/// One extension, as events tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) state: &'static str,
    pub(crate) events: Vec<&'static str>,
    pub(crate) error_type: Option<String>,
}

impl Registry {
    /// Of an environment that takes one invocation at a time, or `several`.
    pub(crate) fn new(several: bool) -> Self {
        Self { several, ..Self::default() }
    }

    // --- the sandbox's side

    /// A file in the extensions' folder is being started: it is known by its name, and must register.
    pub(crate) fn expect(&self, name: &str) {
        self.lock().add(name, true);
    }

    /// Whether there is none at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().extensions.is_empty()
    }

    /// Waits until all that were started have registered.
    pub(crate) async fn registered(&self) -> Result<(), Failure> {
        self.wait(|all| all.extensions.iter().all(|extension| extension.state != State::Started)).await
    }

    /// No extension may register any more.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    /// Waits until every extension has asked for what comes next and nothing is on its way to any.
    pub(crate) async fn idle(&self) -> Result<(), Failure> {
        self.wait(|all| all.extensions.iter().all(Extension::idle)).await
    }

    /// Waits for an extension to fail the environment.
    pub(crate) async fn failed(&self) -> Failure {
        match self.wait(|_| false).await {
            Err(failure) => failure,
            Ok(()) => unreachable!("it waits for nothing else"),
        }
    }

    /// Tells those that subscribed to such an event. Whether there are any.
    pub(crate) fn tell(&self, event: Event, document: &Bytes) -> bool {
        let mut all = self.lock();
        // What an extension does when told of the end is no failure.
        all.ending |= event == Event::Shutdown;
        let mut told = false;
        for extension in all.extensions.iter_mut().filter(|extension| extension.subscribes(event)) {
            extension.pending = Some(document.clone());
            told = true;
        }
        drop(all);
        self.changed.notify_waiters();
        told
    }

    /// Whether the external one of that name is told of the environment's end.
    pub(crate) fn awaits_shutdown(&self, name: &str) -> bool {
        let all = self.lock();
        all.extensions.iter().any(|extension| {
            extension.external && extension.name == name && extension.subscribes(Event::Shutdown)
        })
    }

    /// An external extension's process ended, `how`: it never may before the environment does.
    pub(crate) fn exited(&self, name: &str, how: &str) {
        self.lost(name, State::Exited, Failure { kind: "Extension.Crash", message: how.to_owned() }, None);
    }

    /// An external extension's process could not be started.
    pub(crate) fn not_started(&self, name: &str, error_type: &str, why: String) {
        let failure = Failure { kind: "Extension.LaunchError", message: why };
        self.lost(name, State::LaunchError, failure, Some(error_type.to_owned()));
    }

    fn lost(&self, name: &str, state: State, failure: Failure, error_type: Option<String>) {
        let mut all = self.lock();
        let external = all.extensions.iter_mut().find(|other| other.external && other.name == name);
        if let Some(extension) = external
            // One that said why before it went is in its state for good.
            && !matches!(extension.state, State::InitError | State::ExitError)
        {
            extension.state = state;
            extension.error_type = error_type.or_else(|| Some(failure.kind.to_owned()));
        }
        all.fail(failure);
        drop(all);
        self.changed.notify_waiters();
    }

    /// All of them, as events tell of them.
    pub(crate) fn told(&self) -> Vec<Told> {
        let all = self.lock();
        let tell = |extension: &Extension| Told {
            name: extension.name.clone(),
            state: extension.state.name(),
            events: extension.events.iter().map(|event| event.name()).collect(),
            error_type: extension.error_type.clone(),
        };
        all.extensions.iter().map(tell).collect()
    }

    async fn wait(&self, holds: impl Fn(&All) -> bool) -> Result<(), Failure> {
        loop {
            let changed = self.changed.notified();
            {
                let all = self.lock();
                if let Some(failure) = &all.failure {
                    return Err(failure.clone());
                }
                if holds(&all) {
                    return Ok(());
                }
            }
            changed.await;
        }
    }

    // --- the extensions' side

    /// Registers an extension: the external one of that name, or else an internal one.
    pub(super) fn register(&self, name: &str, events: &[String]) -> Result<Uuid, Refusal> {
        let mut all = self.lock();
        let known = all.extensions.iter().position(|other| other.external && other.name == name);
        let events = parse(events, known.is_some(), self.several)?;
        let index = match known {
            Some(index) => index,
            None if all.closed => return Err(Refusal::Closed),
            None if all.extensions.iter().any(|other| other.name == name) => return Err(Refusal::NameTaken),
            None if all.extensions.len() >= MOST => return Err(Refusal::TooMany),
            None => all.add(name, false),
        };
        let extension = &mut all.extensions[index];
        if extension.state != State::Started {
            return Err(refused(extension, "Registered"));
        }
        extension.state = State::Registered;
        extension.events = events;
        let id = extension.id;
        drop(all);
        self.changed.notify_waiters();
        Ok(id)
    }

    /// Its name, if there is such an extension.
    pub(super) fn name(&self, id: Uuid) -> Result<String, Refusal> {
        let all = self.lock();
        let found = all.extensions.iter().find(|extension| extension.id == id);
        found.map(|extension| extension.name.clone()).ok_or(Refusal::Unknown(id))
    }

    /// The extension asks for what comes next, and waits: for ever, if it subscribed to nothing. Dropping the future loses
    /// nothing.
    pub(super) async fn next(&self, id: Uuid) -> Result<Bytes, Refusal> {
        self.step(id, "Ready", |extension| {
            let may = matches!(extension.state, State::Registered | State::Ready | State::Running);
            may.then(|| extension.state = State::Ready)
        })?;
        loop {
            let changed = self.changed.notified();
            if let Some(document) = self.fetch(id) {
                return Ok(document);
            }
            changed.await;
        }
    }

    fn fetch(&self, id: Uuid) -> Option<Bytes> {
        let mut all = self.lock();
        let extension = all.extensions.iter_mut().find(|extension| extension.id == id)?;
        let document = extension.pending.take()?;
        extension.state = State::Running;
        Some(document)
    }

    /// The extension says that it cannot start.
    pub(super) fn init_error(&self, id: Uuid, error_type: &str) -> Result<(), Refusal> {
        self.give_up(id, State::InitError, &[State::Registered], "Extension.InitError", error_type)
    }

    /// The extension says that it cannot go on.
    pub(super) fn exit_error(&self, id: Uuid, error_type: &str) -> Result<(), Refusal> {
        let from = [State::Registered, State::Ready, State::Running];
        self.give_up(id, State::ExitError, &from, "Extension.ExitError", error_type)
    }

    fn give_up(
        &self,
        id: Uuid,
        to: State,
        from: &[State],
        kind: &'static str,
        error_type: &str,
    ) -> Result<(), Refusal> {
        self.step(id, to.name(), |extension| {
            // Said again, it changes nothing.
            if extension.state == to {
                return Some(());
            }
            from.contains(&extension.state).then(|| {
                extension.state = to;
                extension.error_type = Some(error_type.to_owned());
            })
        })?;
        let name = self.name(id)?;
        self.lock().fail(Failure { kind, message: format!("extension {name} reported {error_type}") });
        self.changed.notify_waiters();
        Ok(())
    }

    fn step(
        &self,
        id: Uuid,
        to: &'static str,
        change: impl FnOnce(&mut Extension) -> Option<()>,
    ) -> Result<(), Refusal> {
        let mut all = self.lock();
        let extension = all.extensions.iter_mut().find(|extension| extension.id == id);
        let extension = extension.ok_or(Refusal::Unknown(id))?;
        if change(extension).is_none() {
            return Err(refused(extension, to));
        }
        drop(all);
        self.changed.notify_waiters();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        // Each transition is complete when the lock is let go.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    fn add(&mut self, name: &str, external: bool) -> usize {
        self.extensions.push(Extension {
            id: Uuid::new_v4(),
            name: name.to_owned(),
            external,
            events: Vec::new(),
            state: State::Started,
            error_type: None,
            pending: None,
        });
        self.extensions.len() - 1
    }

    /// The first failure counts.
    fn fail(&mut self, failure: Failure) {
        if !self.ending {
            self.failure.get_or_insert(failure);
        }
    }
}

fn refused(extension: &Extension, to: &'static str) -> Refusal {
    Refusal::InvalidState { from: extension.state.name(), to, who: extension.name.clone() }
}

#[cfg(test)]
mod tests;
