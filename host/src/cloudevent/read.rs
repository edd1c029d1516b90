use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use cloudevents::{
    Event, EventBuilder, EventBuilderV10,
    event::{AttributesWriter, Data, TryIntoTime, TryIntoUrl},
};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;

use super::{Error, check_name, is_json};

const REQUIRED: [&str; 3] = ["id", "source", "type"];

/// An event as it came: attributes as text, data as bytes.
#[derive(Debug)]
pub(crate) struct Received {
    /// All but `specversion`, which is 1.0.
    pub(crate) attributes: BTreeMap<String, String>,
    /// Untouched, except that a structured event's base64 or text is decoded.
    pub(crate) data: Option<Bytes>,
    /// Whether the data was text in a structured event.
    is_text: bool,
}

/// Whether the content type is that of an event format, whichever.
pub(crate) fn is_structured(headers: &HeaderMap) -> bool {
    content_type(headers).is_some_and(|kind| kind.starts_with("application/cloudevents"))
}

/// Whether a request means to be an event, in whatever mode.
pub(crate) fn is_event(headers: &HeaderMap) -> bool {
    headers.contains_key("ce-specversion") || is_structured(headers)
}

/// Reads an event in either mode.
pub(crate) fn receive(headers: &HeaderMap, body: Bytes) -> Result<Received, Error> {
    let received = match content_type(headers) {
        Some(kind) if kind.starts_with("application/cloudevents-batch") => return Err(Error::Batched),
        Some(kind) if kind == "application/cloudevents+json" => structured(&body)?,
        Some(kind) if kind.starts_with("application/cloudevents") => return Err(Error::Format(kind)),
        _ => binary(headers, body)?,
    };
    for name in REQUIRED {
        if received.attributes.get(name).is_none_or(String::is_empty) {
            return Err(Error::Missing(name));
        }
    }
    Ok(received)
}

/// The media type alone, in lower case.
fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn binary(headers: &HeaderMap, body: Bytes) -> Result<Received, Error> {
    if !headers.contains_key("ce-specversion") {
        return Err(Error::NotACloudEvent);
    }
    let mut attributes = BTreeMap::new();
    for name in headers.keys() {
        // Header names are lower case already: HTTP does not tell cases apart.
        let Some(attribute) = name.as_str().strip_prefix("ce-") else { continue };
        check_name(attribute)?;
        let mut values = headers.get_all(name).iter();
        if let (Some(value), None) = (values.next(), values.next()) {
            attributes.insert(attribute.to_owned(), header_text(attribute, value)?);
        } else {
            return Err(Error::Duplicate(attribute.to_owned()));
        }
    }
    version(attributes.remove("specversion"))?;
    if let Some(kind) = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) {
        attributes.insert("datacontenttype".to_owned(), kind.to_owned());
    }
    let data = Some(body).filter(|body| !body.is_empty());
    Ok(Received { attributes, data, is_text: false })
}

/// A header's text: quotes taken off, then percent-decoded, once.
fn header_text(name: &str, value: &HeaderValue) -> Result<String, Error> {
    let wrong = || Error::Value { name: name.to_owned(), expected: "percent-encoded UTF-8" };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| wrong())?;
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let text = quoted.map_or(Cow::Borrowed(text), |quoted| unescape(quoted).into());
    Ok(percent_decode_str(&text).decode_utf8().map_err(|_| wrong())?.into_owned())
}

/// A quoted string's content: a backslash stands for what follows it.
fn unescape(quoted: &str) -> String {
    let mut chars = quoted.chars();
    let mut text = String::with_capacity(quoted.len());
    while let Some(c) = chars.next() {
        text.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    text
}

fn structured(body: &Bytes) -> Result<Received, Error> {
    let mut members: BTreeMap<String, &RawValue> = serde_json::from_slice(body)
        .map_err(|error| Error::Malformed { line: error.line(), column: error.column() })?;
    let data = members.remove("data").filter(|data| data.get() != "null");
    let base64 = members.remove("data_base64").filter(|data| data.get() != "null");
    let mut attributes = BTreeMap::new();
    for (name, value) in members {
        check_name(&name)?;
        if let Some(text) = scalar(&name, value)? {
            attributes.insert(name, text);
        }
    }
    version(attributes.remove("specversion"))?;
    let json = is_json(attributes.get("datacontenttype").map(String::as_str));
    let (data, is_text) = match (data, base64) {
        (None, None) => (None, false),
        (Some(_), Some(_)) => return Err(Error::Data),
        (None, Some(text)) => {
            let text: String = serde_json::from_str(text.get()).map_err(|_| Error::Data)?;
            (Some(BASE64_STANDARD.decode(text).map_err(|_| Error::Data)?.into()), false)
        }
        // Text of another type stands in a JSON string; it is the text that is the data.
        (Some(raw), None) if !json && raw.get().starts_with('"') => {
            let text: String = serde_json::from_str(raw.get()).map_err(|_| Error::Data)?;
            (Some(text.into()), true)
        }
        (Some(raw), None) => (Some(body.slice_ref(raw.get().as_bytes())), false),
    };
    Ok(Received { attributes, data, is_text })
}

/// A structured event's attribute as text; `null` is as good as absent.
fn scalar(name: &str, value: &RawValue) -> Result<Option<String>, Error> {
    let raw = value.get();
    let wrong = || Error::Value { name: name.to_owned(), expected: "a string, a boolean or an integer" };
    match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw).map(Some).map_err(|_| wrong()),
        Some(b'n') => Ok(None),
        Some(b't' | b'f') => Ok(Some(raw.to_owned())),
        _ if raw.parse::<i64>().is_ok() => Ok(Some(raw.to_owned())),
        _ => Err(wrong()),
    }
}

fn version(found: Option<String>) -> Result<(), Error> {
    match found {
        Some(version) if version == "1.0" => Ok(()),
        Some(version) => Err(Error::Version(version)),
        None => Err(Error::Missing("specversion")),
    }
}

impl Received {
    pub(super) fn into_event(self) -> Result<Event, Error> {
        let mut attributes = self.attributes;
        let mut take = |name: &str| attributes.remove(name);
        let (id, source, kind) = (take("id"), take("source"), take("type"));
        let (subject, time, schema) = (take("subject"), take("time"), take("dataschema"));
        let content_type = take("datacontenttype");
        let mut event = EventBuilderV10::new()
            .id(id.unwrap_or_default())
            .source(source.unwrap_or_default())
            .ty(kind.unwrap_or_default())
            .build()
            .map_err(|_| Error::Value { name: "source".to_owned(), expected: "a URI reference" })?;
        event.set_subject(subject);
        event.set_datacontenttype(content_type);
        if let Some(time) = time {
            let wrong = |_| Error::Value { name: "time".to_owned(), expected: "an RFC 3339 time" };
            event.set_time(Some(time.into_time().map_err(wrong)?));
        }
        if let Some(schema) = schema {
            let wrong = |_| Error::Value { name: "dataschema".to_owned(), expected: "an absolute URI" };
            event.set_dataschema(Some(schema.into_url().map_err(wrong)?));
        }
        for (name, value) in attributes {
            event.set_extension(&name, value);
        }
        if let Some(data) = self.data {
            // Text came out of a JSON string, so it is UTF-8.
            event.set_data_unchecked(match String::from_utf8(data.into()) {
                Ok(text) if self.is_text => Data::String(text),
                Ok(text) => Data::Binary(text.into_bytes()),
                Err(error) => Data::Binary(error.into_bytes()),
            });
        }
        Ok(event)
    }
}
