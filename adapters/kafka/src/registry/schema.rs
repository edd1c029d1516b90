//! A schema, ready to use.

use std::borrow::Cow;

use super::{avro, json, protobuf};

/// What the registry has under a number.
#[derive(Debug)]
pub(crate) struct Text {
    /// `AVRO` (also where nothing is said), `JSON` or `PROTOBUF`.
    pub(crate) format: Option<String>,
    /// As it was registered.
    pub(crate) schema: String,
    /// What it refers to, by the names it uses, what is referred to before what refers.
    pub(crate) references: Vec<(String, String)>,
}

/// A schema, ready to use.
pub(crate) enum Schema {
    Avro(avro::Schema),
    Json(json::Schema),
    Protobuf(protobuf::Schema),
}

/// Why something cannot be read. Never a value: it is logged.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreadable(pub(crate) String);

impl Unreadable {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl Schema {
    pub(crate) fn parse(text: &Text) -> Result<Self, Unreadable> {
        match text.format.as_deref() {
            None | Some("AVRO") => avro::Schema::parse(text).map(Self::Avro),
            Some("JSON") => json::Schema::parse(text).map(Self::Json),
            Some("PROTOBUF") => protobuf::Schema::parse(text).map(Self::Protobuf),
            Some(other) => Err(Unreadable::new(format!("expected AVRO, JSON or PROTOBUF, seen {other}"))),
        }
    }

    /// As an event spells it.
    pub(crate) fn format(&self) -> &'static str {
        match self {
            Self::Avro(_) => "AVRO",
            Self::Json(_) => "JSON",
            Self::Protobuf(_) => "PROTOBUF",
        }
    }

    /// Checks what follows the header, and writes it as JSON.
    pub(crate) fn json<'b>(&self, bytes: &'b [u8]) -> Result<Cow<'b, [u8]>, Unreadable> {
        match self {
            Self::Avro(schema) => schema.json(bytes).map(Cow::Owned),
            Self::Json(schema) => schema.check(bytes).map(|()| Cow::Borrowed(bytes)),
            Self::Protobuf(schema) => schema.json(bytes).map(Cow::Owned),
        }
    }
}
