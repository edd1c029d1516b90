//! A function's reply as the HTTP answer a Function URL makes of it.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, SET_COOKIE},
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::event::HOP_BY_HOP;
use crate::serve::{Answer, json};

/// What ends the head of a streamed reply.
pub(super) const SEPARATOR: [u8; 8] = [0; 8];

/// Why a reply is no HTTP answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("expected JSON")]
    NotJson,
    #[error("statusCode: expected a number from 200 to 599")]
    Status,
    #[error("headers: expected an object of names and texts")]
    Headers,
    #[error("body: expected base64, as isBase64Encoded says")]
    Base64,
}

/// The fields of a reply that says what it wants. All but the status may be missing, or null.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    status_code: Option<Value>,
    headers: Option<BTreeMap<String, Value>>,
    cookies: Option<Vec<String>>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    is_base64_encoded: Option<bool>,
}

/// The answer a reply stands for.
pub(super) fn to_http(reply: &Bytes) -> Result<Answer, Unfit> {
    // No JSON has a NUL in it: what has eight was streamed, and what comes before them is its head.
    if let Some(at) = separator(reply) {
        let (status, headers) = head(&reply[..at])?;
        return Ok(assembled(status, headers, reply.slice(at + SEPARATOR.len()..)));
    }
    let first = reply.iter().find(|byte| !byte.is_ascii_whitespace()).ok_or(Unfit::NotJson)?;
    match first {
        b'{' => object(reply),
        b'"' => {
            let text: String = serde_json::from_slice(reply).map_err(|_| Unfit::NotJson)?;
            Ok(json(StatusCode::OK, text))
        }
        _ => inferred(reply),
    }
}

/// Where a head ends, if one does.
pub(super) fn separator(reply: &[u8]) -> Option<usize> {
    reply.windows(SEPARATOR.len()).position(|window| window == SEPARATOR)
}

fn object(reply: &Bytes) -> Result<Answer, Unfit> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(reply).map_err(|_| Unfit::NotJson)?;
    if !members.contains_key("statusCode") {
        return inferred(reply);
    }
    let fields: Fields = serde_json::from_slice(reply).map_err(|_| Unfit::Headers)?;
    let body = body(fields.body, fields.is_base64_encoded.unwrap_or_default())?;
    let (status, headers) = (status(fields.status_code.as_ref())?, headers(fields.headers, fields.cookies)?);
    Ok(assembled(status, headers, body))
}

/// The head of a streamed reply: a status, 200 if it has none, and headers.
pub(super) fn head(text: &[u8]) -> Result<(StatusCode, HeaderMap), Unfit> {
    let fields: Fields = serde_json::from_slice(text).map_err(|_| Unfit::Headers)?;
    let status =
        if fields.status_code.is_some() { status(fields.status_code.as_ref())? } else { StatusCode::OK };
    Ok((status, headers(fields.headers, fields.cookies)?))
}

/// A reply that says nothing about HTTP is the body of a success.
fn inferred(reply: &Bytes) -> Result<Answer, Unfit> {
    serde_json::from_slice::<&RawValue>(reply).map_err(|_| Unfit::NotJson)?;
    Ok(json(StatusCode::OK, compact(reply)))
}

fn assembled(status: StatusCode, headers: HeaderMap, body: Bytes) -> Answer {
    let mut answer = json(status, body);
    if headers.contains_key(CONTENT_TYPE) {
        answer.headers_mut().remove(CONTENT_TYPE);
    }
    answer.headers_mut().extend(headers);
    answer
}

/// A number, or a text of digits.
fn status(code: Option<&Value>) -> Result<StatusCode, Unfit> {
    let number = match code {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    let number =
        number.filter(|number| (200..600).contains(number)).and_then(|number| u16::try_from(number).ok());
    number.and_then(|number| StatusCode::from_u16(number).ok()).ok_or(Unfit::Status)
}

/// Cookies first, a line each, then the headers. What concerns the connection is ours to say, not the function's.
fn headers(given: Option<BTreeMap<String, Value>>, cookies: Option<Vec<String>>) -> Result<HeaderMap, Unfit> {
    let mut all = HeaderMap::new();
    for cookie in cookies.unwrap_or_default() {
        all.append(SET_COOKIE, HeaderValue::try_from(cookie).map_err(|_| Unfit::Headers)?);
    }
    for (name, value) in given.unwrap_or_default() {
        let name = HeaderName::try_from(name).map_err(|_| Unfit::Headers)?;
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Null => continue,
            Value::Array(_) | Value::Object(_) => return Err(Unfit::Headers),
        };
        if HOP_BY_HOP.contains(&name.as_str()) || name == CONTENT_LENGTH {
            continue;
        }
        all.append(name, HeaderValue::from_bytes(text.as_bytes()).map_err(|_| Unfit::Headers)?);
    }
    Ok(all)
}

/// Text as it is, or out of its base64; anything else as JSON.
fn body(raw: Option<&RawValue>, is_base64: bool) -> Result<Bytes, Unfit> {
    let Some(raw) = raw else { return Ok(Bytes::new()) };
    if !raw.get().starts_with('"') {
        return Ok(compact(raw.get().as_bytes()).into());
    }
    let text: String = serde_json::from_str(raw.get()).map_err(|_| Unfit::NotJson)?;
    if is_base64 {
        BASE64_STANDARD.decode(text).map(Bytes::from).map_err(|_| Unfit::Base64)
    } else {
        Ok(text.into())
    }
}

/// JSON without the blanks between its tokens. Not parsed and written again: numbers and the order of keys stay.
fn compact(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let (mut in_text, mut escaped) = (false, false);
    for &byte in json {
        if in_text || !byte.is_ascii_whitespace() {
            out.push(byte);
        }
        if byte == b'"' && !escaped {
            in_text = !in_text;
        }
        escaped = in_text && byte == b'\\' && !escaped;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(reply: &'static [u8]) -> Result<(u16, HeaderMap, Bytes), Unfit> {
        let answer = to_http(&Bytes::from_static(reply))?;
        let (head, body) = answer.into_parts();
        let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
        Ok((head.status.as_u16(), head.headers, body))
    }

    #[tokio::test]
    async fn a_reply_that_says_nothing_of_http_is_a_success() {
        for (reply, body) in [
            (&b"{\"n\": 1.0, \"a\": \"b \\\" c\"}"[..], &b"{\"n\":1.0,\"a\":\"b \\\" c\"}"[..]),
            (b"\"hello\"", b"hello"),
            (b"[\"hello\", 3, true]", b"[\"hello\",3,true]"),
            (b"null", b"null"),
            (b" 9007199254740993\n", b"9007199254740993"),
        ] {
            let (status, headers, got) = told(reply).await.unwrap();
            assert_eq!((status, &got[..]), (200, body));
            assert_eq!(headers[CONTENT_TYPE], "application/json");
        }
        assert_eq!(told(b"hello").await.unwrap_err(), Unfit::NotJson);
        assert_eq!(told(b"").await.unwrap_err(), Unfit::NotJson);
    }

    #[tokio::test]
    async fn a_reply_with_a_status_says_everything() {
        let reply = br#"{"statusCode":"201","headers":{"Content-Type":"text/html","X-N":1,"Set-Cookie":"c=3",
            "Content-Length":"99","Connection":"close"},"cookies":["a=1","b=2"],"body":"PGI+","isBase64Encoded":true}"#;
        let (status, headers, body) = told(reply).await.unwrap();
        assert_eq!((status, &body[..]), (201, &b"<b>"[..]));
        let cookies: Vec<_> = headers.get_all(SET_COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1", "b=2", "c=3"]);
        assert_eq!(
            (&headers[CONTENT_TYPE], &headers["x-n"], headers.len()),
            (&"text/html".parse().unwrap(), &"1".parse().unwrap(), 5)
        );

        let (status, headers, body) = told(br#"{"statusCode":204}"#).await.unwrap();
        assert_eq!((status, body.len()), (204, 0));
        assert_eq!(headers[CONTENT_TYPE], "application/json");
        let (_, _, body) = told(br#"{"statusCode":200,"headers":null,"body":{"a": [1, 2]}}"#).await.unwrap();
        assert_eq!(body, r#"{"a":[1,2]}"#);
    }

    #[tokio::test]
    async fn a_reply_that_is_wrong_is_told_why() {
        for (reply, unfit) in [
            (&br#"{"statusCode":"OK"}"#[..], Unfit::Status),
            (br#"{"statusCode":99}"#, Unfit::Status),
            (br#"{"statusCode":null}"#, Unfit::Status),
            (br#"{"statusCode":200,"headers":[]}"#, Unfit::Headers),
            (br#"{"statusCode":200,"headers":{"a b":"c"}}"#, Unfit::Headers),
            (br#"{"statusCode":200,"headers":{"a":"b\nc"}}"#, Unfit::Headers),
            (br#"{"statusCode":200,"body":"?","isBase64Encoded":true}"#, Unfit::Base64),
        ] {
            assert_eq!(told(reply).await.unwrap_err(), unfit, "{}", String::from_utf8_lossy(reply));
        }
    }

    #[tokio::test]
    async fn a_gathered_stream_has_its_head_taken_off() {
        let reply = b"{\"statusCode\":201,\"headers\":{\"content-type\":\"text/plain\"},\"cookies\":[\"a=b\"]}\0\0\0\0\0\0\0\0\0x";
        let (status, headers, body) = told(reply).await.unwrap();
        assert_eq!((status, &body[..]), (201, &b"\0x"[..]));
        assert_eq!(
            (&headers[CONTENT_TYPE], &headers[SET_COOKIE]),
            (&"text/plain".parse().unwrap(), &"a=b".parse().unwrap())
        );
    }
}
