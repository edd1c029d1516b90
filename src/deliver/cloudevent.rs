//! The CloudEvent a batch travels as (design.md §5).

use cloudevents::{Event, EventBuilder, EventBuilderV10, event::EventBuilderError};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use klr_contract::{Place, Position, Record, Trace};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Window;
use crate::hex::hex;

/// A mapping whose batches cannot be named as CloudEvents.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The attributes.
    #[error("the mapping's batches cannot be CloudEvents")]
    Event(#[from] EventBuilderError),
    /// An extension (`K_CE_OVERRIDES`).
    #[error("the mapping's batches cannot be CloudEvents over HTTP")]
    Headers(#[from] klr_host::cloudevent::Error),
}

/// The attributes all batches of one mapping share.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The event source's ARN; for a Kafka cluster without one, `kafka://<first bootstrap server>/<topic>`.
    pub source: String,
    /// `com.amazonaws.<sqs, kafka, …>.batch`.
    pub kind: String,
    /// Queue, topic or stream name.
    pub subject: String,
    /// Extension `functionname`: what Triggers filter on.
    pub function_name: Option<String>,
    /// Extension `mappinguid`.
    pub mapping: Option<Uuid>,
    /// Whether a batch can have one partition: extension `partitionkey`, `<subject>-<partition>`.
    pub partitioned: bool,
    /// Knative's `K_CE_OVERRIDES` extensions, put over ours.
    pub overrides: Vec<(String, String)>,
}

impl Envelope {
    /// Batches of a queue.
    pub fn sqs(arn: String, queue: String) -> Self {
        Self::batches("sqs", arn, queue, false)
    }

    /// Batches of a Kinesis or DynamoDB stream.
    pub fn stream(service: &str, arn: String, name: String) -> Self {
        Self::batches(service, arn, name, false)
    }

    /// Batches of a topic; `bootstrap` is the first server's address, which names a cluster without an ARN.
    pub fn kafka(arn: Option<String>, bootstrap: &str, topic: String) -> Self {
        let source = arn.unwrap_or_else(|| format!("kafka://{bootstrap}/{topic}"));
        Self::batches("kafka", source, topic, true)
    }

    /// Of no mapping yet, and without overrides.
    fn batches(service: &str, source: String, subject: String, partitioned: bool) -> Self {
        let kind = format!("com.amazonaws.{service}.batch");
        Self { source, kind, subject, function_name: None, mapping: None, partitioned, overrides: Vec::new() }
    }

    /// The event of one batch, without data: the body travels beside it. The same batch has the same id.
    pub fn event(&self, batch: &[Record]) -> Result<Event, EventBuilderError> {
        let Stamp { id, time, parent, state, partition } = self.stamp(batch, None);
        let mut builder = self.template().id(id).time(time).extension("traceparent", parent);
        if let Some(state) = state {
            builder = builder.extension("tracestate", state);
        }
        if let Some(partition) = partition {
            builder = builder.extension("partitionkey", partition);
        }
        for (name, value) in &self.overrides {
            builder = builder.extension(name, value.as_str());
        }
        builder.build()
    }

    /// What all batches share, of the event, as headers.
    pub fn headers(self) -> Result<Headers, Error> {
        let fixed = self.fixed()?;
        Ok(Headers { envelope: self, fixed })
    }

    pub(super) fn fixed(&self) -> Result<HeaderMap, Error> {
        let mut template = self.template().id("");
        for (name, value) in &self.overrides {
            template = template.extension(name, value.as_str());
        }
        Ok(klr_host::cloudevent::binary_headers(&template.build()?)?)
    }

    /// What is the same in every batch's event, less the overrides.
    fn template(&self) -> EventBuilderV10 {
        let mut builder = EventBuilderV10::new().source(&self.source).ty(&self.kind).subject(&self.subject);
        if let Some(name) = &self.function_name {
            builder = builder.extension("functionname", name.as_str());
        }
        if let Some(uuid) = &self.mapping {
            builder = builder.extension("mappinguid", uuid.to_string());
        }
        builder
    }

    /// `window` names a batch without records: the last of a window, in which nothing had come since.
    fn stamp(&self, batch: &[Record], window: Option<(&Window, &str)>) -> Stamp {
        let window = window.filter(|_| batch.is_empty());
        let digest = digest(self.mapping, batch, window);
        let id = hex(&digest[..16]);
        let (parent, state) = match one_trace(batch) {
            Some(trace) => (trace.parent.clone(), trace.state.clone()),
            // Begun here: a sampled-out root whose trace id is the batch's, so attempts of one batch are one trace.
            None => (format!("00-{id}-{}-00", hex(&digest[16..24])), None),
        };
        let newest = batch.iter().map(|record| record.at).max();
        let newest = newest.or(window.map(|(window, _)| window.end)).unwrap_or(Timestamp::UNIX_EPOCH);
        let partition = self.partitioned.then(|| one_partition(batch)).flatten();
        let partition = partition.map(|partition| format!("{}-{partition}", self.subject));
        let precision = if newest.subsec_nanosecond() == 0 { 0 } else { 3 };
        Stamp { id, time: format!("{newest:.precision$}"), parent, state, partition }
    }
}

/// What differs from batch to batch.
struct Stamp {
    id: String,
    time: String,
    parent: String,
    state: Option<String>,
    partition: Option<String>,
}

/// The events of one mapping as headers (binary mode), made without the event: per batch it would cost more than the
/// engine's own work.
pub struct Headers {
    envelope: Envelope,
    fixed: HeaderMap,
}

impl Headers {
    /// The event source's ARN.
    pub fn source(&self) -> &str {
        &self.envelope.source
    }

    /// The headers of one batch: those of [`Envelope::event`]. With its tumbling window and the shard's name, if it has one.
    pub fn of(&self, batch: &[Record], window: Option<(&Window, &str)>) -> HeaderMap {
        let stamp = self.envelope.stamp(batch, window);
        let mut headers = self.fixed.clone();
        headers.insert(HeaderName::from_static("ce-id"), printable(stamp.id));
        headers.insert(HeaderName::from_static("ce-time"), printable(stamp.time));
        // Overrides are among the fixed ones, and stay.
        let mut extension = |name, value: String| {
            headers.entry(HeaderName::from_static(name)).or_insert_with(|| printable(value));
        };
        extension("ce-traceparent", stamp.parent);
        if let Some(state) = stamp.state {
            extension("ce-tracestate", klr_host::cloudevent::encoded(&state));
        }
        if let Some(partition) = stamp.partition {
            extension("ce-partitionkey", klr_host::cloudevent::encoded(&partition));
        }
        headers
    }
}

fn printable(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("hex, times and percent-encoded text are printable ASCII")
}

/// A hash of mapping and record identifiers. Receipts and epochs are left out: they change with every delivery.
fn digest(mapping: Option<Uuid>, batch: &[Record], window: Option<(&Window, &str)>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(mapping.unwrap_or_default());
    if let Some((window, shard)) = window {
        hash.update(shard);
        hash.update(window.start.as_millisecond().to_be_bytes());
    }
    for record in batch {
        match &record.place {
            Place::Item { id, .. } => hash.update(id),
            Place::At { partition, position: Position::Offset(offset), .. } => {
                hash.update(partition.index.to_be_bytes());
                hash.update(offset.to_be_bytes());
            }
            // A shard's number is another one after a restart; its sequence numbers are not.
            Place::At { position: Position::Opaque(bytes), .. } => hash.update(bytes),
        }
        hash.update([0]);
    }
    hash.finalize().into()
}

/// The id of a batch's event, as a UUID: a request id, where one is wanted.
pub(super) fn request_id(mapping: Uuid, batch: &[Record]) -> Uuid {
    Uuid::from_slice(&digest(Some(mapping), batch, None)[..16]).expect("sixteen bytes are a UUID")
}

/// The trace all records are part of.
fn one_trace(batch: &[Record]) -> Option<&Trace> {
    let first = batch.first()?.trace.as_deref()?;
    batch.iter().all(|record| record.trace.as_deref() == Some(first)).then_some(first)
}

fn one_partition(batch: &[Record]) -> Option<u32> {
    let mut indices = batch.iter().map(|record| match &record.place {
        Place::At { partition, .. } => Some(partition.index),
        Place::Item { .. } => None,
    });
    let first = indices.next()??;
    indices.all(|index| index == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use cloudevents::AttributesReader;
    use klr_contract::Partition;

    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            source: "arn:aws:kafka:us-east-1:1:cluster/c/1".into(),
            kind: "com.amazonaws.kafka.batch".into(),
            subject: "orders".into(),
            function_name: Some("process-orders".into()),
            mapping: Some(Uuid::nil()),
            partitioned: true,
            overrides: vec![("team".into(), "blue".into())],
        }
    }

    fn record(index: u32, epoch: u32, offset: i64) -> Record {
        let partition = Partition { index, epoch };
        let place = Place::At { partition, position: Position::Offset(offset), key: 0 };
        Record { json: Ok("".into()), place, at: Timestamp::from_second(offset).unwrap(), trace: None }
    }

    /// Nothing is in it that could name it.
    #[test]
    fn the_last_of_a_window_is_told_from_that_of_another() {
        let window = |start: i64| Window {
            start: Timestamp::from_second(start).unwrap(),
            end: Timestamp::from_second(start + 60).unwrap(),
            state: "{}".into(),
            is_final: true,
            terminated_early: false,
        };
        let headers = envelope().headers().unwrap();
        let (first, second) = (window(0), window(60));
        let of =
            [(&first, "s-0"), (&first, "s-1"), (&second, "s-0")].map(|window| headers.of(&[], Some(window)));
        let ids: std::collections::BTreeSet<_> = of.iter().map(|headers| headers["ce-id"].clone()).collect();
        assert_eq!(ids.len(), 3);
        assert_eq!(of[2]["ce-time"], "1970-01-01T00:02:00Z");
        assert_eq!(headers.of(&[], Some((&first, "s-0"))), of[0], "the same has the same");
        let batch = [record(3, 1, 7)];
        assert_eq!(headers.of(&batch, Some((&first, "s-0"))), headers.of(&batch, None), "records name it");
    }

    #[test]
    fn the_same_batch_has_the_same_id_and_another_has_another() {
        let id = |batch: &[Record]| envelope().event(batch).unwrap().id().to_owned();
        assert_eq!(id(&[record(0, 1, 7), record(0, 1, 8)]), id(&[record(0, 9, 7), record(0, 9, 8)]));
        assert_ne!(id(&[record(0, 1, 7)]), id(&[record(1, 1, 7)]));
        assert_ne!(id(&[record(0, 1, 7)]), id(&[record(0, 1, 7), record(0, 1, 8)]));
    }

    #[test]
    fn attributes_are_the_designs() {
        let event = envelope().event(&[record(3, 1, 7), record(3, 1, 9)]).unwrap();
        assert_eq!(event.ty(), "com.amazonaws.kafka.batch");
        assert_eq!(event.subject(), Some("orders"));
        assert_eq!(event.time().unwrap().timestamp(), 9);
        let extension = |name: &str| event.extension(name).map(ToString::to_string);
        assert_eq!(extension("functionname").as_deref(), Some("process-orders"));
        assert_eq!(extension("partitionkey").as_deref(), Some("orders-3"));
        assert_eq!(extension("team").as_deref(), Some("blue"));
        let mixed = envelope().event(&[record(3, 1, 7), record(4, 1, 9)]).unwrap();
        assert!(mixed.extension("partitionkey").is_none());
    }

    #[test]
    fn headers_are_those_of_the_event() {
        let millis = Record { at: Timestamp::from_millisecond(1_500).unwrap(), ..record(3, 1, 1) };
        let traced = |parent: &str, state: &[u8]| Record {
            trace: Trace::w3c(parent.as_bytes(), Some(state)),
            ..record(3, 1, 1)
        };
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let other = "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-01";
        let tracer = Envelope { overrides: vec![("traceparent".into(), other.into())], ..envelope() };
        for (envelope, batch) in [
            (envelope(), vec![record(3, 1, 7), record(3, 1, 9)]),
            (envelope(), vec![record(3, 1, 7), record(4, 1, 9), millis]),
            (Envelope { subject: "größe 1%".into(), ..envelope() }, vec![traced(parent, b"a=1 %")]),
            (tracer, vec![traced(parent, b"a=1")]),
        ] {
            let event = envelope.event(&batch).unwrap();
            let expected = klr_host::cloudevent::binary_headers(&event).unwrap();
            assert_eq!(envelope.headers().unwrap().of(&batch, None), expected);
        }
    }

    #[test]
    fn a_trace_all_records_share_goes_on() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let traced = || Record { trace: Trace::w3c(parent.as_bytes(), None), ..record(3, 1, 1) };
        let told = |batch: &[Record]| {
            let event = envelope().event(batch).unwrap();
            event.extension("traceparent").unwrap().to_string()
        };
        assert_eq!(told(&[traced(), traced()]), parent);
        assert_ne!(told(&[traced(), record(3, 1, 2)]), parent);
    }
}
