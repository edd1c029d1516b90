//! A queue whose messages are notifications.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use klr_contract::{Error, Place, Queue, Reason, Record, Refused, Shape};
use klr_s3::{Config, Notification};
use klr_sqs::Message;
use serde_json::Value;
use tokio::time::Instant;

/// Each record is an event by itself: AWS invokes with one notification at a time.
pub struct Whole;

impl Shape for Whole {
    fn frame(&self) -> usize {
        0
    }

    fn opening(&self, _: &Record) -> usize {
        0
    }

    fn cost(&self, record: &Record) -> usize {
        record.len()
    }

    fn event(&self, batch: &[Record]) -> Bytes {
        batch.first().and_then(|record| Some(record.json.clone().ok()?.into_bytes())).unwrap_or_default()
    }

    fn locate(&self, _: &Value, _: &[Record]) -> Vec<usize> {
        Vec::new()
    }
}

/// The queue, with each message's notification for a record.
pub struct Carried {
    /// Where the notifications come from.
    pub queue: klr_sqs::Queue,
    /// Which of them are wanted.
    pub wanted: Config,
}

impl Carried {
    /// What is for the function, and what is done with.
    fn sort(&self, messages: Vec<Message>) -> (Vec<Record>, Vec<Place>) {
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        for message in messages {
            let at = message.sent();
            let (json, trace) = (self.shape(&message), message.trace());
            let place = Place::Item { id: message.id.into(), receipt: message.receipt.into() };
            match json {
                Some(json) => wanted.push(Record { json: json.map(Into::into), place, at, trace }),
                None => unwanted.push(place),
            }
        }
        (wanted, unwanted)
    }

    /// `None`: nothing to deliver (a test event, an event not asked for), so the message is done with.
    fn shape(&self, message: &Message) -> Option<Result<Bytes, Reason>> {
        let mut events = Vec::new();
        for notification in klr_s3::read(&self.wanted, message.body.as_bytes(), Timestamp::now()) {
            match notification {
                Notification::Event(event) => events.push(event.body),
                Notification::Skip(why) => tracing::debug!(why, "notification skipped"),
                Notification::Unreadable(why) => return Some(Err(Reason(why.to_string()))),
            }
        }
        join(&events).map(Ok)
    }
}

/// One event of all records. A message is deleted as a whole, so what came in one goes out in one.
fn join(events: &[Bytes]) -> Option<Bytes> {
    const OPEN: &[u8] = br#"{"Records":["#;
    const CLOSE: &[u8] = b"]}";
    let [first, rest @ ..] = events else { return None };
    if rest.is_empty() {
        return Some(first.clone());
    }
    let records: Vec<&[u8]> =
        events.iter().filter_map(|event| event.strip_prefix(OPEN)?.strip_suffix(CLOSE)).collect();
    Some([OPEN, &records.join(&b','), CLOSE].concat().into())
}

#[async_trait]
impl Queue for Carried {
    async fn visibility(&self) -> Result<Option<Duration>, Error> {
        self.queue.visibility().await
    }

    fn fifo(&self) -> bool {
        self.queue.fifo()
    }

    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        hide: Option<Duration>,
    ) -> Result<Vec<Record>, Error> {
        let begun = Instant::now();
        loop {
            let left = wait.saturating_sub(begun.elapsed());
            let (wanted, unwanted) = self.sort(self.queue.receive_messages(max, left, hide).await?);
            // Not deleted now, they come again and are deleted then.
            if let Err(error) = self.queue.delete(&unwanted).await {
                tracing::warn!(%error, "notifications that nobody wants were not deleted");
            }
            // To answer nothing would say that the queue is empty.
            if !wanted.is_empty() || unwanted.is_empty() || begun.elapsed() >= wait {
                return Ok(wanted);
            }
        }
    }

    async fn delete(&self, items: &[Place]) -> Result<Vec<Refused>, Error> {
        self.queue.delete(items).await
    }

    async fn hold(&self, items: &[Place], span: Duration) -> Result<Vec<Refused>, Error> {
        self.queue.hold(items, span).await
    }
}
