//! An event, and how far it has come.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

/// Something a function is to be invoked with, some time soon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The request id: the same on every attempt.
    pub id: Uuid,
    /// The function as it was asked for: its ARN, with a qualifier if one was given. Events of one target share a
    /// concurrency, and no order.
    pub target: Arc<str>,
    /// The function's event, JSON.
    pub payload: Bytes,
    /// When it was taken in: its age counts from here. The queue says so.
    pub accepted: Timestamp,
    /// `X-Amzn-Trace-Id`, if one came along.
    pub trace: Option<String>,
}

impl Event {
    /// One that is about to be taken in.
    pub fn new(id: Uuid, target: impl Into<Arc<str>>, payload: Bytes) -> Self {
        Self { id, target: target.into(), payload, accepted: Timestamp::UNIX_EPOCH, trace: None }
    }
}

/// What became of an event, in AWS's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// The function succeeded.
    Success,
    /// It failed on every attempt it was given.
    RetriesExhausted,
    /// Too old, or it would be by the next attempt.
    EventAgeExceeded,
    /// Its reserved concurrency is 0.
    ZeroReservedConcurrency,
    /// Ours: there is no such function any more. AWS drops such events and says nothing.
    FunctionGone,
}

impl Condition {
    /// As it is spelled in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::RetriesExhausted => "RetriesExhausted",
            Self::EventAgeExceeded => "EventAgeExceeded",
            Self::ZeroReservedConcurrency => "ZeroReservedConcurrency",
            Self::FunctionGone => "FunctionGone",
        }
    }
}

/// What a function answered: its result, or the document of its error.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    /// The version that ran.
    pub version: String,
    /// `Unhandled` or `Handled`; none on success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// JSON.
    pub payload: Box<RawValue>,
}

impl Answer {
    /// What is no JSON (a custom runtime may answer anything) goes as text.
    pub fn new(version: impl Into<String>, error: Option<String>, payload: &[u8]) -> Self {
        Self { version: version.into(), error, payload: json(payload).into_owned() }
    }
}

/// The bytes as JSON: as they are, or as text if they are none. No bytes are `{}`, as a function sees them.
pub(super) fn json(bytes: &[u8]) -> Cow<'_, RawValue> {
    if bytes.is_empty() {
        return Cow::Owned(RawValue::from_string("{}".to_owned()).expect("an empty object is JSON"));
    }
    match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(raw) => Cow::Borrowed(raw),
        Err(_) => {
            let text = String::from_utf8_lossy(bytes);
            Cow::Owned(serde_json::value::to_raw_value(&text).expect("text is JSON"))
        }
    }
}

/// The last word on an event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verdict {
    /// What became of it.
    pub condition: Condition,
    /// Attempts the function was given.
    pub attempts: u32,
    /// When this was decided.
    #[serde(with = "millis")]
    pub at: Timestamp,
    /// What the function said last; none if it never ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

impl Verdict {
    /// The function succeeded.
    pub fn is_success(&self) -> bool {
        self.condition == Condition::Success
    }
}

/// Where a verdict is still to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Errand {
    /// The record, to the on-success or on-failure destination.
    Destination,
    /// The event, to the function's dead-letter queue.
    DeadLetter,
}

/// How far an event has come. Written with it, so that a restart goes on from there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// For its first or its next attempt.
    Waiting {
        /// Attempts spent.
        attempts: u32,
        /// Not before this.
        #[serde(default, with = "millis::option", skip_serializing_if = "Option::is_none")]
        due: Option<Timestamp>,
        /// What the function said last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last: Option<Answer>,
    },
    /// The verdict stands, and is on its way.
    Delivering {
        /// It.
        verdict: Verdict,
        /// What is still to be done, in order.
        left: Vec<Errand>,
        /// How often that failed.
        tries: u32,
        /// Not before this.
        #[serde(with = "millis")]
        due: Timestamp,
    },
    /// It failed for good, and nothing took it: kept until somebody decides.
    Failed {
        /// Why it failed.
        verdict: Verdict,
    },
}

impl Default for Stage {
    /// Nothing has happened yet.
    fn default() -> Self {
        Self::Waiting { attempts: 0, due: None, last: None }
    }
}

impl Stage {
    /// When something may happen next; `None`: at once, or for a failed one never.
    pub fn due(&self) -> Option<Timestamp> {
        match self {
            Self::Waiting { due, .. } => *due,
            Self::Delivering { due, .. } => Some(*due),
            Self::Failed { .. } => None,
        }
    }
}

/// An event with its stage: what a frame of the log holds.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The event.
    pub event: Event,
    /// How far it has come.
    pub stage: Stage,
}

/// All of it but the payload. A tagged enum is spelled `{"waiting":{…}}`: others cannot hold raw JSON.
#[derive(Serialize, Deserialize)]
struct Head<'a> {
    #[serde(with = "id")]
    id: Uuid,
    #[serde(borrow)]
    target: Cow<'a, str>,
    #[serde(with = "millis")]
    accepted: Timestamp,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    trace: Option<Cow<'a, str>>,
    stage: Cow<'a, Stage>,
}

impl Stored {
    /// Its head as it is written; the payload follows it.
    pub(super) fn head(&self) -> Vec<u8> {
        let Event { id, target, accepted, trace, .. } = &self.event;
        let head = Head {
            id: *id,
            target: Cow::Borrowed(target),
            accepted: *accepted,
            trace: trace.as_deref().map(Cow::Borrowed),
            stage: Cow::Borrowed(&self.stage),
        };
        serde_json::to_vec(&head).expect("text, numbers and JSON that was read")
    }

    /// What was written.
    pub(super) fn read(head: &[u8], payload: Bytes) -> Result<Self, serde_json::Error> {
        let Head { id, target, accepted, trace, stage } = serde_json::from_slice(head)?;
        let (target, trace) = (target.into(), trace.map(Cow::into_owned));
        let event = Event { id, target, payload, accepted, trace };
        Ok(Self { event, stage: stage.into_owned() })
    }
}

/// Ids are written as everybody writes them.
mod id {
    use std::borrow::Cow;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use uuid::Uuid;

    pub fn serialize<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
        Uuid::try_parse(&Cow::<str>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Times are written in milliseconds since 1970.
mod millis {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        at.as_millisecond().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let millis = i64::deserialize(deserializer)?;
        Timestamp::from_millisecond(millis).map_err(D::Error::custom)
    }

    pub mod option {
        use super::{Deserialize, Deserializer, Serialize, Serializer, Timestamp};

        pub fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
            at.map(Timestamp::as_millisecond).serialize(serializer)
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            let millis = Option::<i64>::deserialize(deserializer)?;
            millis.map(Timestamp::from_millisecond).transpose().map_err(serde::de::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(stage: Stage) -> Stored {
        let event = Event {
            id: Uuid::nil(),
            target: "arn:aws:lambda:us-east-1:000000000000:function:f\"".into(),
            payload: Bytes::from_static(b"{}"),
            accepted: "2026-01-02T03:04:05.678Z".parse().unwrap(),
            trace: Some("Root=1".to_owned()),
        };
        Stored { event, stage }
    }

    #[test]
    fn what_is_written_is_read() {
        let at: Timestamp = "2026-01-02T03:04:06Z".parse().unwrap();
        let answer = Answer::new("$LATEST", Some("Unhandled".to_owned()), br#"{"errorMessage": 1.0}"#);
        let verdict =
            Verdict { condition: Condition::RetriesExhausted, attempts: 3, at, answer: Some(answer.clone()) };
        for stage in [
            Stage::default(),
            Stage::Waiting { attempts: 1, due: Some(at), last: Some(answer) },
            Stage::Delivering {
                verdict: verdict.clone(),
                left: vec![Errand::Destination, Errand::DeadLetter],
                tries: 2,
                due: at,
            },
            Stage::Failed { verdict },
        ] {
            let written = stored(stage);
            let read = Stored::read(&written.head(), written.event.payload.clone()).unwrap();
            assert_eq!(read.event, written.event);
            assert_eq!(read.head(), written.head());
        }
    }

    #[test]
    fn what_is_no_json_is_text() {
        assert_eq!(json(b"").get(), "{}");
        assert_eq!(json(b"[1.00]").get(), "[1.00]");
        assert_eq!(json(b"a\"\xff").get(), "\"a\\\"\u{fffd}\"");
    }
}
