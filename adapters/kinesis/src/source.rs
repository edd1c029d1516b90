//! The engine's side: a stream, read in whichever way its ARN says.

use std::sync::Arc;

use async_trait::async_trait;
use klr_aws::shards::{self, Failure};
use klr_contract::{Arrival, Error, Log, Partition, Position, Store};

use crate::Config;
use crate::calls::{CREATING, Calls};
use crate::poll::Poll;
use crate::subscribe::Subscribe;

/// A data stream, read together with the other members of its store.
pub struct Source(Box<dyn Log>);

impl Source {
    /// Finds credentials and begins to read; what goes wrong comes from `next`.
    pub async fn open(config: Config, store: Arc<dyn Store>) -> Self {
        let settings = shards::Settings {
            mapping: config.mapping.clone(),
            stream: config.arn.to_string(),
            start: config.start,
            on_lost_position: config.on_lost_position,
            once: config.once,
        };
        let consumer = config.is_consumer();
        let calls = Calls::new(config).await;
        Self(match consumer {
            true => Box::new(shards::Source::open(Subscribe::new(calls), settings, store)),
            false => Box::new(shards::Source::open(Poll(calls), settings, store)),
        })
    }
}

/// Whether the stream is there: the error says what Lambda says of one that is not. One that is being made is.
pub async fn find(config: Config) -> Result<(), Error> {
    match Calls::new(config).await.list().await {
        Err(Failure::Gone(error)) => Err(error),
        Err(Failure::Failed(error)) if error.code() != CREATING => Err(error),
        _ => Ok(()),
    }
}

#[async_trait]
impl Log for Source {
    async fn next(&self, want: usize) -> Result<Vec<Arrival>, Error> {
        self.0.next(want).await
    }

    fn flow(&self, partition: Partition, open: bool) {
        self.0.flow(partition, open);
    }

    async fn checkpoint(&self, through: &[(Partition, Position)]) -> Result<(), Error> {
        self.0.checkpoint(through).await
    }

    async fn release(&self, partition: Partition, through: Option<Position>) -> Result<(), Error> {
        self.0.release(partition, through).await
    }

    fn name(&self, partition: Partition) -> Option<Arc<str>> {
        self.0.name(partition)
    }

    fn lag(&self) -> Vec<(Partition, u64)> {
        self.0.lag()
    }

    async fn close(&self) -> Result<(), Error> {
        self.0.close().await
    }
}
