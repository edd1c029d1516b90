//! Health and metrics, on a port of their own.

use std::{net::SocketAddr, sync::Arc};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::{net::TcpListener, runtime::Handle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    body::Body,
    function::Function,
    serve::{self, Answer},
};

/// Serves until `stop`, and is not ready any more from `draining` on.
pub(crate) async fn serve(
    listener: TcpListener,
    function: Arc<Function>,
    draining: CancellationToken,
    stop: CancellationToken,
) {
    let loopback = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let tracker = TaskTracker::new();
    let (closing, thread) = (stop.clone(), Arc::new(Handle::current()));
    serve::accept(listener, stop, move |stream| {
        let (function, draining) = (Arc::clone(&function), draining.clone());
        serve::callers(stream, Arc::clone(&thread), closing.clone(), &tracker, move |request| {
            let answer = answer(&function, draining.is_cancelled(), loopback, &request);
            async move { Ok(answer) }
        });
    })
    .await;
}

fn answer(function: &Function, draining: bool, loopback: bool, request: &Request<Incoming>) -> Answer {
    if !trusted(request.headers(), request.uri().host(), loopback) {
        return text(StatusCode::FORBIDDEN, "not from a browser, and by the name of this host only\n");
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "expected GET\n");
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" if draining => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        "/readyz" if !function.initialised() => {
            text(StatusCode::SERVICE_UNAVAILABLE, "the function is not initialised\n")
        }
        "/readyz" => text(StatusCode::OK, "ok\n"),
        "/metrics" => text(StatusCode::OK, function.metrics.prometheus(&function.settings.name)),
        _ => text(StatusCode::NOT_FOUND, "expected /healthz, /readyz or /metrics\n"),
    }
}

/// A page in a browser must not be able to ask, even one that has our address under its own name: no `Origin`, and on
/// loopback only hosts that are.
fn trusted(headers: &HeaderMap, authority: Option<&str>, loopback: bool) -> bool {
    if headers.contains_key(header::ORIGIN) {
        return false;
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).or(authority);
    !loopback || host.is_none_or(is_loopback)
}

fn is_loopback(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn text(status: StatusCode, body: impl Into<bytes::Bytes>) -> Answer {
    let mut answer = Response::new(Body::Whole(body.into()));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_hosts_names_are_trusted_on_loopback() {
        for host in ["127.0.0.1:9091", "localhost:9091", "localhost", "[::1]:9091", "127.0.0.1"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["evil.example:9091", "10.0.0.1:9091", "localhost.evil.example"] {
            assert!(!is_loopback(host), "{host}");
        }
        let mut headers = HeaderMap::new();
        assert!(trusted(&headers, None, true));
        headers.insert(header::ORIGIN, HeaderValue::from_static("http://localhost"));
        assert!(!trusted(&headers, None, false));
    }
}
