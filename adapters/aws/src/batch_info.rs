//! What a failure record says of the records of a stream's shard. Pure.

use bytes::Bytes;
use jiff::Timestamp;
use klr_contract::{Place, Position, Record};
use serde::Serialize;

/// `KinesisBatchInfo` or `DDBStreamBatchInfo`, of one mapping. They differ in their names, and in how exact their times are.
#[derive(Debug, Clone)]
pub struct BatchInfo {
    name: &'static str,
    arn: String,
    /// Digits of a second.
    precision: usize,
}

impl BatchInfo {
    /// Of a data stream, by its own ARN (not a consumer's).
    pub fn kinesis(stream_arn: impl Into<String>) -> Self {
        Self { name: "KinesisBatchInfo", arn: stream_arn.into(), precision: 3 }
    }

    /// Of a table's stream. AWS: its times are whole seconds.
    pub fn dynamodb(stream_arn: impl Into<String>) -> Self {
        Self { name: "DDBStreamBatchInfo", arn: stream_arn.into(), precision: 0 }
    }

    fn time(&self, at: Timestamp) -> String {
        let precision = self.precision;
        format!("{at:.precision$}")
    }
}

impl klr_contract::BatchInfo for BatchInfo {
    fn name(&self) -> &'static str {
        self.name
    }

    fn of_batch(&self, batch: &[Record], partition: &str, _: usize) -> Bytes {
        let (first, last) = (batch.first(), batch.last());
        let time = |record: Option<&Record>| record.map(|record| self.time(record.at)).unwrap_or_default();
        let info = Info {
            shard_id: partition,
            start_sequence_number: first.map(sequence_number).unwrap_or_default(),
            end_sequence_number: last.map(sequence_number).unwrap_or_default(),
            approximate_arrival_of_first_record: time(first),
            approximate_arrival_of_last_record: time(last),
            batch_size: batch.len(),
            stream_arn: &self.arn,
        };
        serde_json::to_vec(&info).expect("text and numbers always serialise").into()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info<'a> {
    shard_id: &'a str,
    start_sequence_number: &'a str,
    end_sequence_number: &'a str,
    approximate_arrival_of_first_record: String,
    approximate_arrival_of_last_record: String,
    batch_size: usize,
    stream_arn: &'a str,
}

/// What stands before the part of an aggregate, where a position has one.
fn sequence_number(record: &Record) -> &str {
    let Place::At { position: Position::Opaque(position), .. } = &record.place else { return "" };
    let number = position.split(|byte| *byte == b':').next().unwrap_or_default();
    std::str::from_utf8(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use klr_contract::{BatchInfo as _, Partition};

    use super::*;

    fn record(position: &'static str, at: &str) -> Record {
        Record {
            json: Ok("{}".into()),
            place: Place::At {
                partition: Partition { index: 0, epoch: 1 },
                position: Position::Opaque(Bytes::from_static(position.as_bytes())),
                key: 0,
            },
            at: at.parse().unwrap(),
            trace: None,
        }
    }

    #[test]
    fn both_spellings_byte_for_byte() {
        let batch = [record("12", "2019-11-14T00:13:19.040Z"), record("9876:3", "2019-11-14T00:13:19.56Z")];
        assert_eq!(
            BatchInfo::kinesis("arn").of_batch(&batch, "shardId-000000000001", 7),
            r#"{"shardId":"shardId-000000000001","startSequenceNumber":"12","endSequenceNumber":"9876","approximateArrivalOfFirstRecord":"2019-11-14T00:13:19.040Z","approximateArrivalOfLastRecord":"2019-11-14T00:13:19.560Z","batchSize":2,"streamArn":"arn"}"#
        );
        assert_eq!(
            BatchInfo::dynamodb("arn").of_batch(&batch, "s", 7),
            r#"{"shardId":"s","startSequenceNumber":"12","endSequenceNumber":"9876","approximateArrivalOfFirstRecord":"2019-11-14T00:13:19Z","approximateArrivalOfLastRecord":"2019-11-14T00:13:19Z","batchSize":2,"streamArn":"arn"}"#
        );
    }
}
