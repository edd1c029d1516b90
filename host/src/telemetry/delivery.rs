//! The way of a batch to its subscriber: HTTP or TCP, to this machine.

use std::{io, net::Ipv4Addr, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{
    HeaderValue, Request, StatusCode,
    header::{CONTENT_TYPE, HOST},
};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use uuid::Uuid;

use super::{buffer::Batch, subscription::Destination};

/// How long a receiver may take over one batch.
const WITHIN: Duration = Duration::from_secs(5);
/// Between attempts: a receiver may be just about to listen. Then the batch is lost.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(500)];

/// Why a batch did not arrive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the receiver was not reached: {0}")]
    Unreachable(#[from] io::Error),
    #[error("the receiver's connection broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the receiver answered {0}")]
    Refused(StatusCode),
    #[error("the receiver took longer than {WITHIN:?}")]
    TooSlow,
}

/// A destination, and the connection to it that is kept.
#[derive(Debug)]
pub(crate) struct Delivery {
    destination: Destination,
    http: Option<SendRequest<Full<Bytes>>>,
    tcp: Option<TcpStream>,
}

impl Delivery {
    pub(crate) fn to(destination: Destination) -> Self {
        Self { destination, http: None, tcp: None }
    }

    /// Sends a batch, some times over where the receiver is not there.
    pub(crate) async fn send(&mut self, batch: &Batch) -> Result<(), Error> {
        let body = match self.destination {
            Destination::Http { .. } => array(batch),
            Destination::Tcp { .. } => lines(batch),
        };
        let mut pauses = PAUSES.iter();
        loop {
            let error = match tokio::time::timeout(WITHIN, self.attempt(&body)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                // It may have been taken: sent again it would be there twice.
                Err(_) => Error::TooSlow,
            };
            (self.http, self.tcp) = (None, None);
            match (error, pauses.next()) {
                (Error::Unreachable(_) | Error::Broken(_), Some(pause)) => tokio::time::sleep(*pause).await,
                (error, _) => return Err(error),
            }
        }
    }

    async fn attempt(&mut self, body: &Bytes) -> Result<(), Error> {
        match &self.destination {
            Destination::Tcp { port } => {
                let stream = match &mut self.tcp {
                    Some(stream) => stream,
                    none => none.insert(TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).await?),
                };
                Ok(stream.write_all(body).await?)
            }
            Destination::Http { method, uri, port } => {
                let mut request = Request::new(Full::new(body.clone()));
                *request.method_mut() = method.clone();
                let path = uri.path_and_query().map_or("/", |path| path.as_str());
                *request.uri_mut() = path.parse().expect("part of a URI is one");
                let host = uri.authority().map_or("sandbox", |authority| authority.as_str());
                let headers = request.headers_mut();
                headers.insert(HOST, HeaderValue::from_str(host).expect("an authority is a header value"));
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                headers.insert("sequence-id", sequence_id());
                let port = *port;
                self.post(request, port).await
            }
        }
    }

    async fn post(&mut self, request: Request<Full<Bytes>>, port: u16) -> Result<(), Error> {
        // A receiver may close after each answer: Python's HTTP/1.0 server does.
        if self.http.as_ref().is_none_or(SendRequest::is_closed) {
            self.http = Some(connect(port).await?);
        }
        let sender = self.http.as_mut().expect("it was just made");
        sender.ready().await?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        // Read to its end, so that the connection can be used again.
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        if status.is_success() { Ok(()) } else { Err(Error::Refused(status)) }
    }
}

async fn connect(port: u16) -> Result<SendRequest<Full<Bytes>>, Error> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let _ = stream.set_nodelay(true);
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends when the sender is dropped, or the receiver closes.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

/// Opaque to receivers, who may tell a repeated batch by it.
fn sequence_id() -> HeaderValue {
    let id = BASE64_STANDARD.encode(Uuid::new_v4().as_bytes());
    HeaderValue::from_str(&id).expect("base64 is a header value")
}

fn array(batch: &Batch) -> Bytes {
    let mut body = Vec::with_capacity(batch.bytes + batch.events.len() + 2);
    for event in &batch.events {
        body.push(if body.is_empty() { b'[' } else { b',' });
        body.extend_from_slice(event);
    }
    body.push(b']');
    body.into()
}

fn lines(batch: &Batch) -> Bytes {
    let mut body = Vec::with_capacity(batch.bytes + batch.events.len());
    for event in &batch.events {
        body.extend_from_slice(event);
        body.push(b'\n');
    }
    body.into()
}
