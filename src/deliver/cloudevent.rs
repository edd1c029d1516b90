//! The CloudEvent a batch travels as (design.md §5).

use std::fmt::Write as _;

use cloudevents::{Event, EventBuilder, EventBuilderV10};
use jiff::Timestamp;
use klr_contract::{Place, Position, Record};
use sha2::{Digest, Sha256};
use uuid::Uuid;

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
    pub fn event(&self, batch: &[Record]) -> Result<Event, cloudevents::event::EventBuilderError> {
        let digest = self.digest(batch);
        let mut builder = EventBuilderV10::new()
            .id(hex(&digest[..16]))
            .source(&self.source)
            .ty(&self.kind)
            .subject(&self.subject)
            .time(newest(batch).to_string())
            // Begun here: a sampled-out root whose trace id is the batch's, so attempts of one batch are one trace.
            .extension("traceparent", format!("00-{}-{}-00", hex(&digest[..16]), hex(&digest[16..24])));
        if let Some(name) = &self.function_name {
            builder = builder.extension("functionname", name.as_str());
        }
        if let Some(uuid) = &self.mapping {
            builder = builder.extension("mappinguid", uuid.to_string());
        }
        if let Some(partition) = self.partitioned.then(|| one_partition(batch)).flatten() {
            builder = builder.extension("partitionkey", format!("{}-{partition}", self.subject));
        }
        for (name, value) in &self.overrides {
            builder = builder.extension(name, value.as_str());
        }
        builder.build()
    }

    /// A hash of mapping and record identifiers. Receipts and epochs are left out: they change with every delivery.
    fn digest(&self, batch: &[Record]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.mapping.unwrap_or_default());
        for record in batch {
            match &record.place {
                Place::Item { id, .. } => hash.update(id),
                Place::At { partition, position, .. } => {
                    hash.update(partition.index.to_be_bytes());
                    match position {
                        Position::Offset(offset) => hash.update(offset.to_be_bytes()),
                        Position::Opaque(bytes) => hash.update(bytes),
                    }
                }
            }
            hash.update([0]);
        }
        hash.finalize().into()
    }
}

fn newest(batch: &[Record]) -> Timestamp {
    batch.iter().map(|record| record.at).max().unwrap_or(Timestamp::UNIX_EPOCH)
}

fn one_partition(batch: &[Record]) -> Option<u32> {
    let mut indices = batch.iter().map(|record| match &record.place {
        Place::At { partition, .. } => Some(partition.index),
        Place::Item { .. } => None,
    });
    let first = indices.next()??;
    indices.all(|index| index == Some(first)).then_some(first)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
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
        Record { json: Ok(Bytes::new()), place, at: Timestamp::from_second(offset).unwrap() }
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
}
