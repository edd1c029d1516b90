//! What the index keeps of a frame, and what is read of a segment when the log is opened.

use std::{collections::HashSet, sync::Arc};

use jiff::Timestamp;

use super::frame::Place;
use crate::queue::event::{Stage, Stored};

/// What must be known of an event without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::queue) struct Label {
    /// The function.
    pub target: Arc<str>,
    /// Milliseconds since 1970.
    pub accepted: i64,
    /// The same; 0: at once.
    pub due: i64,
    /// Nothing is to happen any more.
    pub failed: bool,
}

impl Label {
    pub fn of(stored: &Stored) -> Self {
        Self {
            target: Arc::clone(&stored.event.target),
            accepted: stored.event.accepted.as_millisecond(),
            due: stored.stage.due().map_or(0, Timestamp::as_millisecond),
            failed: matches!(stored.stage, Stage::Failed { .. }),
        }
    }
}

/// One frame of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Put { offset: u32, length: u32, replaces: Place, label: Label },
    Done(Place),
}

/// The names of functions: there are few, and each is held once.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<Arc<str>>);

impl Names {
    pub fn of(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.0.insert(Arc::clone(&name));
        name
    }
}
