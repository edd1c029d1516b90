use std::time::Duration;

use async_trait::async_trait;

use crate::{Error, Place, Record};

/// One item the queue would not delete or hold.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The item's position in the slice that was handed in. (Not its id: two copies of one message can be in a batch.)
    pub index: usize,
    /// Whether asking again may help.
    pub error: Error,
}

/// A source that is settled item by item, in any order.
#[async_trait]
pub trait Queue: Send + Sync {
    /// How long a received item stays hidden from others when `receive` does not say; `None` where the queue has no such
    /// time (a broker that holds items for as long as the connection lives). Asked at the start and about once a minute.
    async fn visibility(&self) -> Result<Option<Duration>, Error>;

    /// Whether order within a group is promised: after a failure nothing received later may then be delivered first.
    fn fifo(&self) -> bool;

    /// Up to `max` records (at least 1 is asked for), waiting at most `wait` for the first; hidden from others for `hide`,
    /// or for the queue's own time.
    ///
    /// An implementation may answer fewer than `max` (SQS gives 10 at most) and clamps `wait` to what its service allows.
    /// An empty answer is no error. The engine never cancels this call: a message on its way would stay hidden. A FIFO
    /// queue repeats a receive whose answer was lost in a way that hands out the same messages.
    async fn receive(&self, max: usize, wait: Duration, hide: Option<Duration>)
    -> Result<Vec<Record>, Error>;

    /// Delete. Idempotent; answers what could not be deleted, item by item. `Err` means nothing is known about any of
    /// them. An empty slice is a no-op. May overlap a receive. Any number of items: the implementation splits.
    async fn delete(&self, items: &[Place]) -> Result<Vec<Refused>, Error>;

    /// Keep hidden for `span` from now; zero hands back at once. Not every queue can, and not every user may: that is a
    /// `Refused` or an error of kind `Stop`. Any number of items: the implementation splits.
    async fn hold(&self, items: &[Place], span: Duration) -> Result<Vec<Refused>, Error>;
}

#[async_trait]
impl<T: Queue + ?Sized> Queue for std::sync::Arc<T> {
    async fn visibility(&self) -> Result<Option<Duration>, Error> {
        (**self).visibility().await
    }

    fn fifo(&self) -> bool {
        (**self).fifo()
    }

    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        hide: Option<Duration>,
    ) -> Result<Vec<Record>, Error> {
        (**self).receive(max, wait, hide).await
    }

    async fn delete(&self, items: &[Place]) -> Result<Vec<Refused>, Error> {
        (**self).delete(items).await
    }

    async fn hold(&self, items: &[Place], span: Duration) -> Result<Vec<Refused>, Error> {
        (**self).hold(items, span).await
    }
}
