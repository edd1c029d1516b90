use std::io::Write;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use cloudevents::{
    Event,
    event::{AttributeValue, AttributesReader, Data},
};
use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::value::RawValue;

use super::{Error, check_name, is_json};

/// What a header's value cannot hold as it is; whatever is not ASCII is encoded as well.
const ENCODED: AsciiSet = CONTROLS.add(b' ').add(b'"').add(b'%');

/// The headers of an event in binary mode; its data is the body.
pub fn binary_headers(event: &Event) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in event.iter() {
        let text = text(&value);
        if name == "datacontenttype" {
            let wrong = || Error::Value { name: name.to_owned(), expected: "a media type" };
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(&text).map_err(|_| wrong())?);
            continue;
        }
        check_name(name)?;
        let header = HeaderName::try_from(format!("ce-{name}")).map_err(|_| Error::Name(name.to_owned()))?;
        let value = HeaderValue::try_from(encoded(&text)).expect("percent-encoded text is printable ASCII");
        headers.insert(header, value);
    }
    Ok(headers)
}

/// An attribute's text as a header's value: what a header cannot hold is percent-encoded.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, &ENCODED).to_string()
}

/// An event in structured mode: the body of a message of type `application/cloudevents+json`.
pub fn structured(event: &Event) -> Bytes {
    let mut out = b"{".to_vec();
    for (name, value) in event.iter() {
        member(&mut out, name);
        match value {
            AttributeValue::Boolean(value) => put(&mut out, value),
            AttributeValue::Integer(value) => put(&mut out, value),
            other => put(&mut out, &text(&other)),
        }
    }
    let json = is_json(event.datacontenttype());
    match event.data() {
        None => {}
        Some(Data::Json(value)) => {
            member(&mut out, "data");
            put(&mut out, value);
        }
        Some(Data::String(text)) if !json => {
            member(&mut out, "data");
            put(&mut out, text);
        }
        Some(Data::String(text)) => data(&mut out, text.as_bytes(), json),
        Some(Data::Binary(bytes)) => data(&mut out, bytes, json),
    }
    out.push(b'}');
    out.into()
}

/// Bytes as they are where they are JSON, else in base64.
fn data(out: &mut Vec<u8>, bytes: &[u8], json: bool) {
    if json && serde_json::from_slice::<&RawValue>(bytes).is_ok() {
        member(out, "data");
        out.extend_from_slice(bytes);
    } else {
        member(out, "data_base64");
        put(out, &BASE64_STANDARD.encode(bytes));
    }
}

fn member(out: &mut Vec<u8>, name: &str) {
    if out.len() > 1 {
        out.push(b',');
    }
    put(out, name);
    out.push(b':');
}

fn put<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out.by_ref(), value).expect("text and numbers are always JSON");
}

/// An attribute's value in its canonical form.
fn text(value: &AttributeValue<'_>) -> String {
    match value {
        AttributeValue::Time(_) => {
            let time = value.to_string();
            time.strip_suffix("+00:00").map(|time| format!("{time}Z")).unwrap_or(time)
        }
        other => other.to_string(),
    }
}
