//! A batch of a tumbling window, on the wire: the members it adds to an event, and the state in the function's answer.
//! Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

/// What a function is told of its window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Its beginning.
    pub start: Timestamp,
    /// Its end, which is the next one's beginning.
    pub end: Timestamp,
    /// What the function answered last, a JSON object.
    pub state: Bytes,
    /// No record of it will follow.
    pub is_final: bool,
    /// Because its state was too large, not because its time is over.
    pub terminated_early: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Members<'a> {
    window: Span,
    state: &'a RawValue,
    shard_id: &'a str,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: &'a str,
    is_final_invoke_for_window: bool,
    is_window_terminated_early: bool,
}

#[derive(Serialize)]
struct Span {
    start: String,
    end: String,
}

impl Window {
    /// The event with the window's members after its records.
    pub fn add_to(&self, event: &[u8], shard: &str, arn: &str) -> Bytes {
        let members = Members {
            window: Span { start: self.start.to_string(), end: self.end.to_string() },
            state: serde_json::from_slice(&self.state).expect("a state is JSON: it was parsed when it came"),
            shard_id: shard,
            event_source_arn: arn,
            is_final_invoke_for_window: self.is_final,
            is_window_terminated_early: self.terminated_early,
        };
        let members = serde_json::to_vec(&members).expect("strings and raw JSON always serialise");
        // `{…}` and `{…}` are joined to one object.
        let head = event.strip_suffix(b"}").unwrap_or(event);
        [head, b",", members.strip_prefix(b"{").unwrap_or(&members)].concat().into()
    }
}

/// The state in a function's answer; none makes the invocation a failed one, as on AWS.
pub fn state(reply: &[u8]) -> Option<Bytes> {
    // A map keeps no other member from being there, and raw values parse nothing of them.
    let mut members: BTreeMap<String, &RawValue> = serde_json::from_slice(reply).ok()?;
    let state = members.remove("state")?.get();
    let object = state.starts_with('{');
    object.then(|| Bytes::copy_from_slice(state.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_members_come_after_the_records() {
        let window = Window {
            start: "2020-07-30T17:00:00Z".parse().unwrap(),
            end: "2020-07-30T17:05:00Z".parse().unwrap(),
            state: Bytes::from_static(br#"{"1":2.50}"#),
            is_final: false,
            terminated_early: false,
        };
        let event = window.add_to(br#"{"Records":[]}"#, "shardId-000000000006", "arn");
        assert_eq!(
            event,
            r#"{"Records":[],"window":{"start":"2020-07-30T17:00:00Z","end":"2020-07-30T17:05:00Z"},"state":{"1":2.50},"shardId":"shardId-000000000006","eventSourceARN":"arn","isFinalInvokeForWindow":false,"isWindowTerminatedEarly":false}"#
        );
    }

    #[test]
    fn a_state_is_an_object_as_it_came() {
        assert_eq!(state(br#"{ "batchItemFailures": [], "state": {"a": 1.0} }"#).unwrap(), r#"{"a": 1.0}"#);
        for none in ["", "null", "[]", "{}", r#"{"state":null}"#, r#"{"state":[1]}"#, r#"{"state":{"#] {
            assert_eq!(state(none.as_bytes()), None, "{none}");
        }
    }
}
