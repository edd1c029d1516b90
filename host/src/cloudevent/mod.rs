//! CloudEvents' HTTP binding, both ways: binary mode (attributes in headers) and structured mode (one JSON document).
//!
//! Data is never parsed into a tree and written again, so numbers, key order and white space survive. Hence an event read
//! here carries its data as [`cloudevents::Data::Binary`] even where it is JSON (and as a `String` where a structured
//! event has text of another type); [`structured`] writes such data as JSON again if its content type says so.
//!
//! Why not the SDK's own bindings: they are tied to older HTTP and Kafka clients, and let pass attribute names that
//! brokers refuse.

mod read;
mod write;

use bytes::Bytes;
use cloudevents::Event;
use http::HeaderMap;

pub(crate) use read::{Mode, Received};
pub use write::{binary_headers, encoded, structured};

/// Why a message is no CloudEvent, or an event cannot be written as one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither mode's marks are there.
    #[error(
        "not a CloudEvent: expected a `ce-specversion` header (binary mode) or the content type \
         `application/cloudevents+json` (structured mode)"
    )]
    NotACloudEvent,
    /// Several events in one message.
    #[error("a batch of CloudEvents: expected one event in a request; send them one by one")]
    Batched,
    /// An event format other than JSON.
    #[error("event format {0:?}: expected application/cloudevents+json")]
    Format(String),
    /// A version of the specification other than 1.0.
    #[error("specversion {0:?}: expected \"1.0\"")]
    Version(String),
    /// A structured event that is no JSON object.
    #[error("a structured CloudEvent that is not a JSON object, at line {line}, column {column}")]
    Malformed {
        /// Counted from one.
        line: usize,
        /// Counted from one.
        column: usize,
    },
    /// A required attribute is absent, or empty.
    #[error("the attribute {0:?} is missing: expected one that is not empty")]
    Missing(&'static str),
    /// A name that is no attribute's.
    #[error("attribute name {0:?}: expected lower-case letters and digits only, and not `data`")]
    Name(String),
    /// An attribute that is there twice.
    #[error("the attribute {0:?} is there more than once")]
    Duplicate(String),
    /// A value that is not of its attribute's type.
    #[error("the attribute {name:?}: expected {expected}")]
    Value {
        /// The attribute.
        name: String,
        /// What its type allows.
        expected: &'static str,
    },
    /// Both forms of data at once, or base64 that is none.
    #[error("the event's data: expected either `data`, or `data_base64` with base64 text")]
    Data,
}

/// Reads an event from a request's headers and body, in either mode.
pub fn parse(headers: &HeaderMap, body: Bytes) -> Result<Event, Error> {
    Mode::of(headers)?.receive(headers, body)?.into_event()
}

/// Whether brokers take it for an attribute's name.
fn check_name(name: &str) -> Result<(), Error> {
    let fits = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if name.is_empty() || !fits || name == "data" { Err(Error::Name(name.to_owned())) } else { Ok(()) }
}

/// Whether data of this content type is JSON. Without a content type it is.
fn is_json(content_type: Option<&str>) -> bool {
    let Some(kind) = content_type else { return true };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind == "text/json" || kind.ends_with("+json")
}
