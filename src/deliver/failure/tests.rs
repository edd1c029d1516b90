//! Every form a failure record has, byte for byte, and those that AWS was seen to write.

use bytes::Bytes;
use klr_contract::{Partition, Place, Position, Reason, Record};
use klr_kafka::Native;
use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::mapping::next::{GivenUp, Tries};

const NOW: &str = "2019-11-14T00:38:06.021Z";
const FUNCTION: &str = "arn:aws:lambda:us-east-2:123456789012:function:f";

fn failure(records: Vec<Record>, why: GivenUp, attempts: u32, reported: bool) -> Failure {
    Failure { records: Arc::new(records), why, tries: Tries { attempts, reported, ..Tries::default() } }
}

fn exhausted(records: Vec<Record>) -> Failure {
    failure(records, GivenUp::RetryAttemptsExhausted, 2, false)
}

fn streamed(sequence_number: &str, at: &str, json: &str) -> Record {
    Record {
        json: Ok(json.to_owned().into()),
        place: Place::At {
            partition: Partition { index: 0, epoch: 1 },
            position: Position::Opaque(Bytes::copy_from_slice(sequence_number.as_bytes())),
            key: 0,
        },
        at: at.parse().unwrap(),
        trace: None,
    }
}

/// Kinesis and DynamoDB join their records as SQS does.
fn streams(info: klr_aws::BatchInfo) -> Template {
    let (shape, info) = (Arc::new(klr_sqs::Shape), Arc::new(info));
    Template { function_arn: FUNCTION.to_owned(), mapping: Uuid::nil(), form: Form::Batch, shape, info }
}

fn kinesis() -> Template {
    streams(klr_aws::BatchInfo::kinesis("arn:aws:kinesis:us-east-2:123456789012:stream/s"))
}

fn topic(partition: i32, offset: i64, key: Option<&[u8]>, value: &[u8]) -> Record {
    let native = Native {
        topic: "Topic",
        partition,
        offset,
        timestamp: 1_573_691_884_835 + offset,
        timestamp_type: klr_kafka::TimestampType::CreateTime,
        key,
        value: Some(value),
        headers: std::iter::empty(),
    };
    klr_kafka::Shape::record(native, 1)
}

fn kafka(form: Form, arn: Option<&str>) -> Template {
    let config = klr_kafka::Config {
        bootstrap: vec!["b-1:9098".to_owned(), "b-2:9098".to_owned()],
        topic: "Topic".to_owned(),
        group: "g".to_owned(),
        start: klr_kafka::Start::TrimHorizon,
        arn: arn.map(str::to_owned),
        security: klr_kafka::Security::default(),
        registry: None,
        drain_timeout: std::time::Duration::ZERO,
        once: false,
    };
    let shape = Arc::new(klr_kafka::Shape::new(&config));
    let info = Arc::new(klr_kafka::BatchInfo::new(&config));
    Template { function_arn: FUNCTION.to_owned(), mapping: Uuid::nil(), form, shape, info }
}

/// The record, less the id, which is a hash.
fn text(record: &FailureRecord, json: &[u8]) -> String {
    std::str::from_utf8(json).unwrap().replace(&record.request_id, "ID")
}

fn batch(template: &Template, failure: &Failure, partition: &str) -> String {
    let record = template.batch(failure, partition, NOW.parse().unwrap());
    assert_eq!(record.shard, partition);
    text(&record, &record.json)
}

fn one(template: &Template, failure: &Failure) -> (Option<Bytes>, String) {
    let record = template.one(failure, 0, "Topic-0", NOW.parse().unwrap());
    (record.key.clone(), text(&record, &record.with_object()))
}

#[test]
fn of_kinesis() {
    let records = vec![
        streamed(
            "49601189658422359378836298521827638475320189012309704722",
            "2019-11-14T00:38:04.835Z",
            "{}",
        ),
        streamed(
            "49601189658422359378836298522902373528957594348623495186",
            "2019-11-14T00:38:05.580Z",
            "{}",
        ),
    ];
    let kinesis = kinesis();
    assert_eq!(
        batch(&kinesis, &exhausted(records.clone()), "shardId-000000000001"),
        r#"{"requestContext":{"requestId":"ID","functionArn":"arn:aws:lambda:us-east-2:123456789012:function:f","condition":"RetryAttemptsExhausted","approximateInvokeCount":2},"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},"version":"1.0","timestamp":"2019-11-14T00:38:06.021Z","KinesisBatchInfo":{"shardId":"shardId-000000000001","startSequenceNumber":"49601189658422359378836298521827638475320189012309704722","endSequenceNumber":"49601189658422359378836298522902373528957594348623495186","approximateArrivalOfFirstRecord":"2019-11-14T00:38:04.835Z","approximateArrivalOfLastRecord":"2019-11-14T00:38:05.580Z","batchSize":2,"streamArn":"arn:aws:kinesis:us-east-2:123456789012:stream/s"}}"#
    );
    let record = kinesis.batch(&exhausted(records), "s", NOW.parse().unwrap());
    assert!(record.with_text().ends_with(br#""streamArn":"arn:aws:kinesis:us-east-2:123456789012:stream/s"},"payload":"{\"Records\":[{},{}]}"}"#));
}

#[test]
fn of_dynamodb_that_grew_too_old() {
    let arn = "arn:aws:dynamodb:us-east-2:123456789012:table/t/stream/2019-11-14T00:13:19.000";
    let records = vec![streamed("800000000003126276362", "2019-11-14T00:13:19.9Z", "{}")];
    assert_eq!(
        batch(
            &streams(klr_aws::BatchInfo::dynamodb(arn)),
            &failure(records, GivenUp::RecordAgeExceeded, 0, false),
            "shardId-1"
        ),
        r#"{"requestContext":{"requestId":"ID","functionArn":"arn:aws:lambda:us-east-2:123456789012:function:f","condition":"RecordAgeExceeded","approximateInvokeCount":1},"version":"1.0","timestamp":"2019-11-14T00:38:06.021Z","DDBStreamBatchInfo":{"shardId":"shardId-1","startSequenceNumber":"800000000003126276362","endSequenceNumber":"800000000003126276362","approximateArrivalOfFirstRecord":"2019-11-14T00:13:19Z","approximateArrivalOfLastRecord":"2019-11-14T00:13:19Z","batchSize":1,"streamArn":"arn:aws:dynamodb:us-east-2:123456789012:table/t/stream/2019-11-14T00:13:19.000"}}"#
    );
}

#[test]
fn of_kafka() {
    let records = vec![topic(1, 7, None, b"a"), topic(0, 100, Some(b"k"), b"b"), topic(1, 9, None, b"c")];
    let payload = 533;
    let expected = format!(
        r#"{{"requestContext":{{"requestId":"ID","functionArn":"arn:aws:lambda:us-east-2:123456789012:function:f","condition":"RetryAttemptsExhausted","approximateInvokeCount":2}},"responseContext":{{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"}},"version":"1.0","timestamp":"2019-11-14T00:38:06.021Z","KafkaBatchInfo":{{"batchSize":3,"eventSourceArn":"arn:aws:kafka:x","bootstrapServers":"b-1:9098,b-2:9098","payloadSize":{payload},"recordsInfo":{{"Topic-1":{{"firstRecordOffset":"7","lastRecordOffset":"9","firstRecordTimestamp":"2019-11-14T00:38:04.842Z","lastRecordTimestamp":"2019-11-14T00:38:04.844Z"}},"Topic-0":{{"firstRecordOffset":"100","lastRecordOffset":"100","firstRecordTimestamp":"2019-11-14T00:38:04.935Z","lastRecordTimestamp":"2019-11-14T00:38:04.935Z"}}}}}}}}"#
    );
    let msk = kafka(Form::Batch, Some("arn:aws:kafka:x"));
    assert_eq!(msk.shape.event(&records).len(), payload);
    assert_eq!(batch(&msk, &exhausted(records.clone()), "Topic-1"), expected);
    // A cluster of one's own has no ARN, and another name in the event.
    let own = batch(&kafka(Form::Batch, None), &exhausted(records), "Topic-1");
    assert!(own.contains(r#""batchSize":3,"bootstrapServers":"b-1:9098,b-2:9098","payloadSize":"#), "{own}");
}

#[test]
fn of_kafka_for_a_topic() {
    let records = vec![topic(0, 100, Some(b"\0k"), b"v"), topic(0, 101, None, b"w")];
    let template = kafka(Form::Each(Exhausted::default()), Some("arn:aws:kafka:x"));
    let (key, text) = one(&template, &exhausted(records.clone()));
    assert_eq!(key.as_deref(), Some(&b"\0k"[..]));
    assert_eq!(
        text,
        r#"{"requestContext":{"requestId":"ID","functionArn":"arn:aws:lambda:us-east-2:123456789012:function:f:$LATEST","condition":"RetriesExhausted","approximateInvokeCount":2},"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},"version":"1.0","timestamp":"2019-11-14T00:38:06.021Z","KafkaBatchInfo":{"batchSize":1,"eventSourceArn":"arn:aws:kafka:x","bootstrapServers":"b-1:9098,b-2:9098","payloadSize":267,"recordInfo":{"offset":"100","timestamp":"2019-11-14T00:38:04.935Z"}},"payload":{"eventSource":"aws:kafka","eventSourceArn":"arn:aws:kafka:x","bootstrapServers":"b-1:9098,b-2:9098","records":{"Topic-0":[{"topic":"Topic","partition":0,"offset":100,"timestamp":1573691884935,"timestampType":"CREATE_TIME","key":"AGs=","value":"dg==","headers":[]}]}}}"#
    );
    let unkeyed = exhausted(records[1..].to_vec());
    assert_eq!(one(&template, &unkeyed).0, None);
    let as_elsewhere = kafka(Form::Each(Exhausted::RetryAttemptsExhausted), None);
    assert!(one(&as_elsewhere, &unkeyed).1.contains(r#""condition":"RetryAttemptsExhausted""#));
}

#[test]
fn what_the_function_has_not_answered_has_no_response() {
    let kafka = kafka(Form::Batch, None);
    let large = failure(vec![topic(0, 1, None, b"x")], GivenUp::MaximumPayloadSizeExceeded, 0, false);
    let text = batch(&kafka, &large, "Topic-0");
    assert!(text.contains(
        r#""condition":"MaximumPayloadSizeExceeded","approximateInvokeCount":1},"responseContext":null,"#
    ));
    let mut record = topic(3, 5, None, b"x");
    record.json = Err(Reason("SCHEMA_NOT_FOUND".to_owned()));
    let unreadable = failure(vec![record], GivenUp::Unreadable, 0, false);
    let record = kafka.batch(&unreadable, "Topic-3", NOW.parse().unwrap());
    let text = text_of(&record);
    assert!(
        text.contains(
            r#""condition":"SCHEMA_NOT_FOUND","approximateInvokeCount":1},"responseContext":null,"#
        )
    );
    assert!(text.contains(r#""payloadSize":0,"recordsInfo":{"Topic-3":{"firstRecordOffset":"5","#));
    assert!(text.ends_with(r#","payload":null}"#), "{text}");
}

fn text_of(record: &FailureRecord) -> String {
    text(record, &record.with_text())
}

#[test]
fn a_version_is_told_and_an_alias_is_not() {
    let version = |qualifier: &str| {
        let function_arn = format!("{FUNCTION}:{qualifier}");
        let template =
            Template { function_arn, form: Form::Each(Exhausted::default()), ..kafka(Form::Batch, None) };
        let (_, text) = one(&template, &exhausted(vec![topic(0, 1, None, b"x")]));
        assert!(text.contains(&format!(r#"function:f:{qualifier}","#)), "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        value["responseContext"]["executedVersion"].as_str().unwrap().to_owned()
    };
    assert_eq!((version("7"), version("prod")), ("7".to_owned(), "$LATEST".to_owned()));
}

/// What was done in each recording (fixtures/esm-snapshots/README.md), and so what our engine hands over.
const RECORDED: [(&str, GivenUp, u32, bool); 10] = {
    use GivenUp::{RecordAgeExceeded, RetryAttemptsExhausted};
    [
        (
            "kinesis/kinesis-event-source-mapping-with-on-failure-destination-config",
            RetryAttemptsExhausted,
            2,
            false,
        ),
        ("kinesis/kinesis-report-batch-item-failures", RetryAttemptsExhausted, 4, true),
        (
            "kinesis/kinesis-report-batch-item-failure-scenarios-item-identifier-not-presen",
            RetryAttemptsExhausted,
            3,
            true,
        ),
        (
            "kinesis/kinesis-report-batch-item-failure-scenarios-null-item-identifier-failu",
            RetryAttemptsExhausted,
            3,
            true,
        ),
        (
            "kinesis/kinesis-report-batch-item-failure-scenarios-unhandled-exception-in-fun",
            RetryAttemptsExhausted,
            3,
            false,
        ),
        ("kinesis/kinesis-maximum-record-age-exceeded-expire-while-retrying", RecordAgeExceeded, 8, false),
        (
            "dynamodb/dynamodb-event-source-mapping-with-sns-on-failure-destination-config",
            RetryAttemptsExhausted,
            2,
            false,
        ),
        (
            "dynamodb/dynamodb-event-source-mapping-with-s3-on-failure-destination",
            RetryAttemptsExhausted,
            2,
            false,
        ),
        (
            "dynamodb/dynamodb-report-batch-item-failure-scenarios-invalid-key-foo-failure",
            RetryAttemptsExhausted,
            4,
            true,
        ),
        (
            "dynamodb/dynamodb-report-batch-item-failure-scenarios-unhandled-exception-in-fu",
            RetryAttemptsExhausted,
            4,
            false,
        ),
    ]
};

#[test]
fn recorded_by_aws() {
    let Some(fixtures) = klr_test_support::fixtures() else { return };
    for (name, why, attempts, reported) in RECORDED {
        let path = fixtures.join("esm-snapshots").join(format!("{name}.json"));
        let recorded = std::fs::read_to_string(path).unwrap();
        // The mask of a time says how the time was written; that of a number has a colon, which no number has.
        let unmasked = recorded.replace("sequence-number:", "sequence-number-").replace("<timestamp:", "");
        let unmasked = unmasked.replace("Z>\"", "Z\"");
        let expected = find(&serde_json::from_str(&unmasked).unwrap()).unwrap();
        assert_eq!(ours(&expected, why, attempts, reported), expected, "{name}");
    }
}

/// The failure record in a recording.
fn find(value: &Value) -> Option<Value> {
    match value {
        Value::Object(object) if object.contains_key("requestContext") => Some(value.clone()),
        Value::Object(object) => object.values().find_map(find),
        Value::Array(array) => array.iter().find_map(find),
        _ => None,
    }
}

/// Ours for the same batch of one, with the id that AWS gave.
fn ours(expected: &Value, why: GivenUp, attempts: u32, reported: bool) -> Value {
    let kinesis = expected.get("KinesisBatchInfo");
    let info = kinesis.unwrap_or_else(|| &expected["DDBStreamBatchInfo"]);
    let member = |name: &str| info[name].as_str().unwrap();
    let batch_info = match kinesis {
        Some(_) => klr_aws::BatchInfo::kinesis(member("streamArn")),
        None => klr_aws::BatchInfo::dynamodb(member("streamArn")),
    };
    let function_arn = expected["requestContext"]["functionArn"].as_str().unwrap().to_owned();
    let template = Template { function_arn, ..streams(batch_info) };
    let fragment = expected.get("payload").map_or(Value::Null, |payload| payload["Records"][0].clone());
    let at = member("approximateArrivalOfFirstRecord");
    let record = streamed(member("startSequenceNumber"), at, &fragment.to_string());
    let now = expected["timestamp"].as_str().unwrap().parse().unwrap();
    let record = template.batch(&failure(vec![record], why, attempts, reported), member("shardId"), now);
    let mut ours: Value = serde_json::from_slice(&record.json).unwrap();
    if expected.get("payload").is_some() {
        ours = serde_json::from_slice(&record.with_text()).unwrap();
        // Text on the wire; the recorder shows what was in it.
        ours["payload"] = serde_json::from_str(ours["payload"].as_str().unwrap()).unwrap();
    }
    ours["requestContext"]["requestId"] = expected["requestContext"]["requestId"].clone();
    ours
}
