use std::{borrow::Cow, collections::BTreeMap, str};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use cloudevents::{
    Event, EventBuilder, EventBuilderV10,
    event::{AttributesWriter, Data, TryIntoTime, TryIntoUrl},
};
use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use percent_encoding::percent_decode;
use serde_json::value::RawValue;

use super::{Error, check_name, is_json};

const REQUIRED: [&str; 3] = ["id", "source", "type"];
const SPEC_VERSION: HeaderName = HeaderName::from_static("ce-specversion");
/// Attributes of an event as they mostly are, with those of Knative's.
const ATTRIBUTES: usize = 12;

/// An event as it came: attributes as text, data as bytes. In binary mode the text is mostly the headers' own.
#[derive(Debug)]
pub(crate) struct Received<'a> {
    /// All but `specversion`, which is 1.0. No name is there twice.
    pub(crate) attributes: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Untouched, except that a structured event's base64 or text is decoded.
    pub(crate) data: Option<Bytes>,
    /// Whether the data was text in a structured event.
    is_text: bool,
}

/// How a request carries an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Attributes in headers, data in the body.
    Binary,
    /// All of it in the body.
    Structured,
}

impl Mode {
    /// By a request's headers: an error where it carries none that could be read.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Error> {
        match content_type(headers) {
            Some(kind) if begins(kind, "application/cloudevents-batch") => Err(Error::Batched),
            Some(kind) if kind.eq_ignore_ascii_case("application/cloudevents+json") => Ok(Self::Structured),
            Some(kind) if begins(kind, "application/cloudevents") => {
                Err(Error::Format(kind.to_ascii_lowercase()))
            }
            _ if headers.contains_key(SPEC_VERSION) => Ok(Self::Binary),
            _ => Err(Error::NotACloudEvent),
        }
    }

    /// Reads the event.
    pub(crate) fn receive(self, headers: &HeaderMap, body: Bytes) -> Result<Received<'_>, Error> {
        let received = match self {
            Self::Binary => binary(headers, body)?,
            Self::Structured => structured(&body)?,
        };
        for name in REQUIRED {
            if received.attribute(name).is_none_or(str::is_empty) {
                return Err(Error::Missing(name));
            }
        }
        Ok(received)
    }
}

/// The media type alone.
fn content_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split_once(';').map_or(value, |(kind, _)| kind).trim())
}

/// Whether a media type begins so, in whatever case.
fn begins(kind: &str, prefix: &str) -> bool {
    kind.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
}

fn binary(headers: &HeaderMap, body: Bytes) -> Result<Received<'_>, Error> {
    let mut attributes = Vec::with_capacity(ATTRIBUTES);
    let mut before = "";
    for (name, value) in headers {
        // Header names are lower case already: HTTP does not tell cases apart.
        let Some(attribute) = name.as_str().strip_prefix("ce-") else { continue };
        check_name(attribute)?;
        // The values of one name come one after the other.
        if std::mem::replace(&mut before, attribute) == attribute {
            return Err(Error::Duplicate(attribute.to_owned()));
        }
        let text = header_text(attribute, value)?;
        match attribute {
            "specversion" => version(Some(text))?,
            // It has a header of its own.
            "datacontenttype" if headers.contains_key(CONTENT_TYPE) => {}
            _ => attributes.push((attribute.into(), text)),
        }
    }
    if let Some(kind) = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) {
        attributes.push(("datacontenttype".into(), kind.into()));
    }
    let data = Some(body).filter(|body| !body.is_empty());
    Ok(Received { attributes, data, is_text: false })
}

/// A header's text: quotes taken off, then percent-decoded, once.
fn header_text<'a>(name: &str, value: &'a HeaderValue) -> Result<Cow<'a, str>, Error> {
    let wrong = || Error::Value { name: name.to_owned(), expected: "percent-encoded UTF-8" };
    let text = str::from_utf8(value.as_bytes()).map_err(|_| wrong())?;
    if let Some(quoted) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        let text = unescape(quoted);
        return Ok(percent_decode(text.as_bytes()).decode_utf8().map_err(|_| wrong())?.into_owned().into());
    }
    match text.as_bytes().contains(&b'%') {
        true => percent_decode(text.as_bytes()).decode_utf8().map_err(|_| wrong()),
        false => Ok(Cow::Borrowed(text)),
    }
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

fn structured(body: &Bytes) -> Result<Received<'static>, Error> {
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
    version(attributes.remove("specversion").map(Cow::Owned))?;
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
    let attributes = attributes.into_iter().map(|(name, text)| (name.into(), text.into())).collect();
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

fn version(found: Option<Cow<'_, str>>) -> Result<(), Error> {
    match found {
        Some(version) if version == "1.0" => Ok(()),
        Some(version) => Err(Error::Version(version.into_owned())),
        None => Err(Error::Missing("specversion")),
    }
}

impl Received<'_> {
    /// An attribute that is there, be it empty.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(its, _)| its == name).map(|(_, text)| &**text)
    }

    pub(super) fn into_event(self) -> Result<Event, Error> {
        let mut attributes: BTreeMap<String, String> =
            self.attributes.into_iter().map(|(name, text)| (name.into_owned(), text.into_owned())).collect();
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
