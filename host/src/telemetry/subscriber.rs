//! One subscriber: what waits for it, and the task that sends it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    buffer::{Batch, Buffer},
    delivery::Delivery,
    event::{Category, Event, LogsDropped},
    schema::Schema,
    subscription::Subscription,
};

/// AWS's words.
const TOO_SLOW: &str =
    "Some logs were dropped because the downstream consumer is slower than the logs production rate";

/// An extension's subscription at work.
#[derive(Debug)]
pub(crate) struct Subscriber {
    /// The extension.
    pub(crate) name: String,
    pub(crate) schema: Schema,
    types: Vec<Category>,
    pending: Mutex<Pending>,
    /// There is something to send, or to wait for.
    changed: Notify,
    flushed: Notify,
}

#[derive(Debug)]
struct Pending {
    buffer: Buffer,
    /// Nothing is waited for: what there is goes now.
    flush: bool,
    sending: bool,
}

impl Subscriber {
    /// Sends until `stop`.
    pub(crate) fn start(name: String, asked: Subscription, stop: CancellationToken) -> Arc<Self> {
        let pending = Pending { buffer: Buffer::new(asked.buffering), flush: false, sending: false };
        let subscriber = Arc::new(Self {
            name,
            schema: asked.schema,
            types: asked.types,
            pending: Mutex::new(pending),
            changed: Notify::new(),
            flushed: Notify::new(),
        });
        let (sending, delivery) = (Arc::clone(&subscriber), Delivery::to(asked.destination));
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = sending.run(delivery) => {}
            }
        });
        subscriber
    }

    pub(crate) fn wants(&self, category: Category) -> bool {
        self.types.contains(&category)
    }

    /// Takes an event in this subscriber's schema. It never waits: what has no room is dropped, and told.
    pub(crate) fn push(&self, event: Vec<u8>) {
        if self.lock().buffer.push(event, Instant::now()) {
            self.changed.notify_one();
        }
    }

    /// Waits until what there is has been sent, or was lost.
    pub(crate) async fn flush(&self) {
        loop {
            let flushed = self.flushed.notified();
            {
                let mut pending = self.lock();
                if !pending.sending && pending.buffer.is_empty() {
                    return;
                }
                pending.flush = true;
            }
            self.changed.notify_one();
            flushed.await;
        }
    }

    async fn run(&self, mut delivery: Delivery) {
        loop {
            let (batch, due) = self.take();
            if let Some(batch) = batch {
                if let Err(error) = delivery.send(&batch).await {
                    tracing::warn!(extension = self.name, %error, "telemetry was not delivered");
                    self.lock().buffer.lose(&batch);
                }
                continue;
            }
            let wait = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = wait => {}
            }
        }
    }

    fn take(&self) -> (Option<Batch>, Option<Instant>) {
        let mut pending = self.lock();
        let Pending { buffer, flush, sending } = &mut *pending;
        let batch = if *flush { buffer.take_all() } else { buffer.take(Instant::now()) };
        *sending = batch.is_some();
        if batch.is_some() {
            // There is room now.
            self.tell_dropped(buffer);
        } else if std::mem::take(flush) {
            self.flushed.notify_waiters();
        }
        (batch, buffer.due())
    }

    fn tell_dropped(&self, buffer: &mut Buffer) {
        let Some(dropped) = buffer.take_dropped() else { return };
        tracing::warn!(extension = self.name, records = dropped.records, "telemetry was dropped");
        if !self.wants(Category::Platform) {
            return;
        }
        let told = Event::LogsDropped(LogsDropped {
            reason: TOO_SLOW,
            dropped_records: dropped.records,
            dropped_bytes: dropped.bytes,
        });
        self.schema.render(Timestamp::now(), &told, |event| {
            buffer.push(event, Instant::now());
        });
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        // The buffer is whole between any two of its calls.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
