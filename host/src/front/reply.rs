//! What a CloudEvent is answered with when the function succeeded.
//!
//! Whoever reads the answer decides what is safe. A Broker takes a body that is no CloudEvent for a failed delivery: the
//! multi-tenant one tries again, Kafka's gives the event up. A Channel throws such a body away. A CloudEvent goes into the
//! Broker as a new event, so a Trigger without a filter would hand the function its own replies. Hence
//! [`Reply::Auto`]: nothing to those who ask with `Prefer: reply`, as both do, and the reply to everyone else.

use std::{borrow::Cow, collections::HashMap};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};
use jiff::Timestamp;
use serde_json::value::RawValue;

use super::header;
use crate::{
    Reply,
    function::Function,
    serve::{Answer, empty, json},
};

const PREFER: HeaderName = HeaderName::from_static("prefer");
/// The type of the event a reply travels in.
const TYPE: &str = "dev.klr.function.reply";

/// The answer to a request with an event.
pub(super) fn to_event(function: &Function, headers: &HeaderMap, id: &str, reply: Bytes) -> Answer {
    match function.settings.reply {
        Reply::Never => empty(StatusCode::OK),
        Reply::Auto if prefers_reply(headers) => empty(StatusCode::OK),
        Reply::Auto | Reply::Always => json(StatusCode::OK, reply),
        Reply::Event => event(function.plan.variables.arn(), id, reply),
    }
}

/// The reply as an event: the function's own if it is one, else one of ours around it.
fn event(source: &str, id: &str, reply: Bytes) -> Answer {
    // Nothing to say: an event that says so would go round in a broker for no one.
    if reply.is_empty() || &reply[..] == b"null" {
        return empty(StatusCode::OK);
    }
    if let Some(own) = completed(source, id, &reply) {
        let mut answer = json(StatusCode::OK, own);
        let kind = HeaderValue::from_static("application/cloudevents+json");
        answer.headers_mut().insert(CONTENT_TYPE, kind);
        return answer;
    }
    let mut answer = json(StatusCode::OK, reply);
    let time = header(&format!("{:.3}", Timestamp::now()));
    let attributes = [
        ("ce-specversion", HeaderValue::from_static("1.0")),
        ("ce-id", header(id)),
        ("ce-source", header(source)),
        ("ce-type", HeaderValue::from_static(TYPE)),
        ("ce-time", time),
    ];
    answer.headers_mut().extend(attributes.map(|(name, value)| (HeaderName::from_static(name), value)));
    answer
}

/// A reply that is a structured event, with the `id` and `source` it may leave to us. What says `null` there is none: to a
/// Broker it would be a delivery that failed.
fn completed(source: &str, id: &str, reply: &Bytes) -> Option<Bytes> {
    let event: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(reply).ok()?;
    let text = |name: &str| serde_json::from_str::<Cow<'_, str>>(event.get(name)?.get()).ok();
    let given = |name: &str| text(name).is_some_and(|text| !text.is_empty());
    let left = |name: &str| !event.contains_key(name);
    if text("specversion")? != "1.0" || !given("type") {
        return None;
    }
    // An object of at least two members, so what follows the brace is one of them.
    let mut members = std::str::from_utf8(reply).ok()?.trim_start().strip_prefix('{')?.to_owned();
    for (name, value) in [("source", source), ("id", id)] {
        if left(name) {
            members.insert_str(0, &format!("\"{name}\":\"{value}\","));
        } else if !given(name) {
            return None;
        }
    }
    Some(format!("{{{members}").into())
}

/// Whether a Broker or its like asks: it sends `Prefer: reply`, perhaps among others.
fn prefers_reply(headers: &HeaderMap) -> bool {
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case("reply"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_the_functions_own_is_completed_and_nothing_else_is_touched() {
        let completed = |reply: &'static str| completed("arn:x", "7", &Bytes::from_static(reply.as_bytes()));
        let whole =
            r#"{"specversion":"1.0","type":"t","id":"1","source":"/s","data":{"n":9007199254740993}}"#;
        assert_eq!(completed(whole).unwrap(), whole);
        assert_eq!(
            completed(r#" { "specversion":"1.0","type":"t"}"#).unwrap(),
            r#"{"id":"7","source":"arn:x", "specversion":"1.0","type":"t"}"#
        );
        for other in [
            "{}",
            "[1]",
            r#"{"specversion":"0.3","type":"t"}"#,
            r#"{"specversion":"1.0"}"#,
            r#"{"specversion":"1.0","type":"t","id":null}"#,
            r#"{"specversion":"1.0","type":"t","id":""}"#,
            r#"{"specversion":"1.0","type":"t","source":7}"#,
        ] {
            assert_eq!(completed(other), None, "{other}");
        }
    }
}
