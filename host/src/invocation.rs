//! What is asked of a function, and what came of it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::HeaderValue;
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::{exit::Exit, stream};

/// The largest event of a synchronous invocation.
pub(crate) const LARGEST_EVENT: usize = 6_291_456;
/// The largest event of an asynchronous invocation.
pub(crate) const LARGEST_ASYNC_EVENT: usize = 1_048_576;
/// The largest buffered reply: 100 bytes more than an event, as on Lambda.
pub(crate) const LARGEST_REPLY: usize = 6_291_556;
/// The largest streamed reply.
pub(crate) const LARGEST_STREAM: usize = 200 * 1024 * 1024;

/// Why the host ends what runs.
pub(crate) const SHUTTING_DOWN: &str = "the host is shutting down";

/// One event on its way to the function.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    /// What the function knows it by, and our answer names.
    pub(crate) id: Arc<str>,
    /// The event, as it came.
    pub(crate) payload: Bytes,
    /// The function's ARN, with the qualifier it was called by.
    pub(crate) arn: HeaderValue,
    /// X-Ray's header, the caller's or a new one.
    pub(crate) trace: HeaderValue,
    /// Decoded JSON, made ASCII.
    pub(crate) client_context: Option<HeaderValue>,
    /// Whose invocation it is, under tenant isolation.
    pub(crate) tenant: Option<HeaderValue>,
    /// Whether the caller asked for the end of the log.
    pub(crate) tail: bool,
    /// Where a reply goes that the function streams. A caller without it gets it whole.
    pub(crate) stream: Option<stream::Sender>,
}

impl Invocation {
    /// What goes to the process. What is large goes with it, and is not kept.
    pub(crate) fn hand_over(&mut self) -> Self {
        let (payload, client_context) = (std::mem::take(&mut self.payload), self.client_context.take());
        let (id, arn, trace) = (Arc::clone(&self.id), self.arn.clone(), self.trace.clone());
        let (tenant, tail) = (self.tenant.clone(), self.tail);
        Self { id, payload, arn, trace, client_context, tenant, tail, stream: None }
    }
}

/// What came of an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The function's reply, as it came.
    Replied(Bytes),
    /// The function failed, or its reply was none; an error document.
    Failed(Bytes),
    /// It took too long; an error document.
    TimedOut(Bytes),
    /// Its process was lost; an error document.
    Lost(Bytes),
    /// The host ended it, which is no fault of the function's; an error document.
    CutOff(Bytes),
}

/// An outcome, and the end of the log if it was asked for.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) outcome: Outcome,
    pub(crate) tail: Option<Vec<u8>>,
}

/// An error document of ours.
pub(crate) fn document(kind: &str, message: &str) -> Bytes {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Document<'a> {
        error_type: &'a str,
        error_message: &'a str,
    }
    let document = Document { error_type: kind, error_message: message };
    serde_json::to_vec(&document).expect("two strings are always JSON").into()
}

/// The outcome of an invocation that took longer than `timeout`.
pub(crate) fn timed_out(id: &str, timeout: Duration) -> Outcome {
    let seconds = timeout.as_secs_f64();
    let message = format!("RequestId: {id} Error: Task timed out after {seconds:.2} seconds");
    Outcome::TimedOut(document("Sandbox.Timedout", &message))
}

/// The outcome of an invocation whose process ended.
pub(crate) fn lost(id: &str, exit: Exit) -> Outcome {
    Outcome::Lost(document(exit.error_type(), &format!("RequestId: {id} Error: {exit}")))
}

/// The outcome of an invocation that was running when the host ended.
pub(crate) fn cut_off(id: &str) -> Outcome {
    let message = format!("RequestId: {id} Error: {SHUTTING_DOWN}");
    Outcome::CutOff(document("Sandbox.Failure", &message))
}

/// The outcome of an invocation that failed for a reason of the platform's.
pub(crate) fn platform_failure(id: &str, kind: &str, why: &str) -> Outcome {
    Outcome::Lost(document(kind, &format!("RequestId: {id} Error: {why}")))
}

/// A trace header for a caller that sent none: an epoch and 96 random bits, unsampled.
pub(crate) fn new_trace() -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    // Its first eight digits are the time, as X-Ray wants them.
    let mut id = *Uuid::new_v4().as_bytes();
    let now = u32::try_from(Timestamp::now().as_second()).unwrap_or_default();
    id[..4].copy_from_slice(&now.to_be_bytes());
    let (time, random) = Uuid::from_bytes(id).simple().encode_lower(&mut buffer).split_at(8);
    let root = ["Root=1-", time, "-", random].concat();
    HeaderValue::try_from(root).expect("hexadecimal digits are a header value")
}

/// JSON text as a header value: what is not ASCII escaped, line breaks between tokens made blanks.
///
/// Outside strings JSON is ASCII, and inside strings control characters are already escaped, so neither change touches
/// its meaning.
pub(crate) fn ascii_json(text: &str) -> Option<HeaderValue> {
    let mut ascii = String::with_capacity(text.len());
    let mut units = [0; 2];
    for c in text.chars() {
        match c {
            ' '..='~' => ascii.push(c),
            '\0'..='\x1f' => ascii.push(' '),
            _ => {
                for unit in c.encode_utf16(&mut units) {
                    ascii.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    HeaderValue::from_str(&ascii).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_escapes_what_it_quotes() {
        let bytes = document("Runtime.ExitError", "a \"b\"");
        assert_eq!(bytes, r#"{"errorType":"Runtime.ExitError","errorMessage":"a \"b\""}"#);
    }

    #[test]
    fn client_context_becomes_ascii_and_one_line() {
        let value = ascii_json("{\n \"custom\": {\"né\": \"😀\u{7f}\"}}").unwrap();
        assert_eq!(value, "{  \"custom\": {\"n\\u00e9\": \"\\ud83d\\ude00\\u007f\"}}");
    }

    #[test]
    fn a_trace_has_the_documented_form() {
        let trace = new_trace();
        let text = trace.to_str().unwrap();
        let parts: Vec<_> = text.split('-').collect();
        assert_eq!((parts[0], parts[1].len(), parts[2].len()), ("Root=1", 8, 24), "{text}");
    }
}
