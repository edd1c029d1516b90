//! The engine's side.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use klr_contract::{Arrival, Error, Log, Partition, Position};
use rdkafka::error::KafkaError;
use tokio::sync::{Mutex, watch};

#[cfg(feature = "registry")]
use crate::registry::Decoder;
use crate::shared::Shared;
use crate::thread;
use crate::{Config, error};

/// A topic, read as a member of a consumer group. Dropping it leaves the group too, without waiting.
pub struct Source {
    shared: Arc<Shared>,
    /// One checkpoint outstanding.
    turn: Mutex<()>,
    /// True once the thread has left the group.
    left: watch::Receiver<bool>,
}

impl Source {
    /// Begins to join. Answers at once; what goes wrong (a certificate that cannot be read, a cluster that does not
    /// answer) comes from `next`.
    pub fn open(config: Config) -> Result<Self, Error> {
        #[cfg(feature = "registry")]
        let decoder = config.registry.clone().map(Decoder::new).transpose().map_err(error::no_registry)?;
        #[cfg(not(feature = "registry"))]
        if config.registry.is_some() {
            return Err(error::no_registry(
                "this klr was built without schema registries (feature kafka-registry)",
            ));
        }
        let shared = Arc::new(Shared::new(config));
        let (leave, left) = watch::channel(false);
        let its = Arc::clone(&shared);
        std::thread::Builder::new()
            .name(format!("kafka {}", shared.config.topic))
            .spawn(move || {
                let leaving = Leaving { shared: its, leave };
                thread::run(
                    &leaving.shared,
                    #[cfg(feature = "registry")]
                    decoder,
                );
            })
            .map_err(|error| {
                Error::retry("kafka.thread", format!("no thread for the kafka consumer: {error}"))
            })?;
        Ok(Self { shared, turn: Mutex::default(), left })
    }

    /// Commits until the broker has confirmed or the epochs are over. A member of a group that is rebalancing is refused
    /// for a while: that is no error, the rebalance will say whether the partition stays.
    async fn make_durable(&self, through: &[(Partition, Position)]) -> Result<(), Error> {
        let mut pause = Duration::from_millis(50);
        loop {
            let due = self.shared.ledger.begin(through);
            if due.is_empty() {
                return Ok(());
            }
            match self.commit(due).await? {
                Ok(()) => return Ok(()),
                Err(refused) if error::commit_is_final(&refused) => {
                    return Err(error::commit(&refused, &self.shared.config.topic));
                }
                Err(refused) => {
                    tracing::debug!(topic = self.shared.config.topic, error = %refused, "commit is tried again");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// The wait is librdkafka's, and blocks: it has a thread of the runtime's blocking pool. (A callback instead would come
    /// through the consumer's queue, behind all records that nobody takes.) Once begun it is finished and entered in the
    /// ledger, even if this future is dropped.
    async fn commit(&self, due: Vec<(Partition, i64)>) -> Result<Result<(), KafkaError>, Error> {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || shared.commit(&due))
            .await
            .map_err(|error| Error::retry("kafka.commit", format!("the commit was cut off: {error}")))
    }

    fn stop(&self) {
        self.shared.ledger.stop();
        self.shared.inbox.close();
    }
}

#[async_trait]
impl Log for Source {
    async fn next(&self, want: usize) -> Result<Vec<Arrival>, Error> {
        self.shared.inbox.next(want).await
    }

    fn flow(&self, partition: Partition, open: bool) {
        self.shared.flow(partition, open);
    }

    async fn checkpoint(&self, through: &[(Partition, Position)]) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        self.make_durable(through).await
    }

    async fn release(&self, partition: Partition, through: Option<Position>) -> Result<(), Error> {
        // Not in turn: a checkpoint may be outstanding for partitions that are not let go.
        if let Some(position) = through {
            self.make_durable(&[(partition, position)]).await?;
        }
        self.shared.flow(partition, false);
        self.shared.inbox.drop_records(partition);
        self.shared.ledger.release(partition);
        Ok(())
    }

    fn name(&self, partition: Partition) -> Option<Arc<str>> {
        Some(format!("{}-{}", self.shared.config.topic, partition.index).into())
    }

    fn lag(&self) -> Vec<(Partition, u64)> {
        self.shared.ledger.lag()
    }

    async fn close(&self) -> Result<(), Error> {
        self.stop();
        let mut left = self.left.clone();
        left.wait_for(|left| *left).await.map(drop).map_err(|_| {
            Error::retry("kafka.thread", "the kafka consumer's thread ended without leaving the group")
        })
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Says that the thread has ended, however it did.
struct Leaving {
    shared: Arc<Shared>,
    leave: watch::Sender<bool>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let topic = &self.shared.config.topic;
            self.shared.inbox.trouble(Error::stop(
                "kafka.thread",
                format!(
                    "the thread of the kafka consumer on topic {topic} panicked; this is a bug: see the log"
                ),
            ));
        }
        self.leave.send_replace(true);
    }
}
