//! What the state machine is told, and what it says to do.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use klr_contract::{Arrival, Partition, Position, Record};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    deliver::Window,
    mapping::{
        failure::Failure,
        next::{GivenUp, Judged},
    },
};

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The source said something.
    Arrived(Vec<Arrival>),
    /// An invocation ended.
    Answered(u64, Heard),
    /// The on-failure destination has taken what was discarded, or said why not.
    Discarded(u64, Result<(), String>),
    /// Time passed.
    Tick,
    /// Finish what is in flight and let go.
    Stop,
}

/// What an invocation came to.
#[derive(Debug)]
pub struct Heard {
    /// What it means for the batch.
    pub judged: Judged,
    /// What the function answered for the state of its tumbling window.
    pub state: Option<Bytes>,
    /// What the function knew it by, as far as is known.
    pub request: Option<Uuid>,
}

impl From<Judged> for Heard {
    fn from(judged: Judged) -> Self {
        Self { judged, state: None, request: None }
    }
}

/// What to do.
#[derive(Debug)]
pub enum Action {
    /// Invoke, and answer with the flight's number.
    Invoke(u64, Call),
    /// Send to the on-failure destination, and answer with the flight's number.
    Discard(u64, Failure),
    /// Stop or reopen a partition's flow.
    Flow(Partition, bool),
    /// Let a partition go.
    Release(Partition, Option<Position>),
    /// Records were given up, without a destination.
    Dropped(usize, GivenUp),
    /// Stop the mapping: a person must change something.
    Halt(&'static str),
}

/// What to invoke with.
#[derive(Debug, Clone)]
pub struct Call {
    /// The (first) partition it is of.
    pub partition: Partition,
    /// The batch. Only a tumbling window's last one may be empty.
    pub records: Arc<Vec<Record>>,
    /// The tumbling window it is in.
    pub window: Option<Window>,
}

/// When something happened: on the monotonic clock, and by the wall, which record age is counted on.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For windows and back-off.
    pub instant: Instant,
    /// For record age.
    pub wall: Timestamp,
}

impl Now {
    /// The runtime's clock (paused in tests) and the wall's.
    pub fn get() -> Self {
        Self { instant: Instant::now(), wall: Timestamp::now() }
    }
}
