//! The two spellings of a trace: X-Ray's header, which functions read, and W3C's, which everyone else writes.
//!
//! ```text
//! X-Amzn-Trace-Id: Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1
//! traceparent:     00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01
//! ```
//!
//! X-Ray's root begins with a time. A W3C trace id is random there, and X-Ray's own back end refuses one whose time is more
//! than 30 days off; the id is kept as it is all the same, or the two halves of the trace would never meet.

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use crate::invocation::new_trace;

pub(crate) const X_RAY: HeaderName = HeaderName::from_static("x-amzn-trace-id");
pub(crate) const W3C: HeaderName = HeaderName::from_static("traceparent");

/// The length of a header with nothing but a root: that of a trace that begins here.
const BEGUN: usize = "Root=1-5759e988-bd862e3fe1be46a994272793".len();

/// The longest header that is taken for a trace. Clients end their process over a head that is too large for them (Node's at
/// 16 KB), and Python's over one that is not ASCII.
const LONGEST: usize = 1024;

/// The trace of a request, in X-Ray's spelling: its own, or W3C's, or that of the `event` it carries (a broker's request
/// is not the sender's); else a new one.
pub(crate) fn of(headers: &HeaderMap, event: Option<&str>) -> HeaderValue {
    let fits = |own: &&HeaderValue| (1..=LONGEST).contains(&own.len()) && own.to_str().is_ok();
    if let Some(own) = headers.get(X_RAY).filter(fits) {
        return own.clone();
    }
    let parent = headers.get(W3C).and_then(|value| value.to_str().ok()).and_then(to_x_ray);
    parent.or_else(|| to_x_ray(event?)).unwrap_or_else(new_trace)
}

/// The trace with what it leaves out, or a new one. AWS: a function always sees a root, a parent and whether it is sampled.
pub fn complete(given: Option<&HeaderValue>) -> HeaderValue {
    let text = |trace: &HeaderValue| trace.to_str().ok().map(str::to_owned);
    let has = |trace: &str, name: &str| trace.split(';').any(|field| field.trim().starts_with(name));
    let given =
        given.filter(|given| given.len() <= LONGEST).and_then(text).filter(|given| has(given, "Root="));
    let mut trace = given.or_else(|| text(&new_trace())).unwrap_or_default();
    if !has(&trace, "Parent=") {
        let random = Uuid::new_v4().simple().to_string();
        trace += &format!(";Parent={}", &random[16..]);
    }
    if !has(&trace, "Sampled=") {
        trace += ";Sampled=0";
    }
    HeaderValue::try_from(trace).expect("what a header had, and digits")
}

/// Adds a trace to an answer, in both spellings where it has both.
pub(crate) fn tell(headers: &mut HeaderMap, trace: HeaderValue) {
    if let Some(parent) = trace.to_str().ok().and_then(to_w3c) {
        headers.insert(W3C, parent);
    }
    headers.insert(X_RAY, trace);
}

/// X-Ray's spelling of a `traceparent`, if it is one.
pub(crate) fn to_x_ray(parent: &str) -> Option<HeaderValue> {
    let parts: Vec<&str> = parent.trim().split('-').collect();
    let [version, trace, span, flags, ..] = parts.as_slice() else { return None };
    // A version to come may add parts; the one there is may not, and 255 is no version.
    let known = hexadecimal(version, 2) && *version != "ff" && (*version != "00" || parts.len() == 4);
    let ids = hexadecimal(trace, 32) && hexadecimal(span, 16) && !zero(trace) && !zero(span);
    if !known || !ids || !hexadecimal(flags, 2) {
        return None;
    }
    let sampled = u8::from_str_radix(flags, 16).ok()? & 1;
    let (time, random) = trace.split_at(8);
    HeaderValue::try_from(format!("Root=1-{time}-{random};Parent={span};Sampled={sampled}")).ok()
}

/// The `traceparent` of an X-Ray header: there is one only if the header names a parent.
fn to_w3c(header: &str) -> Option<HeaderValue> {
    if header.len() <= BEGUN {
        return None;
    }
    let field = |name: &str| {
        header
            .split(';')
            .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
            .map(str::to_ascii_lowercase)
    };
    // The parent first: a trace that begins here has none.
    let (parent, root) = (field("Parent")?, field("Root")?);
    let (time, random) = root.strip_prefix("1-")?.split_once('-')?;
    if !hexadecimal(time, 8) || !hexadecimal(random, 24) || !hexadecimal(&parent, 16) || zero(&parent) {
        return None;
    }
    let flags = if field("Sampled").as_deref() == Some("1") { "01" } else { "00" };
    HeaderValue::try_from(format!("00-{time}{random}-{parent}-{flags}")).ok()
}

fn hexadecimal(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn zero(id: &str) -> bool {
    id.bytes().all(|byte| byte == b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
    const HEADER: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

    fn headers(given: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = given
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn each_spelling_becomes_the_other() {
        assert_eq!(to_x_ray(PARENT).unwrap(), HEADER);
        assert_eq!(to_w3c(HEADER).unwrap(), PARENT);
        assert_eq!(to_w3c(&format!("{HEADER};Lineage=a:1|b:2")).unwrap(), PARENT);
        assert!(
            to_x_ray("00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-00")
                .unwrap()
                .to_str()
                .unwrap()
                .ends_with("Sampled=0")
        );
        assert!(to_x_ray("01-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01-more").is_some());
    }

    #[test]
    fn what_a_client_would_not_survive_is_no_trace() {
        for own in [vec![b'a'; LONGEST + 1], b"Root=\xff".to_vec(), Vec::new()] {
            let mut headers = HeaderMap::new();
            headers.insert(X_RAY, HeaderValue::from_bytes(&own).unwrap());
            let trace = of(&headers, None);
            assert_eq!((trace.len(), &trace.as_bytes()[..7]), (BEGUN, &b"Root=1-"[..]));
            assert_eq!(of(&headers, Some(PARENT)), HEADER);
        }
    }

    #[test]
    fn what_is_no_trace_is_none() {
        for wrong in [
            "",
            "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8",
            "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01-more",
            "ff-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01",
            "00-00000000000000000000000000000000-53995c3f42cd8ad8-01",
            "00-5759e988bd862e3fe1be46a994272793-0000000000000000-01",
            "00-5759E988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01",
        ] {
            assert_eq!(to_x_ray(wrong), None, "{wrong}");
        }
        for wrong in
            ["", "Root=1-5759e988-bd862e3fe1be46a994272793", "Root=2;Parent=53995c3f42cd8ad8", "Self=1"]
        {
            assert_eq!(to_w3c(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_missing_is_added_and_the_rest_stays() {
        let completed = |given: Option<&'static str>| {
            complete(given.map(HeaderValue::from_static).as_ref()).to_str().unwrap().to_owned()
        };
        let whole = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=a:0";
        assert_eq!(completed(Some(whole)), whole);
        let root = &whole[..BEGUN];
        let added = completed(Some(root));
        assert!(added.starts_with(&format!("{root};Parent=")) && added.ends_with(";Sampled=0"), "{added}");
        for given in [None, Some("nonsense")] {
            let new = completed(given);
            assert!(new.starts_with("Root=1-") && new.len() == whole.len() - ";Lineage=a:0".len(), "{new}");
        }
    }

    #[test]
    fn a_requests_own_trace_goes_before_that_of_its_event() {
        let other = "00-11111111111111111111111111111111-2222222222222222-00";
        assert_eq!(of(&headers(&[("x-amzn-trace-id", HEADER), ("traceparent", other)]), None), HEADER);
        assert_eq!(of(&headers(&[("traceparent", PARENT)]), Some(other)), HEADER);
        assert_eq!(of(&headers(&[("traceparent", "odd")]), Some(PARENT)), HEADER);
        assert!(of(&HeaderMap::new(), None).to_str().unwrap().starts_with("Root=1-"));
        let mut answer = HeaderMap::new();
        tell(&mut answer, HeaderValue::from_static(HEADER));
        assert_eq!(
            (&answer[X_RAY], &answer[W3C]),
            (&HeaderValue::from_static(HEADER), &HeaderValue::from_static(PARENT))
        );
    }
}
