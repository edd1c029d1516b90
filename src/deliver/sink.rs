//! An HTTP sink: one POST a batch, over kept connections.

use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Once},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use klr_contract::{Pieces, Record, Shape};
use reqwest::{Client, Response, Url, redirect};

use super::{
    AckMode, Delivered, Invoker, Outcome, Window, body,
    cloudevent::Headers,
    outcome::{LARGEST_REPLY, classify},
    request,
};

/// Where a connection has not come about after this long, the sink is unreachable.
const CONNECT: Duration = Duration::from_secs(10);

/// Knative mounts the OIDC token of a sink with an audience here.
const OIDC_TOKEN: &str = "/oidc/token";

/// How to reach a sink.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to POST.
    pub uri: Url,
    /// What its 2xx says.
    pub ack_mode: AckMode,
    /// HTTP/2 with prior knowledge (h2c) instead of HTTP/1.1.
    pub http2: bool,
    /// PEM certificates to trust besides the usual roots (`K_CA_CERTS`).
    pub ca_certs: Option<String>,
    /// The sink wants an OIDC token made out to this audience.
    pub audience: Option<String>,
    /// How long a request will be given, where that is known. Connecting has half of it: a host that is down and does not
    /// even refuse would otherwise look like a function that runs too long, and cost its records their retries.
    pub timeout: Option<Duration>,
}

/// A sink that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The CA certificates.
    #[error("the sink's CA certificates are not PEM certificates")]
    CaCerts(#[source] reqwest::Error),
    /// The client.
    #[error("cannot set up an HTTP client for the sink")]
    Client(#[source] reqwest::Error),
}

/// A client for one sink. Cheap to clone: connections are shared.
#[derive(Clone)]
pub struct Sink {
    client: Client,
    settings: Arc<Settings>,
    token: Option<PathBuf>,
    /// Said once: every batch would say it again.
    elsewhere: Arc<Once>,
}

impl Sink {
    /// Sets the client up; connects to nothing yet.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let connect = settings.timeout.map_or(CONNECT, |timeout| CONNECT.min(timeout / 2));
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(connect)
            .tcp_nodelay(true)
            .pool_max_idle_per_host(usize::MAX)
            .user_agent(concat!("klr-bridge/", env!("CARGO_PKG_VERSION")));
        if settings.http2 {
            builder = builder.http2_prior_knowledge();
        } else {
            builder = builder.http1_only();
        }
        // The environment's proxy is for what is elsewhere; a function of ours is not.
        if is_here(&settings.uri) {
            builder = builder.no_proxy();
        }
        if let Some(pem) = &settings.ca_certs {
            let certificates =
                reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(Error::CaCerts)?;
            for certificate in certificates {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let token = settings.audience.as_ref().map(|_| PathBuf::from(OIDC_TOKEN));
        let client = builder.build().map_err(Error::Client)?;
        Ok(Self { client, settings: Arc::new(settings), token, elsewhere: Arc::new(Once::new()) })
    }

    /// Sends one event and says how it went, within `timeout`, answer included.
    pub async fn post(&self, headers: HeaderMap, body: impl Into<Pieces>, timeout: Duration) -> Outcome {
        self.deliver(headers, body, timeout).await.outcome
    }

    /// The same, and what the event was known by at the other end.
    async fn deliver(&self, mut headers: HeaderMap, body: impl Into<Pieces>, timeout: Duration) -> Delivered {
        // The prefix a KLR container looks for, exactly (peers.md §1.2).
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(path) = &self.token {
            match bearer(path).await {
                Ok(value) => headers.insert(header::AUTHORIZATION, value),
                Err(error) => {
                    return Outcome::Unreachable(format!("no OIDC token for the sink: {error}")).into();
                }
            };
        }
        let body = match self.settings.http2 {
            // The client repeats what a server refuses to look at, if it has it whole.
            true => body.into().into_bytes().into(),
            false => body::of(body.into()),
        };
        let request =
            self.client.post(self.settings.uri.clone()).timeout(timeout).headers(headers).body(body);
        match request.send().await {
            Ok(response) => self.read(response).await,
            Err(error) => self.failed(&error).into(),
        }
    }

    async fn read(&self, mut response: Response) -> Delivered {
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let outcome = match bounded(response, status).await {
            Ok(body) => {
                let outcome = classify(self.settings.ack_mode, status, &headers, body, Timestamp::now());
                if outcome == Outcome::Elsewhere {
                    self.warn_elsewhere();
                }
                outcome
            }
            Err(error) => self.failed(&error),
        };
        Delivered { outcome, request: request(&headers) }
    }

    fn warn_elsewhere(&self) {
        self.elsewhere.call_once(|| {
            tracing::warn!(
                sink = origin(&self.settings.uri),
                "the sink takes events, and sends the function's answer elsewhere: whether it failed is not known here; \
                 ackMode: accepted says that this is meant"
            );
        });
    }

    fn failed(&self, error: &reqwest::Error) -> Outcome {
        if error.is_connect() {
            return Outcome::Unreachable(format!(
                "cannot connect to {}: {}",
                origin(&self.settings.uri),
                root(error)
            ));
        }
        match (self.settings.ack_mode, error.is_timeout()) {
            (AckMode::Replied, true) => Outcome::TimedOut,
            (AckMode::Replied, false) => Outcome::Broken,
            // A sink that only accepts has not accepted; no function has run.
            (AckMode::Accepted, true) => Outcome::Unreachable("the sink did not answer in time".into()),
            (AckMode::Accepted, false) => Outcome::Unreachable("the sink cut the connection".into()),
        }
    }
}

/// The token is read anew each time: the kubelet replaces it well before it expires.
async fn bearer(path: &PathBuf) -> Result<HeaderValue, std::io::Error> {
    let token = tokio::fs::read_to_string(path).await?;
    HeaderValue::try_from(format!("Bearer {}", token.trim())).map_err(std::io::Error::other)
}

/// The body, or `None` when it is longer than a function may answer.
async fn bounded(response: Response, status: StatusCode) -> Result<Option<Bytes>, reqwest::Error> {
    if response.content_length() == Some(0) || status == StatusCode::NO_CONTENT {
        return Ok(Some(Bytes::new()));
    }
    let mut chunks = response.bytes_stream();
    let Some(first) = chunks.next().await.transpose()? else { return Ok(Some(Bytes::new())) };
    let Some(mut next) = chunks.next().await.transpose()? else {
        return Ok((first.len() <= LARGEST_REPLY).then_some(first));
    };
    let mut body = BytesMut::from(first);
    loop {
        body.extend_from_slice(&next);
        if body.len() > LARGEST_REPLY {
            return Ok(None);
        }
        match chunks.next().await.transpose()? {
            Some(chunk) => next = chunk,
            None => return Ok(Some(body.freeze())),
        }
    }
}

fn is_here(uri: &Url) -> bool {
    let host = uri.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Scheme, host and port: the path and query of a sink may hold secrets.
fn origin(uri: &Url) -> String {
    uri.origin().ascii_serialization()
}

/// The innermost cause: "connection refused" rather than "error sending request".
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Delivers the batches of one mapping to an HTTP sink.
pub struct Delivery {
    /// Where.
    pub sink: Sink,
    /// Joins fragments.
    pub shape: Arc<dyn Shape>,
    /// Names batches.
    pub headers: Headers,
    /// How long a request may wait at the sink before the function's own time begins. A host of ours queues at its door.
    pub queueing: Duration,
}

#[async_trait]
impl Invoker for Delivery {
    async fn invoke(
        &self,
        batch: &[Record],
        window: Option<(&Window, &str)>,
        timeout: Duration,
    ) -> Delivered {
        let event = match window {
            Some((window, partition)) => {
                window.add_to(&self.shape.event(batch), partition, self.headers.source()).into()
            }
            None => self.shape.pieces(batch),
        };
        self.sink.deliver(self.headers.of(batch, window), event, timeout + self.queueing).await
    }

    fn waits(&self) -> bool {
        !self.queueing.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpSocket, TcpStream};

    use super::*;

    #[test]
    fn here_is_loopback_only() {
        for (uri, here) in [
            ("http://127.0.0.1:8080", true),
            ("http://[::1]:8080/x", true),
            ("http://localhost", true),
            ("http://localhost.example", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(is_here(&uri.parse().unwrap()), here, "{uri}");
        }
    }

    /// A host that is down does not refuse: nothing comes back at all. A listener whose queue is full does the same.
    #[tokio::test]
    async fn a_connection_that_does_not_come_about_is_no_slow_function() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) =
            tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
        {
            waiting.push(stream);
        }
        let timeout = Duration::from_secs(1);
        let settings = Settings {
            uri: format!("http://{address}").parse().unwrap(),
            ack_mode: AckMode::Replied,
            http2: false,
            ca_certs: None,
            audience: None,
            timeout: Some(timeout),
        };
        let outcome = Sink::new(settings).unwrap().post(HeaderMap::new(), Bytes::new(), timeout).await;
        assert!(matches!(outcome, Outcome::Unreachable(_)), "{outcome:?}");
    }
}
