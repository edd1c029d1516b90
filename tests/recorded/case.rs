//! A recording of a stream's mapping, read as a script: what to put, how the function is to behave, what has to follow.
//!
//! A file says what AWS answered, delivered and gave up, not what the test did: that follows from it. A record that was
//! delivered again, or given up, was one the function failed on; how it failed says the failure record, or the test's name.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

/// A recording that can be played.
#[derive(Debug)]
pub struct Case {
    /// As `CreateEventSourceMapping` answered it; without that, what the rest implies.
    pub mapping: Value,
    /// The records, in the order they were put.
    pub put: Vec<Value>,
    /// How many of them, the first ones, were too old when the mapping came.
    pub stale: usize,
    pub function: Function,
    pub deliveries: Deliveries,
    /// What went to the on-failure destination.
    pub failures: Vec<Failure>,
}

/// What AWS delivered.
#[derive(Debug)]
pub enum Deliveries {
    /// Not recorded.
    Unknown,
    /// Invocation by invocation.
    Events(Vec<Value>),
    /// All records of all invocations, in order of their partition keys.
    Records(Vec<Value>),
}

/// What arrived at the destination.
#[derive(Debug, Clone)]
pub enum Failure {
    Queue(Value),
    Topic(Value),
    Bucket(Value),
}

impl Failure {
    /// The failure record in it.
    pub fn record(&self) -> &Value {
        match self {
            Self::Topic(notification) => &notification["Message"],
            Self::Queue(record) | Self::Bucket(record) => record,
        }
    }
}

/// How the function behaved.
#[derive(Debug, Clone)]
pub struct Function {
    /// On how many deliveries of each record it failed, by the record's mask; the rest ended well.
    fails: BTreeMap<String, usize>,
    /// Of records that were put and whose deliveries were not recorded.
    pub fails_always: bool,
    pub how: How,
}

/// What it answered.
#[derive(Debug, Clone, PartialEq)]
pub enum How {
    /// An exception, where it fails.
    Raises,
    /// A list of what it failed on.
    Reports,
    /// This, whatever it got.
    Answers(Value),
}

/// Of a recorded file: the script, or why there is none.
pub fn read(path: &Path) -> Result<Case, String> {
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let file: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let test = file["test"].as_str().ok_or("no test id")?;
    let content = file["recorded-content"].as_object().ok_or("no content")?;
    let mapping = content.values().find(|value| value.get("BatchSize").is_some());
    if mapping.is_some_and(|mapping| mapping.get("FilterCriteria").is_some()) {
        return Err("a filter's case, and what it kept out was not recorded: tests of the filters".to_owned());
    }
    let deliveries = deliveries(content.values());
    let failures: Vec<Failure> = content.values().flat_map(failures).collect();
    if matches!(deliveries, Deliveries::Unknown) && failures.is_empty() {
        return Err("nothing was delivered: what the control plane's API answered".to_owned());
    }
    let put = put(&deliveries, &failures);
    let stale = put.iter().filter(|record| record.get("stale").is_some()).count();
    let function = function(test, &deliveries, &failures);
    let mapping = mapping.cloned().unwrap_or_else(|| implied(test, &deliveries, &failures));
    Ok(Case { mapping, put, stale, function, deliveries, failures })
}

fn deliveries<'a>(content: impl Iterator<Item = &'a Value>) -> Deliveries {
    let event = |value: &Value| {
        let event = value.get("event").unwrap_or(value);
        event.get("Records").is_some_and(Value::is_array).then(|| event.clone())
    };
    for value in content {
        let events = value.as_array().and_then(|list| list.iter().map(event).collect::<Option<Vec<_>>>());
        if let Some(events) = events.filter(|events| !events.is_empty()) {
            return Deliveries::Events(events);
        }
        if let Some(Value::Array(records)) = value.get("Records") {
            return Deliveries::Records(records.clone());
        }
    }
    Deliveries::Unknown
}

fn failures(value: &Value) -> Vec<Failure> {
    let is_record = |value: &Value| value.get("requestContext").is_some() && info(value).is_some();
    if is_record(value) {
        return vec![Failure::Bucket(value.clone())];
    }
    if value.get("Message").is_some_and(is_record) {
        return vec![Failure::Topic(value.clone())];
    }
    let messages = value.get("Messages").and_then(Value::as_array).into_iter().flatten();
    let body = |message: &Value| match &message["Body"] {
        body if is_record(body) => Some(Failure::Queue(body.clone())),
        body if body.get("Message").is_some_and(is_record) => Some(Failure::Topic(body.clone())),
        _ => None,
    };
    messages.filter_map(body).collect()
}

/// What a failure record says of its records.
pub fn info(record: &Value) -> Option<&Value> {
    record.get("KinesisBatchInfo").or_else(|| record.get("DDBStreamBatchInfo"))
}

fn records(deliveries: &Deliveries) -> Vec<&Value> {
    match deliveries {
        Deliveries::Unknown => Vec::new(),
        Deliveries::Records(records) => records.iter().collect(),
        Deliveries::Events(events) => {
            events.iter().flat_map(|event| event["Records"].as_array().into_iter().flatten()).collect()
        }
    }
}

/// What tells a record from others: its sequence number.
pub fn number(record: &Value) -> &str {
    let number = record["kinesis"]["sequenceNumber"].as_str();
    number.or_else(|| record["dynamodb"]["SequenceNumber"].as_str()).unwrap_or_default()
}

/// The recorded records, each once; where nothing tells how they looked, some of our own. The function never saw those that
/// were given up for their age with the first invocation still to come.
fn put(deliveries: &Deliveries, failures: &[Failure]) -> Vec<Value> {
    let mut put: Vec<Value> = Vec::new();
    for record in records(deliveries) {
        if put.iter().all(|one| number(one) != number(record)) {
            put.push(record.clone());
        }
    }
    let payloads = failures.iter().filter_map(|failure| failure.record()["payload"]["Records"].as_array());
    put.extend(payloads.flatten().filter(|_| put.is_empty()).cloned().collect::<Vec<_>>());
    let unseen = failures.iter().map(Failure::record).filter(|record| unseen(record, &put));
    let stale: Vec<Value> = unseen
        .flat_map(|record| {
            let stale = record["requestContext"]["condition"] == "RecordAgeExceeded"
                && record["requestContext"]["approximateInvokeCount"] == 1;
            let size = info(record).and_then(|info| info["batchSize"].as_u64()).unwrap_or(1);
            (0..size).map(move |_| if stale { json!({"stale": true}) } else { json!({}) })
        })
        .collect();
    [stale, put].concat()
}

fn unseen(failure: &Value, put: &[Value]) -> bool {
    let first = info(failure).and_then(|info| info["startSequenceNumber"].as_str()).unwrap_or_default();
    !put.iter().any(|record| number(record) == first) && failure.get("payload").is_none()
}

fn function(test: &str, deliveries: &Deliveries, failures: &[Failure]) -> Function {
    let mut fails: BTreeMap<String, usize> = BTreeMap::new();
    for record in records(deliveries) {
        *fails.entry(number(record).to_owned()).or_default() += 1;
    }
    let given_up = |number: &str| {
        failures.iter().filter_map(|failure| info(failure.record())).any(|info| {
            let [first, last] =
                ["startSequenceNumber", "endSequenceNumber"].map(|end| order(info[end].as_str()));
            let this = order(Some(number));
            this.0 == first.0 && first.1 <= this.1 && this.1 <= last.1
        })
    };
    for (number, times) in &mut fails {
        // The last time went well.
        *times = if given_up(number) { usize::MAX } else { *times - 1 };
    }
    let error = failures.iter().map(|failure| &failure.record()["responseContext"]["functionError"]);
    let how = match (named(test), error.clone().next()) {
        (Some(answer), _) => How::Answers(answer),
        (None, Some(Value::Null)) if reports(failures) => How::Reports,
        (None, None) if test.contains("report_batch_item") => How::Reports,
        _ => How::Raises,
    };
    Function { fails, fails_always: !failures.is_empty(), how }
}

/// Masks of one name are numbered as their values came.
fn order(mask: Option<&str>) -> (&str, usize) {
    let mask = mask.unwrap_or_default().trim_end_matches('>');
    mask.rsplit_once(':').map_or((mask, 0), |(name, number)| (name, number.parse().unwrap_or(0)))
}

/// Whether some failure record has an answer of the function without an error in it.
fn reports(failures: &[Failure]) -> bool {
    failures.iter().any(|failure| {
        let context = &failure.record()["responseContext"];
        context.is_object() && context["functionError"].is_null()
    })
}

/// The answers that tests have in their names, as their project's source has them.
fn named(test: &str) -> Option<Value> {
    let case = test.split_once('[')?.1.trim_end_matches(']');
    let item = |item: Value| json!({"batchItemFailures": [item]});
    Some(match case {
        "empty_string_item_identifier_failure" => item(json!({"itemIdentifier": ""})),
        "null_item_identifier_failure" => item(json!({"itemIdentifier": null})),
        "item_identifier_not_present_failure" => item(json!({"itemIdentifier": 123})),
        "invalid_key_foo_failure" => item(json!({"foo": 123})),
        "invalid_key_foo_null_value_failure" => item(json!({"foo": null})),
        "empty_string_success" => json!(""),
        "empty_list_success" => json!([]),
        "null_success" => Value::Null,
        "empty_dict_success" => json!({}),
        "empty_batch_item_failure_success" => json!({"batchItemFailures": []}),
        "null_batch_item_failure_success" => json!({"batchItemFailures": null}),
        _ => return None,
    })
}

impl Function {
    /// Which of these it fails on, which have come so often (this time counted).
    pub fn fails_on(&self, mask: Option<&str>, times: usize) -> bool {
        match mask.and_then(|mask| self.fails.get(mask)) {
            Some(fails) => times <= *fails,
            None => self.fails_always,
        }
    }
}

/// A mapping that was not recorded.
fn implied(test: &str, deliveries: &Deliveries, failures: &[Failure]) -> Value {
    let largest = match deliveries {
        Deliveries::Events(events) => {
            events.iter().filter_map(|event| event["Records"].as_array()).map(Vec::len).max()
        }
        _ => None,
    };
    let mut mapping = json!({
        "BatchSize": largest.unwrap_or(1),
        "MaximumBatchingWindowInSeconds": 1,
        "StartingPosition": "TRIM_HORIZON",
    });
    if test.contains("report_batch_item") {
        mapping["FunctionResponseTypes"] = json!(["ReportBatchItemFailures"]);
    }
    if let Some(failure) = failures.first() {
        let count = failure.record()["requestContext"]["approximateInvokeCount"].as_u64().unwrap_or(1);
        mapping["MaximumRetryAttempts"] = json!(count - 1);
        let service = match failure {
            Failure::Queue(_) => "sqs",
            Failure::Topic(_) => "sns",
            Failure::Bucket(_) => "s3",
        };
        mapping["DestinationConfig"] =
            json!({"OnFailure": {"Destination": format!("arn:<partition>:{service}:::<resource>")}});
    }
    mapping
}
