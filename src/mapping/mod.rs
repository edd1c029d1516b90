//! The engine: what an event source mapping does with records (design.md §4).
//!
//! What decides is pure and is handed `now`: [`next`] (what becomes of a piece after an answer), [`batch`] (what fits),
//! [`window`], [`filter`], [`limit`] (how many lanes a queue may have), [`track`] (how far a partition is done), [`log`] (the state
//! machine of a log mapping). What waits: [`queue`], a plain loop per lane, and [`drive`], which performs the log's actions.

pub mod batch;
#[cfg(test)]
pub(crate) mod brackets;
pub mod buffer;
pub mod drive;
pub mod failure;
pub mod filter;
pub mod limit;
pub mod log;
pub mod next;
pub mod queue;
pub mod status;
mod stop;
pub mod track;
pub mod window;

use std::{sync::Arc, time::Duration};

use klr_contract::{Shape, Source};

use crate::deliver::{Invoker, failure::Delivery};
pub use failure::Failure;
pub use filter::Filters;
pub use next::Policy;
pub use status::{Board, Ending, Entry, Status};
pub use stop::Stop;

/// What a mapping is told. Valid by construction: `config` has checked it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Records in a batch, at most.
    pub batch_size: usize,
    /// How long a batch is collected.
    pub window: Duration,
    /// Bytes of a finished event, at most. AWS: 6,291,456; a target may take less.
    pub budget: usize,
    /// Log: the unit of order, and what a batch may hold.
    pub lanes: Lanes,
    /// What becomes of failures.
    pub policy: Policy,
    /// Queue: batches at once, at most. AWS: 2–1000.
    pub maximum_concurrency: Option<usize>,
    /// How long one invocation may take, the answer included.
    pub timeout: Option<Duration>,
    /// Queue: whether one is refused whose messages are hidden for less than an invocation may take. AWS looks when a mapping is
    /// made or changed; one that was let in goes on.
    pub strict: bool,
    /// How long a drain waits for invocations in flight once the process ends.
    pub drain: Duration,
    /// Stop at the end of what is there now.
    pub once: bool,
}

/// The unit of order of a log, and what its batches hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lanes {
    /// Kafka: a partition. A batch may hold several.
    #[default]
    Partitions,
    /// Streams: a slot of the hash of a shard's partition keys. A batch is of one.
    Keys {
        /// `ParallelizationFactor`.
        parallel: usize,
        /// `TumblingWindowInSeconds`. State is per shard: such a shard is one lane, whatever the factor.
        tumbling: Option<Duration>,
    },
}

impl Lanes {
    /// Lanes a partition has.
    pub fn per_partition(self) -> usize {
        match self {
            Self::Keys { parallel, tumbling: None } => parallel.max(1),
            _ => 1,
        }
    }

    /// The length of a tumbling window.
    pub fn tumbling(self) -> Option<Duration> {
        match self {
            Self::Keys { tumbling, .. } => tumbling,
            Self::Partitions => None,
        }
    }
}

/// One event source mapping, ready to run.
pub struct Mapping {
    /// Where records come from.
    pub source: Source,
    /// What it works with, whatever its source.
    pub means: Means,
}

/// What a mapping works with.
pub struct Means {
    /// What it is told.
    pub settings: Settings,
    /// How records look.
    pub shape: Arc<dyn Shape>,
    /// Which records the function sees.
    pub filters: Arc<Filters>,
    /// Where batches go.
    pub invoker: Arc<dyn Invoker>,
    /// Where a log's records go that are given up.
    pub destination: Option<Arc<Delivery>>,
    /// What it says of itself.
    pub status: Arc<Status>,
    /// The bytes it may hold.
    pub usage: buffer::Usage,
}

impl Mapping {
    /// Runs until it is told to stop, the source is exhausted (`once`), or it cannot go on.
    pub async fn run(self, stop: impl Into<Stop>) -> Ending {
        let stop = stop.into();
        match self.source {
            Source::Queue(source) => queue::run(source, self.means, stop).await,
            Source::Log(source) => drive::run(source, self.means, stop).await,
        }
    }
}
