//! Where a batch goes.

use std::time::Duration;

use reqwest::Url;

use super::node::{Fields, Node};
use super::not_yet;
use crate::deliver::AckMode;

/// The largest event Lambda takes.
pub const LARGEST_EVENT: usize = 6_291_456;

/// Where a mapping or a trigger delivers to, in the order of design.md §2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Its own `sink`.
    Sink(Sink),
    /// The `Function` of this name in the same files.
    Function(String),
    /// `K_SINK`, as [`Resources::resolve`](super::Resources::resolve) found it.
    Environment(Sink),
    /// None of the files says; the environment may.
    Unresolved,
}

/// An HTTP endpoint that takes CloudEvents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sink {
    /// http or https.
    pub uri: Url,
    /// For one request; unset, the queue's visibility timeout, else 300 s.
    pub timeout: Option<Duration>,
    /// What its 2xx says; unset, [`implied`] by the address.
    pub ack_mode: Option<AckMode>,
    /// HTTP/2 with prior knowledge.
    pub http2: bool,
    /// The largest event it takes, at most [`LARGEST_EVENT`].
    pub maximum_payload_bytes: usize,
    /// PEM certificates to trust besides the usual roots.
    pub ca_certs: Option<String>,
    /// The sink wants an OIDC token for this audience.
    pub audience: Option<String>,
}

/// What Knative (and klr's own deployment) says by environment variables. Passed in, so that reading resources is pure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// `K_SINK`.
    pub k_sink: Option<String>,
    /// `K_CA_CERTS`, PEM.
    pub k_ca_certs: Option<String>,
}

impl Sink {
    /// This address, everything else by default.
    pub fn new(uri: Url) -> Self {
        Self {
            uri,
            timeout: None,
            ack_mode: None,
            http2: false,
            maximum_payload_bytes: LARGEST_EVENT,
            ca_certs: None,
            audience: None,
        }
    }

    /// What its 2xx says.
    pub fn ack_mode(&self) -> AckMode {
        self.ack_mode.unwrap_or_else(|| implied(&self.uri))
    }
}

impl Environment {
    /// The sink of `K_SINK`: `None` when it is not set, an error when it is no address.
    pub fn sink(&self) -> Option<Result<Sink, String>> {
        let text = self.k_sink.as_deref().filter(|text| !text.is_empty())?;
        let sink = address(text).map(|uri| Sink { ca_certs: self.k_ca_certs.clone(), ..Sink::new(uri) });
        Some(sink.map_err(|why| format!("K_SINK {why}")))
    }
}

/// What a 2xx says when nobody wrote it down. The ingress of a Broker or Channel answers before any function has run;
/// these are their well-known hosts, with any cluster domain behind.
pub fn implied(uri: &Url) -> AckMode {
    let host = uri.host_str().unwrap_or_default();
    let mut labels = host.split('.');
    let (service, namespace) = (labels.next().unwrap_or_default(), labels.next().unwrap_or_default());
    let eventing =
        namespace == "knative-eventing" && (service.contains("ingress") || service.contains("dispatcher"));
    let channel = service.ends_with("-kn-channel") || service.ends_with("-broker-ingress");
    if eventing || channel { AckMode::Accepted } else { AckMode::Replied }
}

/// What `spec` says about it; whether a `Function` or the environment has more is seen later.
pub(super) fn read(spec: &Fields) -> Option<Target> {
    not_yet::lambda(spec);
    match spec.get("sink") {
        Some(sink) => read_sink(&sink).map(Target::Sink),
        None => Some(Target::Unresolved),
    }
}

fn read_sink(node: &Node) -> Option<Sink> {
    let fields = node.fields(&[
        "uri",
        "ref",
        "timeout",
        "ackMode",
        "http",
        "maximumPayloadBytes",
        "CACerts",
        "audience",
    ])?;
    let timeout = fields.get("timeout").and_then(|node| duration(&node));
    let ack_mode = fields.get("ackMode").and_then(|node| ack_mode(&node));
    let http2 = fields.get("http").and_then(|node| node.whole(1..=2)).is_some_and(|version| version == 2);
    let largest = LARGEST_EVENT as i64;
    let maximum_payload_bytes = fields.get("maximumPayloadBytes").and_then(|node| node.size(1..=largest));
    let ca_certs = fields.get("CACerts").and_then(|node| match node.text()? {
        pem if pem.contains("-----BEGIN CERTIFICATE-----") => Some(pem.to_owned()),
        _ => node.refuse("must be PEM certificates, beginning with -----BEGIN CERTIFICATE-----"),
    });
    let audience = fields.get("audience").and_then(|node| node.word()).map(str::to_owned);
    if not_yet::sink_ref(&fields) {
        return None;
    }
    let uri = fields.required("uri")?;
    let uri = address(uri.text()?).map_err(|why| uri.wrong(why)).ok()?;
    let sink = Sink::new(uri);
    let maximum_payload_bytes = maximum_payload_bytes.unwrap_or(sink.maximum_payload_bytes);
    Some(Sink { timeout, ack_mode, http2, maximum_payload_bytes, ca_certs, audience, ..sink })
}

fn ack_mode(node: &Node) -> Option<AckMode> {
    let modes =
        [("replied", Some(AckMode::Replied)), ("accepted", Some(AckMode::Accepted)), ("completed", None)];
    node.one_of(&modes)?.or_else(|| not_yet::completed(node))
}

/// An address that can be delivered to, or what would be right. Never repeats the text: it may hold a password.
fn address(text: &str) -> Result<Url, &'static str> {
    let expected = "must be an absolute http or https address, as http://name.namespace.svc.cluster.local";
    let url = Url::parse(text).map_err(|_| expected)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(expected);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or password");
    }
    Ok(url)
}

/// `30s`, `500ms`, `2m`; more than nothing, at most Lambda's 15 minutes.
fn duration(node: &Node) -> Option<Duration> {
    let expected = "must be a time up to 15 minutes with its unit, as 30s, 500ms or 2m";
    if !node.is_text() {
        return node.refuse(expected);
    }
    let text = node.text()?;
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        _ => return node.refuse(expected),
    };
    let time = count.parse().ok().and_then(|count| unit.checked_mul(count));
    match time {
        Some(time) if !time.is_zero() && time <= Duration::from_secs(900) => Some(time),
        _ => node.refuse(expected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_and_channels_only_accept() {
        for (uri, mode) in [
            ("http://broker-ingress.knative-eventing.svc.cluster.local/ns/default", AckMode::Accepted),
            ("http://kafka-broker-ingress.knative-eventing.svc/ns/b", AckMode::Accepted),
            ("http://kafka-channel-ingress.knative-eventing.svc.example.org/", AckMode::Accepted),
            ("http://imc-dispatcher.knative-eventing.svc/", AckMode::Accepted),
            ("http://orders-kn-channel.shop.svc.cluster.local", AckMode::Accepted),
            ("http://default-broker-ingress.shop.svc.cluster.local", AckMode::Accepted),
            ("http://orders.shop.svc.cluster.local", AckMode::Replied),
            ("http://localhost:8080", AckMode::Replied),
        ] {
            assert_eq!(Sink::new(uri.parse().unwrap()).ack_mode(), mode, "{uri}");
        }
    }

    #[test]
    fn the_environment_may_name_a_sink() {
        let environment =
            |sink: &str| Environment { k_sink: Some(sink.to_owned()), k_ca_certs: Some("PEM".to_owned()) };
        let sink = environment("http://a.b.svc/").sink().unwrap().unwrap();
        assert_eq!((sink.uri.as_str(), sink.ca_certs.as_deref()), ("http://a.b.svc/", Some("PEM")));
        assert!(environment("a.b").sink().unwrap().unwrap_err().starts_with("K_SINK must be"));
        assert_eq!((environment("").sink(), Environment::default().sink()), (None, None));
    }
}
