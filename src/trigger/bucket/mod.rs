//! Bucket notifications: S3's push trigger, by webhook or out of a queue that the bucket notifies.
//!
//! AWS invokes asynchronously here: queued, retried twice, given up. There is no queue of ours yet, so the carriage keeps
//! the event until the sink took it: the webhook's sender is told to come again, the message stays in its queue.

#[cfg(feature = "sqs")]
mod queue;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cloudevents::{EventBuilder, EventBuilderV10};
use http::HeaderMap;
use klr_contract::Record;
use klr_s3::{Attributes, Deliver, Event, Notification, Refusal};

use crate::{
    deliver::{Delivered, Invoker, Outcome, Window, sink::Sink},
    mapping::Status,
};

#[cfg(feature = "sqs")]
pub use queue::{Carried, Whole};

/// AWS's function timeout where nobody sets one.
const TIMEOUT: Duration = Duration::from_secs(300);

/// What all events of one trigger share.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// Extension `functionname`.
    pub function_name: Option<String>,
    /// Knative's `K_CE_OVERRIDES` extensions.
    pub overrides: Vec<(String, String)>,
}

impl Envelope {
    /// The CloudEvent of one S3 event, without data.
    pub fn event(
        &self,
        attributes: &Attributes,
    ) -> Result<cloudevents::Event, cloudevents::event::EventBuilderError> {
        let mut builder = EventBuilderV10::new()
            .id(&attributes.id)
            .source(&attributes.source)
            .ty(&attributes.kind)
            .subject(&attributes.subject)
            .time(attributes.time.as_str());
        if let Some(name) = &self.function_name {
            builder = builder.extension("functionname", name.as_str());
        }
        for (name, value) in &self.overrides {
            builder = builder.extension(name, value.as_str());
        }
        builder.build()
    }

    fn headers(&self, attributes: &Attributes) -> Result<HeaderMap, String> {
        let event = self.event(attributes).map_err(|error| error.to_string())?;
        klr_host::cloudevent::binary_headers(&event).map_err(|error| error.to_string())
    }
}

/// Hands S3 events to a sink, one at a time.
pub struct Delivery {
    /// Where.
    pub sink: Sink,
    /// Names events.
    pub envelope: Envelope,
    /// How long the function may take; out of a queue the mapping says.
    pub timeout: Option<Duration>,
    /// How long a request may wait at the sink before the function's own time begins.
    pub queueing: Duration,
    /// Figures and state.
    pub status: Arc<Status>,
}

impl Delivery {
    async fn post(&self, event: &Event, timeout: Duration) -> Outcome {
        match self.envelope.headers(&event.attributes()) {
            Ok(headers) => self.sink.post(headers, event.body.clone(), timeout + self.queueing).await,
            Err(error) => Outcome::Unreachable(format!("cannot name the event as a CloudEvent: {error}")),
        }
    }
}

#[async_trait]
impl Deliver for Delivery {
    async fn deliver(&self, event: Event) -> Result<(), Refusal> {
        let figures = &self.status.figures;
        figures.polled.inc();
        figures.invoked.inc();
        let outcome = self.post(&event, self.timeout.unwrap_or(TIMEOUT)).await;
        let refusal = match outcome {
            Outcome::Done(_) | Outcome::Elsewhere | Outcome::Accepted => {
                self.status.fine();
                return Ok(());
            }
            Outcome::TooLarge => Refusal::Never("the event is more than the target takes".into()),
            Outcome::Rejected => Refusal::Never("the target does not take the event".into()),
            Outcome::Throttled { after } => Refusal::Later(after),
            Outcome::FunctionError | Outcome::TimedOut | Outcome::Broken => {
                self.status.problem("Function call failed");
                Refusal::Later(None)
            }
            Outcome::Unreachable(why) => {
                self.status.problem(why);
                Refusal::Later(None)
            }
        };
        figures.failed.inc();
        Err(refusal)
    }
}

/// Out of a queue: what the record holds is an S3 event already, so its attributes are read off it.
#[async_trait]
impl Invoker for Delivery {
    async fn invoke(&self, batch: &[Record], _: Option<(&Window, &str)>, timeout: Duration) -> Delivered {
        let Some(body) = batch.first().and_then(|record| record.json.clone().ok()) else {
            return Outcome::Rejected.into();
        };
        let body = body.into_bytes();
        let events = klr_s3::read(&klr_s3::Config::default(), &body, batch[0].at);
        let first = events.into_iter().find_map(|read| match read {
            Notification::Event(event) => Some(*event),
            Notification::Skip(_) | Notification::Unreadable(_) => None,
        });
        match first {
            Some(event) => self.post(&Event { body, ..event }, timeout).await.into(),
            None => Outcome::Rejected.into(),
        }
    }

    fn waits(&self) -> bool {
        !self.queueing.is_zero()
    }
}
