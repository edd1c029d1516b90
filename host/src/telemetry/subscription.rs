//! What an extension asks for when it subscribes.

use std::time::Duration;

use http::{Method, Uri};
use serde::Deserialize;

use super::{event::Category, schema::Schema};

/// A subscription within all limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) schema: Schema,
    pub(crate) types: Vec<Category>,
    pub(crate) buffering: Buffering,
    pub(crate) destination: Destination,
}

/// When a batch is sent: whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Buffering {
    pub(crate) max_items: usize,
    pub(crate) max_bytes: usize,
    pub(crate) timeout: Duration,
}

/// Where to, on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A JSON array a batch.
    Http { method: Method, uri: Uri, port: u16 },
    /// A line an event.
    Tcp { port: u16 },
}

/// What is wrong with a request.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Invalid {
    #[error("not a subscription: {0}")]
    Document(String),
    #[error("schemaVersion: expected {0}")]
    SchemaVersion(&'static str),
    #[error("types: expected one or more of platform, function, extension")]
    NoTypes,
    #[error("buffering.{field}: expected {least} to {most}, got {got}")]
    Buffering { field: &'static str, least: u64, most: u64, got: u64 },
    #[error("destination.URI: expected http://sandbox.localdomain:PORT/PATH")]
    Uri,
    #[error("destination.port: expected 1 to 65535")]
    Port,
    #[error("destination.method: expected POST or PUT")]
    Method,
    #[error("destination.protocol: expected HTTP or TCP")]
    Protocol,
}

/// Which of the two APIs is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    Telemetry,
    Logs,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    schema_version: Option<Schema>,
    types: Vec<Category>,
    buffering: Option<RequestedBuffering>,
    destination: RequestedDestination,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RequestedBuffering {
    max_items: Option<u64>,
    max_bytes: Option<u64>,
    timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
struct RequestedDestination {
    protocol: String,
    #[serde(rename = "URI", alias = "uri")]
    uri: Option<String>,
    port: Option<u16>,
    /// The Logs API's documents have it.
    method: Option<String>,
}

impl Subscription {
    /// Reads a request to `api`.
    pub(crate) fn parse(api: Api, body: &[u8]) -> Result<Self, Invalid> {
        let request: Request =
            serde_json::from_slice(body).map_err(|error| Invalid::Document(error.to_string()))?;
        if request.types.is_empty() {
            return Err(Invalid::NoTypes);
        }
        let asked = request.buffering.unwrap_or_default();
        let timeout = within("timeoutMs", asked.timeout_ms, 1000, 25, 30_000)?;
        Ok(Self {
            schema: schema(api, request.schema_version)?,
            types: request.types,
            buffering: Buffering {
                max_items: size(within("maxItems", asked.max_items, 10_000, 1000, 10_000)?),
                max_bytes: size(within("maxBytes", asked.max_bytes, 262_144, 262_144, 1_048_576)?),
                timeout: Duration::from_millis(timeout),
            },
            destination: request.destination.check()?,
        })
    }
}

fn schema(api: Api, asked: Option<Schema>) -> Result<Schema, Invalid> {
    match (api, asked) {
        (Api::Telemetry, None) => Ok(Schema::Telemetry2022July),
        (Api::Telemetry, Some(schema)) if !schema.is_of_logs() => Ok(schema),
        (Api::Telemetry, Some(_)) => Err(Invalid::SchemaVersion("2022-07-01, 2022-12-13 or 2025-01-29")),
        (Api::Logs, None) => Ok(Schema::Logs2020),
        (Api::Logs, Some(schema)) if schema.is_of_logs() => Ok(schema),
        (Api::Logs, Some(_)) => Err(Invalid::SchemaVersion("2020-08-15 or 2021-03-18")),
    }
}

fn within(
    field: &'static str,
    asked: Option<u64>,
    default: u64,
    least: u64,
    most: u64,
) -> Result<u64, Invalid> {
    let got = asked.unwrap_or(default);
    if (least..=most).contains(&got) { Ok(got) } else { Err(Invalid::Buffering { field, least, most, got }) }
}

fn size(limit: u64) -> usize {
    usize::try_from(limit).expect("the limits are under a few megabytes")
}

impl RequestedDestination {
    fn check(self) -> Result<Destination, Invalid> {
        if self.protocol.eq_ignore_ascii_case("TCP") {
            let port = self.port.filter(|&port| port != 0).ok_or(Invalid::Port)?;
            return Ok(Destination::Tcp { port });
        }
        if !self.protocol.eq_ignore_ascii_case("HTTP") {
            return Err(Invalid::Protocol);
        }
        let method = match self.method.as_deref() {
            None | Some("POST") => Method::POST,
            Some("PUT") => Method::PUT,
            Some(_) => return Err(Invalid::Method),
        };
        let uri: Uri = self.uri.as_deref().unwrap_or_default().parse().map_err(|_| Invalid::Uri)?;
        // Lambda's names for the environment itself. Nothing resolves them here: they, and no others, mean this machine.
        const HERE: [&str; 4] = ["sandbox.localdomain", "sandbox", "localhost", "127.0.0.1"];
        let here = uri.host().is_some_and(|host| HERE.contains(&host));
        if uri.scheme_str() != Some("http") || !here {
            return Err(Invalid::Uri);
        }
        let port = uri.port_u16().unwrap_or(80);
        Ok(Destination::Http { method, uri, port })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(api: Api, request: Value) -> Result<Subscription, Invalid> {
        Subscription::parse(api, request.to_string().as_bytes())
    }

    fn http() -> Value {
        json!({"protocol": "HTTP", "URI": "http://sandbox.localdomain:8080/logs"})
    }

    #[test]
    fn defaults_are_lambdas() {
        let asked =
            json!({"schemaVersion": "2022-12-13", "types": ["platform", "function"], "destination": http()});
        let got = parse(Api::Telemetry, asked).unwrap();
        assert_eq!(got.types, [Category::Platform, Category::Function]);
        let timeout = Duration::from_secs(1);
        assert_eq!(got.buffering, Buffering { max_items: 10_000, max_bytes: 262_144, timeout });
        let Destination::Http { uri, port: 8080, .. } = got.destination else { panic!() };
        assert_eq!(uri.path(), "/logs");
        let tcp = json!({"types": ["extension"], "destination": {"protocol": "TCP", "port": 9}});
        let got = parse(Api::Logs, tcp).unwrap();
        assert_eq!((got.schema, got.destination), (Schema::Logs2020, Destination::Tcp { port: 9 }));
    }

    #[test]
    fn limits_are_kept() {
        for (field, least, most) in
            [("maxItems", 1000, 10_000), ("maxBytes", 262_144, 1_048_576), ("timeoutMs", 25, 30_000)]
        {
            for (got, fine) in [(least, true), (most, true), (least - 1, false), (most + 1, false)] {
                let buffering = json!({field: got});
                let asked = json!({"types": ["function"], "destination": http(), "buffering": buffering});
                assert_eq!(parse(Api::Telemetry, asked).is_ok(), fine, "{field} {got}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |field: &str, value: Value| {
            let mut asked =
                json!({"schemaVersion": "2022-07-01", "types": ["platform"], "destination": http()});
            asked[field] = value;
            parse(Api::Telemetry, asked).unwrap_err().to_string()
        };
        for (field, value, named) in [
            ("schemaVersion", json!("2020-08-15"), "schemaVersion: expected 2022-07-01"),
            ("schemaVersion", json!("2019-01-01"), "2019-01-01"),
            ("types", json!([]), "types: expected"),
            ("types", json!(["nothing"]), "nothing"),
            ("destination", json!({"protocol": "UDP"}), "destination.protocol"),
            ("destination", json!({"protocol": "TCP"}), "destination.port"),
            ("destination", json!({"protocol": "HTTP"}), "destination.URI"),
            ("destination", json!({"protocol": "HTTP", "URI": "http://example.com/"}), "destination.URI"),
            ("destination", json!({"protocol": "HTTP", "URI": "https://sandbox:1/"}), "destination.URI"),
        ] {
            let told = with(field, value);
            assert!(told.contains(named), "{told}");
        }
    }
}
