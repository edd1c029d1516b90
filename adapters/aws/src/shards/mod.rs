//! A stream of shards as a [`Log`](klr_contract::Log): what Kinesis and DynamoDB Streams have in common.
//!
//! * A *shard* is the unit of order. It is born open, is closed by a split, a merge or a roll-over, and then has children;
//!   in the end the service forgets it. A child is read only when its parents are done, whoever read them.
//! * A *row* of the [`Store`](klr_contract::Store) says of each shard where reading goes on and who reads. It is written
//!   before the first record is handed over, so a `LATEST` is fixed, and by compare-and-swap, so who lost a shard cannot
//!   move it.
//! * *Rounds* ([`keep`]) look at the service's shards, the rows and the living members, and let the pure [`lineage`] say
//!   what to claim, to let go and to tidy. Members agree by rendezvous hashing ([`share`]) without talking.
//! * The *company* ([`company`]) is looked at between the rounds too: who may be taken for dead lets everything go at once, and
//!   when somebody comes or goes a round follows.
//! * *Reads* ([`poll`]) are begun by one task from one [`agenda`]: a shard at rest is an entry there, not a task
//!   or a timer of its own, so ten thousand of them cost little.
//!
//! A service is three calls: [`Service`].

mod agenda;
mod company;
mod held;
mod keep;
mod lineage;
mod lost;
mod pace;
mod pen;
mod poll;
mod share;
mod source;
mod state;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use klr_contract::{Arrival, Error, Mark, Partition};

pub use pace::Pace;
pub use source::Source;

/// What a mapping says about its stream, whichever service it is of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Under which name its rows are stored.
    pub mapping: String,
    /// How messages name the stream: its ARN.
    pub stream: String,
    /// Where a stream that was never read begins.
    pub start: Start,
    /// What to do about a position that is not there any more.
    pub on_lost_position: OnLostPosition,
    /// Each shard ends at the end it had at the start (`klr run --once`).
    pub once: bool,
}

/// Where a stream that was never read begins. A shard that appears later begins at its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record of each shard.
    TrimHorizon,
    /// With what arrives from now on; "now" is stored.
    Latest,
    /// At the first record of this time or later.
    AtTimestamp(Timestamp),
}

/// `onLostPosition`: the stream was deleted and made again, or what was to be read next has passed out of retention. It is
/// reported in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLostPosition {
    /// Go on at the oldest record there is, as AWS does.
    #[default]
    Earliest,
    /// Go on with what arrives from now on.
    Latest,
    /// Stop, until a person has decided.
    Stop,
}

/// The shards of a stream.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// What tells this stream from an earlier one of its name.
    pub identity: String,
    /// All shards the service still knows, closed ones too.
    pub shards: Vec<Shard>,
}

/// A shard as its service lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its id.
    pub name: Arc<str>,
    /// Whom it came from: none, one (split, roll-over) or two (merge). They may be forgotten already.
    pub parents: Vec<Arc<str>>,
    /// Nothing more will be written to it.
    pub closed: bool,
}

/// A shard that is being read.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The handle its records carry.
    pub partition: Partition,
    /// Its id.
    pub shard: Arc<str>,
    /// It was closed when last listed.
    pub closed: bool,
}

/// What one read brought.
#[derive(Debug)]
pub struct Answer<C> {
    /// Records, and places passed over, in order.
    pub arrivals: Vec<Arrival>,
    /// What the service counts against the shard's throughput.
    pub bytes: usize,
    /// Where the next read begins; `None`: the shard is closed and this was its end.
    pub next: Option<C>,
    /// As far as the service says there is nothing more right now.
    pub caught_up: bool,
}

/// Why a call did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The cursor is too old: a new one will do.
    #[error("the iterator has expired")]
    Expired,
    /// What was to be read next has passed out of retention.
    #[error("the position is no longer in the stream")]
    Trimmed,
    /// The stream or the shard is not there.
    #[error(transparent)]
    Gone(Error),
    /// Anything else.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// The calls of a service with shards.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// A place to go on reading: an iterator, a subscription. Ten thousand of them are kept: small.
    type Cursor: Send + 'static;

    /// How often a shard may be read.
    fn pace(&self) -> Pace;

    /// Whether a read waits for what is pushed, minutes if need be, instead of answering at once.
    fn pushes(&self) -> bool {
        false
    }

    /// The stream's identity and shards.
    async fn list(&self) -> Result<Listing, Failure>;

    /// A cursor at the end of a shard, if [`seek`](Self::seek) cannot find a [`Mark::Moment`] to the moment.
    async fn tip(&self, _shard: &str) -> Result<Option<Self::Cursor>, Failure> {
        Ok(None)
    }

    /// A cursor at a mark; never asked for [`Mark::Ended`]. What was handed over under [`Mark::After`] does not come again.
    async fn seek(&self, shard: &Reading, mark: &Mark) -> Result<Self::Cursor, Failure>;

    /// Reads on from a cursor.
    async fn read(&self, shard: &Reading, cursor: Self::Cursor) -> Result<Answer<Self::Cursor>, Failure>;
}
