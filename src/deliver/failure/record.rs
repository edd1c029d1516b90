//! The failure record, as AWS writes it (spec/esm.md §10). Pure.

use std::sync::Arc;

use bytes::{BufMut, Bytes};
use jiff::Timestamp;
use klr_contract::{BatchInfo, FailureRecord, Record, Shape};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    deliver::cloudevent,
    mapping::{Failure, next::GivenUp},
};

/// What all failure records of one mapping share.
pub struct Template {
    /// The function's ARN, qualified if the mapping names a version or alias.
    pub function_arn: String,
    /// The mapping's own id.
    pub mapping: Uuid,
    /// Which form the destination gets.
    pub form: Form,
    /// Makes the payload.
    pub shape: Arc<dyn Shape>,
    /// Says which records it is about.
    pub info: Arc<dyn BatchInfo>,
}

/// What a destination gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// One record for what is given up of a batch.
    #[default]
    Batch,
    /// One for each record (AWS: Kafka topics). The function's ARN is qualified then.
    Each(Exhausted),
}

/// How a record that goes to a Kafka topic says that its retries are used up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Exhausted {
    /// As in AWS's only sample, which nobody has seen live.
    #[default]
    RetriesExhausted,
    /// As everywhere else.
    RetryAttemptsExhausted,
}

impl Template {
    /// The record of a whole failure.
    pub fn batch(&self, failure: &Failure, partition: &str, now: Timestamp) -> FailureRecord {
        let records = &failure.records[..];
        let payload = self.payload(records);
        let info = self.info.of_batch(records, partition, payload.as_ref().map_or(0, Bytes::len));
        self.record(failure, partition, now, payload, &info)
    }

    /// The record of one of its records.
    pub fn one(&self, failure: &Failure, index: usize, partition: &str, now: Timestamp) -> FailureRecord {
        let record = &failure.records[index];
        let payload = self.payload(std::slice::from_ref(record));
        let info = self.info.of_record(record, partition, payload.as_ref().map_or(0, Bytes::len));
        let key = self.info.key(record);
        FailureRecord { key, ..self.record(failure, partition, now, payload, &info) }
    }

    /// The event; none if a record of it could not be shaped.
    fn payload(&self, records: &[Record]) -> Option<Bytes> {
        records.iter().all(|record| record.json.is_ok()).then(|| self.shape.event(records))
    }

    fn record(
        &self,
        failure: &Failure,
        partition: &str,
        timestamp: Timestamp,
        payload: Option<Bytes>,
        info: &[u8],
    ) -> FailureRecord {
        let of_batch = || cloudevent::request_id(self.mapping, &failure.records);
        let request_id = failure.tries.request.unwrap_or_else(of_batch).to_string();
        let document = Document {
            request_context: RequestContext {
                request_id: &request_id,
                function_arn: self.function_arn(),
                condition: self.condition(failure),
                // AWS: 1 even if the function has never seen the records.
                approximate_invoke_count: failure.tries.attempts.max(1),
            },
            response_context: self.response_context(failure),
            version: "1.0",
            timestamp: format!("{timestamp:.3}"),
        };
        let mut json = serde_json::to_vec(&document).expect("text and numbers always serialise");
        json.pop();
        json.put_slice(format!(r#","{}":"#, self.info.name()).as_bytes());
        json.put_slice(info);
        json.put_u8(b'}');
        let (mapping, shard) = (self.mapping.to_string(), partition.to_owned());
        FailureRecord { json: json.into(), payload, request_id, mapping, shard, timestamp, key: None }
    }

    fn function_arn(&self) -> String {
        match (self.form, qualifier(&self.function_arn)) {
            (Form::Each(_), None) => format!("{}:$LATEST", self.function_arn),
            _ => self.function_arn.clone(),
        }
    }

    fn condition<'a>(&self, failure: &'a Failure) -> &'a str {
        match failure.why {
            GivenUp::RetryAttemptsExhausted if self.form == Form::Each(Exhausted::RetriesExhausted) => {
                "RetriesExhausted"
            }
            GivenUp::RetryAttemptsExhausted => "RetryAttemptsExhausted",
            GivenUp::RecordAgeExceeded => "RecordAgeExceeded",
            GivenUp::MaximumPayloadSizeExceeded => "MaximumPayloadSizeExceeded",
            // Its own reason: `SCHEMA_NOT_FOUND`, `DESERIALIZATION_ERROR`.
            GivenUp::Unreadable => {
                let reason = failure.records.iter().find_map(|record| record.json.as_ref().err());
                reason.map_or("DESERIALIZATION_ERROR", |reason| &reason.0)
            }
        }
    }

    /// `None`: there is no such member. `Some(None)`: it is null.
    fn response_context(&self, failure: &Failure) -> Option<Option<ResponseContext>> {
        match failure.why {
            GivenUp::RetryAttemptsExhausted => Some(Some(ResponseContext {
                status_code: 200,
                executed_version: version(&self.function_arn).to_owned(),
                // AWS: null when it were partial batch responses that used the retries up.
                function_error: (!failure.tries.reported).then_some("Unhandled"),
            })),
            GivenUp::RecordAgeExceeded => None,
            // The function has not answered.
            GivenUp::MaximumPayloadSizeExceeded | GivenUp::Unreadable => Some(None),
        }
    }
}

/// What stands behind `arn:aws:lambda:REGION:ACCOUNT:function:NAME:`.
fn qualifier(function_arn: &str) -> Option<&str> {
    function_arn.splitn(8, ':').nth(7)
}

/// The version behind an alias is not known here.
fn version(function_arn: &str) -> &str {
    let is_version = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
    qualifier(function_arn).filter(is_version).unwrap_or("$LATEST")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    request_context: RequestContext<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_context: Option<Option<ResponseContext>>,
    version: &'a str,
    timestamp: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    request_id: &'a str,
    function_arn: String,
    condition: &'a str,
    approximate_invoke_count: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseContext {
    status_code: u16,
    executed_version: String,
    function_error: Option<&'static str>,
}
