//! Signature Version 4, the verifying side. Pure: what was sent, what was claimed, what time it is.
//!
//! AWS: "Create a signed AWS API request". The signed path of every service but S3 is normalised, and encoded once more than
//! it is sent, so that an ARN's `%3A` is signed as `%253A`.

use std::{borrow::Cow, collections::HashMap, fmt::Write as _};

use http::{HeaderMap, header, request::Parts};
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::{hex::hex, lambda_api::error::Code};

/// How far the clocks may be apart.
const SKEW: SignedDuration = SignedDuration::from_mins(5);
pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "lambda";
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// A path's slashes stand.
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// Why a request is not let in, in AWS's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not signed at all.
    #[error("Missing Authentication Token")]
    Missing,
    /// The signature cannot be read.
    #[error("{0}")]
    Incomplete(String),
    /// Nobody has this key, or its session is another.
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    /// Signed for another place, or another time.
    #[error("{0}")]
    Invalid(String),
    /// Signed by somebody who has not the secret, or changed on its way.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key \
         and signing method. Consult the service documentation for details."
    )]
    Mismatch,
}

impl Refused {
    /// AWS's name for it.
    pub fn code(&self) -> Code {
        match self {
            Self::Missing => Code::MissingAuthenticationToken,
            Self::Incomplete(_) => Code::IncompleteSignature,
            Self::UnknownKey => Code::UnrecognizedClient,
            Self::Invalid(_) | Self::Mismatch => Code::InvalidSignature,
        }
    }
}

/// What a request says of who signed it, and how: in the `Authorization` header, or presigned in the query.
#[derive(Debug, PartialEq, Eq)]
pub struct Claim {
    /// The access key id.
    pub key: String,
    /// The session token that came along.
    pub token: Option<String>,
    scope: Scope,
    signed: Vec<String>,
    signature: String,
    time: String,
    /// How long a presigned request is good for.
    expires: Option<SignedDuration>,
}

#[derive(Debug, PartialEq, Eq)]
struct Scope {
    date: String,
    region: String,
    service: String,
}

impl Claim {
    /// Reads it.
    pub fn of(parts: &Parts) -> Result<Self, Refused> {
        let query = Query::of(parts);
        if query.get("X-Amz-Algorithm").is_some() {
            return Self::presigned(&query);
        }
        let header = text(&parts.headers, header::AUTHORIZATION.as_str()).ok_or(Refused::Missing)?;
        let rest = header.strip_prefix(ALGORITHM).ok_or_else(|| {
            Refused::Incomplete(format!("Unsupported AWS 'algorithm': expected {ALGORITHM}."))
        })?;
        let fields: HashMap<&str, &str> =
            rest.split(',').filter_map(|field| field.trim().split_once('=')).collect();
        let field = |name: &'static str| fields.get(name).copied().ok_or_else(|| lacks(name));
        let (key, scope) = credential(field("Credential")?)?;
        let time = text(&parts.headers, "x-amz-date").ok_or_else(|| lacks("X-Amz-Date"))?;
        Ok(Self {
            key,
            token: text(&parts.headers, "x-amz-security-token").map(str::to_owned),
            scope,
            signed: field("SignedHeaders")?.split(';').map(str::to_owned).collect(),
            signature: field("Signature")?.to_owned(),
            time: time.to_owned(),
            expires: None,
        })
    }

    fn presigned(query: &Query) -> Result<Self, Refused> {
        let field = |name: &'static str| query.get(name).ok_or_else(|| lacks(name));
        let (key, scope) = credential(field("X-Amz-Credential")?)?;
        let seconds = field("X-Amz-Expires")?.parse().ok().filter(|seconds| (0..=604_800).contains(seconds));
        Ok(Self {
            key,
            token: query.get("X-Amz-Security-Token").map(str::to_owned),
            scope,
            signed: field("X-Amz-SignedHeaders")?.split(';').map(str::to_owned).collect(),
            signature: field("X-Amz-Signature")?.to_owned(),
            time: field("X-Amz-Date")?.to_owned(),
            expires: Some(SignedDuration::from_secs(seconds.ok_or_else(|| lacks("X-Amz-Expires"))?)),
        })
    }

    /// Whether the request was signed with this secret, for this region, just now.
    pub fn verify(
        &self,
        parts: &Parts,
        body: &[u8],
        secret: &str,
        region: &str,
        now: Timestamp,
    ) -> Result<(), Refused> {
        if self.scope.region != region {
            let got = &self.scope.region;
            return Err(Refused::Invalid(format!(
                "Credential should be scoped to a valid region, not '{got}'. "
            )));
        }
        if self.scope.service != SERVICE {
            return Err(Refused::Invalid(format!(
                "Credential should be scoped to correct service: '{SERVICE}'. "
            )));
        }
        // Else the same signature would do for another server.
        if !self.signed.iter().any(|name| name == "host") {
            return Err(Refused::Incomplete(
                "'Host' must be a 'SignedHeader' in the AWS Authorization.".into(),
            ));
        }
        let time = self.check_time(now)?;
        let request = self.canonical(parts, body);
        let Scope { date, region, service } = &self.scope;
        let said = format!(
            "{ALGORITHM}\n{}\n{date}/{region}/{service}/aws4_request\n{}",
            self.time,
            sha256(request.as_bytes())
        );
        let key = aws_sigv4::sign::v4::generate_signing_key(secret, time.into(), region, service);
        let expected = aws_sigv4::sign::v4::calculate_signature(key, said.as_bytes());
        if same(expected.as_bytes(), self.signature.as_bytes()) { Ok(()) } else { Err(Refused::Mismatch) }
    }

    fn check_time(&self, now: Timestamp) -> Result<Timestamp, Refused> {
        let read = DateTime::strptime("%Y%m%dT%H%M%SZ", &self.time).ok();
        let time = read.and_then(|time| time.to_zoned(TimeZone::UTC).ok()).map(|time| time.timestamp());
        let time = time.ok_or_else(|| lacks("X-Amz-Date"))?;
        if !self.time.starts_with(&self.scope.date) {
            let (scope, date) = (&self.scope.date, self.time.get(..8).unwrap_or_default());
            let words = format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{scope}' != '{date}', from '{}'.",
                self.time
            );
            return Err(Refused::Invalid(words));
        }
        let (oldest, newest) = (now - self.expires.unwrap_or(SKEW), now + SKEW);
        let stamp = |time: Timestamp| time.strftime("%Y%m%dT%H%M%SZ").to_string();
        let [then, at] = [time, now].map(stamp);
        if time < oldest {
            let limit = stamp(oldest);
            return Err(Refused::Invalid(format!(
                "Signature expired: {then} is now earlier than {limit} ({at} - 5 min.)"
            )));
        }
        if time > newest {
            let limit = stamp(newest);
            return Err(Refused::Invalid(format!(
                "Signature not yet current: {then} is still later than {limit} ({at} + 5 min.)"
            )));
        }
        Ok(time)
    }

    /// The request as it was signed.
    fn canonical(&self, parts: &Parts, body: &[u8]) -> String {
        let path = normalised(parts.uri.path());
        let path = utf8_percent_encode(&path, PATH);
        let query = Query::of(parts).canonical();
        let mut canonical = format!("{}\n{path}\n{query}\n", parts.method);
        for name in &self.signed {
            let _ = writeln!(canonical, "{name}:{}", values(parts, name));
        }
        let _ = write!(canonical, "\n{}\n{}", self.signed.join(";"), sha256(body));
        canonical
    }
}

/// A path without its empty segments and its dots (RFC 3986, section 5.2.4). It was sent with them: this is for the signature
/// alone.
fn normalised(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let is_folder = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end)) && !segments.is_empty();
    format!("/{}{}", segments.join("/"), if is_folder { "/" } else { "" })
}

/// `<key>/<date>/<region>/<service>/aws4_request`.
fn credential(text: &str) -> Result<(String, Scope), Refused> {
    let mut parts = text.rsplitn(5, '/');
    let mut next = || parts.next().filter(|part| !part.is_empty()).map(str::to_owned);
    match (next(), next(), next(), next(), next()) {
        (Some(end), Some(service), Some(region), Some(date), Some(key)) if end == "aws4_request" => {
            Ok((key, Scope { date, region, service }))
        }
        _ => Err(Refused::Incomplete(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term."
                .into(),
        )),
    }
}

fn lacks(name: &str) -> Refused {
    Refused::Incomplete(format!("Authorization header requires '{name}' parameter."))
}

/// A query, decoded.
struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    fn of(parts: &'a Parts) -> Self {
        let decoded = |text: &'a str| percent_decode_str(text).decode_utf8_lossy();
        let pairs = parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(pairs.map(|(name, value)| (decoded(name), decoded(value))).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(is, _)| is == name).map(|(_, value)| value.as_ref())
    }

    /// Encoded anew and sorted; a signature cannot sign itself.
    fn canonical(&self) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, UNRESERVED).to_string();
        let pairs = self.0.iter().filter(|(name, _)| name != "X-Amz-Signature");
        let mut pairs: Vec<_> = pairs.map(|(name, value)| (encoded(name), encoded(value))).collect();
        pairs.sort();
        let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("&")
    }
}

/// All values of a header, each without the blanks that mean nothing.
fn values(parts: &Parts, name: &str) -> String {
    let values = parts.headers.get_all(name).iter().map(|value| {
        String::from_utf8_lossy(value.as_bytes()).split_whitespace().collect::<Vec<_>>().join(" ")
    });
    let joined = values.collect::<Vec<_>>().join(",");
    // HTTP/2 says it in the request's own line.
    let authority = || parts.uri.authority().map(ToString::to_string).unwrap_or_default();
    if joined.is_empty() && name == "host" { authority() } else { joined }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Takes as long whatever the first difference is.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests;
