//! HTTP connections: accepting them, serving them, reading what they carry.

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{body::Body, threads::hand_over};

/// Above the 1 MiB that a client may put into one header of an error report, request line and other headers included.
const LARGEST_HEAD: usize = 2 * 1024 * 1024;
/// A caller that has not sent a request's head by then is cut off. Idle connections end so too, hence longer than the 90 s
/// after which clients commonly drop theirs: a request must not meet a connection we are just closing.
const HEAD_WITHIN: Duration = Duration::from_secs(120);
/// What is read and thrown away of a body nobody wants, so that a caller gets to read our answer instead of a reset.
const DISCARD: usize = 64 * 1024 * 1024;

/// What every request is answered with.
pub(crate) type Answer = Response<Body>;

/// What is on its way to us when we are told to stop is served, if it comes by then.
const ON_ITS_WAY: Duration = Duration::from_millis(200);

/// Accepts until `stop`; the listener is closed then. Whom the system has let in by then is served: it would reset them, with
/// the requests they have sent.
pub(crate) async fn accept(listener: TcpListener, stop: CancellationToken, mut serve: impl FnMut(TcpStream)) {
    let mut serve = |stream: TcpStream| {
        // Head and body leave in one segment, and at once: else each call stalls for a delayed ACK (40 ms).
        let _ = stream.set_nodelay(true);
        serve(stream);
    };
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => serve(stream),
            Err(error) => {
                // Out of descriptors, most likely: accepting again at once would only spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, _)) = listener.accept() {
        if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
            serve(stream);
        }
    }
}

/// How long a caller that does not read may keep what we have for it, in milliseconds. The system sees to it.
const STALLED: u32 = 60_000;

/// Serves callers on their thread, HTTP/1.1 or HTTP/2 as they begin; after `stop` what is under way is finished.
pub(crate) fn callers<H, F>(
    stream: TcpStream,
    thread: Arc<Handle>,
    stop: CancellationToken,
    tracker: &TaskTracker,
    handle: H,
) where
    H: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Result<Answer, Infallible>> + Send + 'static,
{
    let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, STALLED);
    let stream = match hand_over(stream, &thread) {
        Ok(stream) => stream,
        Err(error) => return tracing::warn!(%error, "cannot serve a connection"),
    };
    let runtime = Handle::clone(&thread);
    let serve = async move {
        let _held = thread;
        let begins_plainly = tokio::select! {
            biased;
            plainly = begins_plainly(&stream) => plainly,
            () = given_up(&stop) => return,
        };
        let (stream, service) = (TokioIo::new(stream), service_fn(handle));
        if begins_plainly {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
            finish_at(&stop, builder.serve_connection(stream, service), |connection| {
                connection.graceful_shutdown();
            })
            .await;
        } else {
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
            builder.http2().timer(TokioTimer::new());
            finish_at(&stop, builder.serve_connection(stream, service), |connection| {
                connection.graceful_shutdown();
            })
            .await;
        }
    };
    tracker.spawn_on(serve, &runtime);
}

/// Whether what a caller begins with cannot become HTTP/2: all but `PRI * HTTP/2.0`, or a part of it. To be ready for both
/// costs each read something.
async fn begins_plainly(stream: &TcpStream) -> bool {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";
    let mut begin = [0; PREFACE.len()];
    match tokio::time::timeout(HEAD_WITHIN, stream.peek(&mut begin)).await {
        Ok(Ok(seen)) => !PREFACE.starts_with(&begin[..seen]) || seen == 0,
        // Whoever serves it finds out the same.
        Ok(Err(_)) | Err(_) => true,
    }
}

/// Nothing is waited for any more.
async fn given_up(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(ON_ITS_WAY).await;
}

/// Serves a connection; after `stop` what is under way on it is finished.
async fn finish_at<C, E>(stop: &CancellationToken, connection: C, finish: impl FnOnce(Pin<&mut C>))
where
    C: Future<Output = Result<(), E>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut connection = std::pin::pin!(connection);
    // One of its own: it is looked at with each poll, and a look takes a lock, which the connections would share.
    let stop = stop.child_token();
    let mut given_up = std::pin::pin!(given_up(&stop));
    // Biased: a fair choice would be drawn by lot at each of many polls.
    let served = tokio::select! {
        biased;
        served = connection.as_mut() => served,
        () = given_up.as_mut() => {
            finish(connection.as_mut());
            connection.await
        }
    };
    if let Err(error) = served {
        let error: Box<dyn std::error::Error + Send + Sync> = error.into();
        tracing::debug!(error, "a caller's connection ended badly");
    }
}

/// Serves a runtime client; the connection is cut when `close` is.
pub(crate) fn client<H, F>(stream: TcpStream, close: CancellationToken, tracker: &TaskTracker, handle: H)
where
    H: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Result<Answer, Infallible>> + Send + 'static,
{
    let served = tracker.spawn(async move {
        let mut builder = http1::Builder::new();
        // Trailers, too: a stream's error is in them.
        builder.max_buf_size(LARGEST_HEAD).max_header_size(LARGEST_HEAD);
        if let Err(error) = builder.serve_connection(TokioIo::new(stream), service_fn(handle)).await {
            tracing::debug!(%error, "the runtime client's connection ended badly");
        }
    });
    // Beside it, not in it: it would be asked at each poll of the connection.
    let abort = served.abort_handle();
    tokio::spawn(async move {
        tokio::select! {
            _ = served => {}
            () = close.cancelled() => abort.abort(),
        }
    });
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    Truncated,
    TooSlow,
}

/// A body of at most `limit` bytes, and its trailers. What is larger is read to its end and thrown away.
pub(crate) async fn read(
    mut body: impl hyper::body::Body<Data = Bytes> + Unpin,
    limit: usize,
) -> Result<(Bytes, HeaderMap), Unread> {
    if body.size_hint().lower() > limit as u64 {
        discard(body).await;
        return Err(Unread::TooLarge);
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    let mut trailers = HeaderMap::new();
    while let Some(frame) = body.frame().await {
        let frame = match frame.map_err(|_| Unread::Truncated)?.into_data() {
            Ok(data) => data,
            Err(other) => {
                trailers.extend(other.into_trailers().unwrap_or_default());
                continue;
            }
        };
        if first.len() + all.len() + frame.len() > limit {
            discard(body).await;
            return Err(Unread::TooLarge);
        }
        // Most bodies are one frame, and are never copied.
        if first.is_empty() && all.is_empty() {
            first = frame;
            continue;
        }
        if all.is_empty() {
            let rest = usize::try_from(body.size_hint().lower()).unwrap_or(limit).min(limit);
            all.reserve(first.len() + frame.len() + rest);
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&frame);
    }
    Ok((if all.is_empty() { first } else { all.freeze() }, trailers))
}

/// Reads and throws away, so that the caller is not reset while it still sends.
pub(crate) async fn discard(mut body: impl hyper::body::Body<Data = Bytes> + Unpin) {
    let drain = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > DISCARD {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), drain).await;
}

/// An answer with a JSON body.
pub(crate) fn json(status: http::StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Body::Whole(body.into()));
    *answer.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, json);
    answer
}

/// An answer without a body.
pub(crate) fn empty(status: http::StatusCode) -> Answer {
    let mut answer = Response::new(Body::Whole(Bytes::new()));
    *answer.status_mut() = status;
    answer
}
