//! What an answer means. The table is design.md §5; AWS's own meaning of a function error, a throttle and an unreachable
//! function is behind every row.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The largest reply that is read: AWS: a buffered response is at most 6 MB + 100 bytes.
pub const LARGEST_REPLY: usize = 6_291_556;

/// What the sink's 2xx says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AckMode {
    /// The answer is the function's own.
    #[default]
    Replied,
    /// The sink took the batch and will deliver it; the function's answer never comes back.
    Accepted,
}

/// How one delivery went.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The function succeeded; its reply, unwrapped from a CloudEvent if it came in one.
    Done(Bytes),
    /// A 2xx whose answer went to somebody else (202, an empty CloudEvent): settled, unless the mapping needs the reply.
    Elsewhere,
    /// Under [`AckMode::Accepted`]: the batch is the sink's now.
    Accepted,
    /// The function ran and failed. AWS: spends an attempt.
    FunctionError,
    /// The function did not finish in time, or its reply is over 6 MB. AWS: a function error.
    TimedOut,
    /// The connection was lost after sending, or a gateway says so: a crash, or a roll-out. The first in a row for a batch
    /// counts as unreachable, the next as a function error.
    Broken,
    /// The batch is more than the sink takes (413).
    TooLarge,
    /// Under [`AckMode::Accepted`]: the sink will never take this batch (400).
    Rejected,
    /// Too many requests. AWS: spends no attempt.
    Throttled {
        /// What the sink asked for.
        after: Option<Duration>,
    },
    /// Not the records' fault. Says what was seen, for the status.
    Unreachable(String),
}

/// What an HTTP answer means. `body` has been read up to [`LARGEST_REPLY`]; `None` says that it is longer.
pub fn classify(
    mode: AckMode,
    status: StatusCode,
    headers: &HeaderMap,
    body: Option<Bytes>,
    now: Timestamp,
) -> Outcome {
    if mode == AckMode::Accepted {
        return accepted(status, headers, now);
    }
    if headers.contains_key("x-amz-function-error") {
        return Outcome::FunctionError;
    }
    match status.as_u16() {
        200..=299 => match body {
            Some(body) => done(status, headers, body),
            None => Outcome::TimedOut,
        },
        410 | 504 => Outcome::TimedOut,
        413 => Outcome::TooLarge,
        429 | 503 => Outcome::Throttled { after: retry_after(headers, now) },
        500 => Outcome::FunctionError,
        502 if body.as_deref().is_some_and(is_error_document) => Outcome::FunctionError,
        502 => Outcome::Broken,
        401 | 403 | 404 | 405 | 408 | 409 | 415 => unreachable(status),
        400..=499 => Outcome::FunctionError,
        _ => unreachable(status),
    }
}

fn accepted(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Outcome {
    match status.as_u16() {
        200..=299 => Outcome::Accepted,
        400 => Outcome::Rejected,
        413 => Outcome::TooLarge,
        429 | 503 => Outcome::Throttled { after: retry_after(headers, now) },
        _ => unreachable(status),
    }
}

fn unreachable(status: StatusCode) -> Outcome {
    Outcome::Unreachable(format!("the sink answered {status}"))
}

fn done(status: StatusCode, headers: &HeaderMap, body: Bytes) -> Outcome {
    let structured = content_type(headers).is_some_and(|t| t.starts_with("application/cloudevents+json"));
    match (structured, body.is_empty()) {
        (true, true) => Outcome::Elsewhere,
        (true, false) => match serde_json::from_slice::<Structured>(&body) {
            Ok(Structured { data: Some(data), .. }) => Outcome::Done(body.slice_ref(data.get().as_bytes())),
            Ok(Structured { failures: Some(_), .. }) => Outcome::Done(body),
            Ok(_) => Outcome::Elsewhere,
            // Not the event it says it is; the reply table decides what to make of it.
            Err(_) => Outcome::Done(body),
        },
        (false, true) if status == StatusCode::ACCEPTED => Outcome::Elsewhere,
        (false, _) => Outcome::Done(body),
    }
}

/// A KLR container in CLOUDEVENTS mode puts the function's result under `data`, or, in its `event` mode, the event's
/// attributes into the function's result.
#[derive(Deserialize)]
struct Structured<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present", rename = "batchItemFailures")]
    failures: Option<&'a RawValue>,
}

/// `null` is what a function without a result answers; only a missing member is no answer.
fn present<'de, D: Deserializer<'de>>(member: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(member).map(Some)
}

/// AWS: `{"errorMessage", "errorType", "stackTrace"}`; KLR wraps it in `data`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorDocument<'a> {
    #[serde(borrow)]
    error_type: Option<&'a RawValue>,
    #[serde(borrow)]
    error_message: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

fn is_error_document(body: &[u8]) -> bool {
    let Ok(document) = serde_json::from_slice::<ErrorDocument>(body) else { return false };
    document.error_type.is_some()
        || document.error_message.is_some()
        || document.data.is_some_and(|data| {
            serde_json::from_str::<ErrorDocument>(data.get())
                .is_ok_and(|inner| inner.error_type.is_some() || inner.error_message.is_some())
        })
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()
}

/// `Retry-After`: seconds, or an HTTP date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(mode: AckMode, status: u16, headers: &[(&'static str, &str)], body: &'static str) -> Outcome {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        classify(
            mode,
            StatusCode::from_u16(status).unwrap(),
            &map,
            Some(Bytes::from_static(body.as_bytes())),
            now,
        )
    }

    #[test]
    fn the_table_of_outcomes_under_replied() {
        use Outcome::*;
        let replied = |status, headers: &[_], body| answer(AckMode::Replied, status, headers, body);
        assert_eq!(replied(200, &[], "{}"), Done("{}".into()));
        assert_eq!(replied(204, &[], ""), Done("".into()));
        assert_eq!(replied(202, &[], ""), Elsewhere);
        assert_eq!(replied(202, &[], "null"), Done("null".into()));
        let event = [("content-type", "application/cloudevents+json; charset=utf-8")];
        assert_eq!(replied(200, &event, ""), Elsewhere);
        assert_eq!(replied(200, &event, r#"{"id":"1"}"#), Elsewhere);
        assert_eq!(replied(200, &event, r#"{"id":"1","data": {"a":1} }"#), Done(r#"{"a":1}"#.into()));
        assert_eq!(replied(200, &event, r#"{"id":"1","data":null}"#), Done("null".into()));
        let own = r#"{"id":"1","batchItemFailures":[]}"#;
        assert_eq!(replied(200, &event, own), Done(own.into()));
        assert_eq!(replied(200, &[("x-amz-function-error", "Unhandled")], "{}"), FunctionError);
        for status in [400, 402, 418, 422, 500] {
            assert_eq!(replied(status, &[], ""), FunctionError, "{status}");
        }
        assert_eq!(replied(502, &[], r#"{"errorType":"Runtime.ExitError"}"#), FunctionError);
        assert_eq!(replied(502, &[], r#"{"data":{"errorMessage":"x"}}"#), FunctionError);
        assert_eq!(replied(502, &[], "<html>bad gateway</html>"), Broken);
        for status in [410, 504] {
            assert_eq!(replied(status, &[], ""), TimedOut, "{status}");
        }
        assert_eq!(replied(413, &[], ""), TooLarge);
        assert_eq!(
            replied(429, &[("retry-after", "7")], ""),
            Throttled { after: Some(Duration::from_secs(7)) }
        );
        assert_eq!(
            replied(503, &[("retry-after", "Sun, 22 Nov 2026 10:00:30 GMT")], ""),
            Throttled { after: Some(Duration::from_secs(30)) }
        );
        for status in [301, 302, 308, 401, 403, 404, 405, 408, 409, 415, 501, 505, 507, 599] {
            assert!(matches!(replied(status, &[], ""), Unreachable(_)), "{status}");
        }
    }

    #[test]
    fn the_table_of_outcomes_under_accepted() {
        use Outcome::*;
        let accepted = |status| answer(AckMode::Accepted, status, &[], "");
        assert_eq!((accepted(200), accepted(202)), (Accepted, Accepted));
        assert_eq!((accepted(400), accepted(413)), (Rejected, TooLarge));
        assert_eq!((accepted(429), accepted(503)), (Throttled { after: None }, Throttled { after: None }));
        for status in [302, 401, 404, 410, 500, 502, 504] {
            assert!(matches!(accepted(status), Unreachable(_)), "{status}");
        }
    }

    #[test]
    fn a_reply_over_6_mb_is_a_function_error() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(
            classify(AckMode::Replied, StatusCode::OK, &HeaderMap::new(), None, now),
            Outcome::TimedOut
        );
    }
}
