//! What destinations and dead-letter queues are told (spec/async.md §2, §3). Pure.

use serde::Serialize;
use serde_json::value::RawValue;

use super::event::{self, Answer, Condition, Event, Verdict};

/// AWS: as much of an error's message as an attribute takes.
const LONGEST_MESSAGE: usize = 1024;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    version: &'static str,
    timestamp: String,
    request_context: RequestContext<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_context: Option<ResponseContext<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_payload: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    request_id: String,
    function_arn: String,
    condition: &'a str,
    approximate_invoke_count: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseContext<'a> {
    status_code: u16,
    executed_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_error: Option<&'a str>,
}

/// The record of a verdict, as a destination gets it that takes so many bytes. Where it would be more, the payloads are
/// left out.
pub(super) fn record(event: &Event, verdict: &Verdict, most: usize) -> String {
    let whole = written(event, verdict, true);
    if whole.len() <= most { whole } else { written(event, verdict, false) }
}

fn written(event: &Event, verdict: &Verdict, payloads: bool) -> String {
    let request = event::json(&event.payload);
    let answer = verdict.answer.as_ref();
    let record = Record {
        version: "1.0",
        timestamp: format!("{:.3}", verdict.at),
        request_context: RequestContext {
            request_id: event.id.to_string(),
            function_arn: qualified(&event.target),
            condition: verdict.condition.name(),
            approximate_invoke_count: verdict.attempts,
        },
        request_payload: payloads.then_some(&*request),
        response_context: answer.map(|answer| ResponseContext {
            status_code: 200,
            executed_version: &answer.version,
            function_error: answer.error.as_deref(),
        }),
        response_payload: answer.filter(|_| payloads).map(|answer| &*answer.payload),
    };
    serde_json::to_string(&record).expect("text, numbers and JSON")
}

/// The ARN with its qualifier: AWS never leaves it out here.
pub(super) fn qualified(target: &str) -> String {
    match target.split(':').collect::<Vec<_>>()[..] {
        ["arn", _, "lambda", _, _, "function", _] => format!("{target}:$LATEST"),
        _ => target.to_owned(),
    }
}

/// The function's name in its ARN, or what is asked for by name.
pub(super) fn name(target: &str) -> &str {
    target.split(':').nth(6).unwrap_or(target)
}

/// What a dead-letter queue is told beside the event: `ErrorCode`, `ErrorMessage`.
pub(super) fn dead_letter(verdict: &Verdict) -> (u16, String) {
    let code = match (&verdict.answer, verdict.condition) {
        // AWS: the status of the Invoke call, which a function's error is not.
        (Some(_), _) => 200,
        (None, Condition::FunctionGone) => 404,
        (None, _) => 429,
    };
    let message = verdict.answer.as_ref().and_then(message);
    let message = message.unwrap_or_else(|| match verdict.condition {
        Condition::ZeroReservedConcurrency => "Rate Exceeded.".to_owned(),
        other => other.name().to_owned(),
    });
    let message = message.replace(|c| !is_legal(c), "\u{fffd}");
    let end = message.floor_char_boundary(LONGEST_MESSAGE);
    (code, message[..end].to_owned())
}

/// AWS: what SQS and SNS take in an attribute, which the colours of a terminal are not.
fn is_legal(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// The message in an error's document; an attribute may not be empty.
fn message(answer: &Answer) -> Option<String> {
    let document: serde_json::Value = serde_json::from_str(answer.payload.get()).ok()?;
    let message = document.get("errorMessage")?.as_str()?;
    (!message.is_empty()).then(|| message.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bytes::Bytes;
    use klr_test_support::fixtures;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    const ARN: &str = "arn:aws:lambda:us-east-1:111111111111:function:f";
    const ID: &str = "e4b46cbf-0000-4000-8000-000000000000";

    fn event(payload: &'static str) -> Event {
        Event::new(Uuid::parse_str(ID).unwrap(), ARN, Bytes::from_static(payload.as_bytes()))
    }

    fn verdict(condition: Condition, attempts: u32, answer: Option<Answer>) -> Verdict {
        Verdict { condition, attempts, at: "2019-11-14T18:16:05.5689Z".parse().unwrap(), answer }
    }

    fn error(document: &str) -> Answer {
        Answer::new("$LATEST", Some("Unhandled".to_owned()), document.as_bytes())
    }

    #[test]
    fn a_record_is_written_as_aws_writes_it() {
        let verdict = verdict(Condition::RetriesExhausted, 3, Some(error(r#"{"errorMessage":"no"}"#)));
        assert_eq!(
            record(&event(r#"{"a": 1.0}"#), &verdict, usize::MAX),
            concat!(
                r#"{"version":"1.0","timestamp":"2019-11-14T18:16:05.568Z","requestContext":{"#,
                r#""requestId":"e4b46cbf-0000-4000-8000-000000000000","#,
                r#""functionArn":"arn:aws:lambda:us-east-1:111111111111:function:f:$LATEST","#,
                r#""condition":"RetriesExhausted","approximateInvokeCount":3},"requestPayload":{"a": 1.0},"#,
                r#""responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},"#,
                r#""responsePayload":{"errorMessage":"no"}}"#
            )
        );
        let short = record(&event("{}"), &verdict, 400);
        let short: Value = serde_json::from_str(&short).unwrap();
        let members: Vec<_> = short.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["requestContext", "responseContext", "timestamp", "version"]);
    }

    #[test]
    fn a_function_that_never_ran_has_no_response() {
        let verdict = verdict(Condition::ZeroReservedConcurrency, 0, None);
        let record: Value = serde_json::from_str(&record(&event("{}"), &verdict, usize::MAX)).unwrap();
        let members: Vec<_> = record.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["requestContext", "requestPayload", "timestamp", "version"]);
        assert_eq!(record["requestContext"]["approximateInvokeCount"], 0);
        assert_eq!(dead_letter(&verdict), (429, "Rate Exceeded.".to_owned()));
        let coloured = error(r#"{"errorMessage": "\u001b[31mno\u001b[0m\ufffe\tü😀"}"#);
        let verdict = self::verdict(Condition::RetriesExhausted, 1, Some(coloured));
        let legible = "\u{fffd}[31mno\u{fffd}[0m\u{fffd}\tü😀";
        assert_eq!(dead_letter(&verdict), (200, legible.to_owned()));
    }

    /// What AWS was seen to send, its ids and times masked.
    #[test]
    fn records_are_those_aws_was_seen_to_send() {
        let Some(fixtures) = fixtures() else { return };
        let read = |name: &str| -> Value {
            let path = fixtures.join("esm-snapshots/async-destinations").join(name);
            serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
        };
        let recorded = |content: &Value| content["recorded-content"].clone();
        let mut seen = Vec::new();
        for n in 0..2 {
            let case = recorded(&read(&format!("assess-lambda-destination-invocation-payload{n}.json")));
            seen.push(case["receive_message_result"]["Messages"][0]["Body"].clone());
        }
        let case = recorded(&read("invoke-lambda-eventbridge.json"));
        for which in ["success", "failure"] {
            seen.push(case[format!("lambda_destination_event_bus_{which}")]["detail"].clone());
        }
        for mut seen in seen {
            let failed = seen["responseContext"].get("functionError").is_some();
            let mut event = event("");
            event.payload = seen["requestPayload"].to_string().into();
            let reply = seen["responsePayload"].to_string();
            let (condition, answer) = match failed {
                true => (Condition::RetriesExhausted, error(&reply)),
                false => (Condition::Success, Answer::new("$LATEST", None, reply.as_bytes())),
            };
            let mut ours: Value =
                serde_json::from_str(&record(&event, &verdict(condition, 1, Some(answer)), usize::MAX))
                    .unwrap();
            for record in [&mut seen, &mut ours] {
                record["timestamp"] = json!("date");
                record["requestContext"]["requestId"] = json!("id");
                record["requestContext"]["functionArn"] = json!("arn");
            }
            assert_eq!(ours, seen);
        }
    }

    #[test]
    fn a_dead_letter_says_what_went_wrong() {
        let long = format!(r#"{{"errorMessage":"{}"}}"#, "é".repeat(600));
        let (code, message) = dead_letter(&verdict(Condition::RetriesExhausted, 1, Some(error(&long))));
        assert_eq!((code, message.len()), (200, 1024));
        for document in ["[]", "{}", r#"{"errorMessage":""}"#, r#"{"errorMessage":7}"#] {
            let verdict = verdict(Condition::RetriesExhausted, 1, Some(error(document)));
            assert_eq!(dead_letter(&verdict), (200, "RetriesExhausted".to_owned()));
        }
    }

    #[test]
    fn arns_are_qualified() {
        assert_eq!(qualified(ARN), format!("{ARN}:$LATEST"));
        assert_eq!(qualified(&format!("{ARN}:live")), format!("{ARN}:live"));
        assert_eq!(qualified("orders"), "orders");
        assert_eq!((name(ARN), name(&format!("{ARN}:live")), name("orders")), ("f", "f", "orders"));
    }
}
