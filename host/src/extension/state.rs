//! One extension: what it is told of, and how far it is.

use bytes::Bytes;
use uuid::Uuid;

use super::registry::Refusal;

/// What an extension can be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Invoke,
    Shutdown,
}

impl Event {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Invoke => "INVOKE",
            Self::Shutdown => "SHUTDOWN",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Started,
    Registered,
    Ready,
    Running,
    InitError,
    ExitError,
    LaunchError,
    Exited,
}

impl State {
    /// Its name in the emulator's messages and in events.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Started => "Started",
            Self::Registered => "Registered",
            Self::Ready => "Ready",
            Self::Running => "Running",
            Self::InitError => "InitError",
            Self::ExitError => "ExitError",
            Self::LaunchError => "LaunchError",
            Self::Exited => "Exited",
        }
    }
}

#[derive(Debug)]
pub(super) struct Extension {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) external: bool,
    pub(super) events: Vec<Event>,
    pub(super) state: State,
    pub(super) error_type: Option<String>,
    /// Not fetched yet.
    pub(super) pending: Option<Bytes>,
}

impl Extension {
    pub(super) fn subscribes(&self, event: Event) -> bool {
        self.events.contains(&event)
    }

    /// Has asked for what comes next, and there is nothing for it.
    pub(super) fn idle(&self) -> bool {
        self.state == State::Ready && self.pending.is_none()
    }
}

/// What an extension says it wants to be told of; `several` invocations run at once, or one.
pub(super) fn parse(events: &[String], external: bool, several: bool) -> Result<Vec<Event>, Refusal> {
    let mut parsed = Vec::new();
    for name in events {
        let event = match name.as_str() {
            "INVOKE" if several => {
                let why = "invocations are not told of one by one where several run at once";
                return Err(Refusal::InvalidEvent(name.clone(), why));
            }
            "INVOKE" => Event::Invoke,
            "SHUTDOWN" if external => Event::Shutdown,
            "SHUTDOWN" => {
                let why = "internal extensions cannot subscribe to it";
                return Err(Refusal::InvalidEvent(name.clone(), why));
            }
            _ => return Err(Refusal::InvalidEvent(name.clone(), "expected INVOKE or SHUTDOWN")),
        };
        if !parsed.contains(&event) {
            parsed.push(event);
        }
    }
    Ok(parsed)
}
