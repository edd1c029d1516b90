//! A caller as small as can be: one request on a connection of its own, and the answer as it came.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Longer than anything a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Response {
    /// A header's text; `None` when it is missing or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends `body` to `http://host:port/path` (or the same without a scheme); `None` when nothing answers. A `host` among the
/// headers replaces the address's.
pub fn send(method: &str, to: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Option<Response> {
    let to = to.strip_prefix("http://").unwrap_or(to);
    let (address, path) = to.split_once('/').unwrap_or((to, ""));
    let body = body.as_ref();
    // HTTP/1.0: the answer is not chunked and ends with the connection.
    let mut head = format!("{method} /{path} HTTP/1.0\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str(&format!("host: {address}\r\n"));
    }
    headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));

    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    // A server that has refused may close before it has read everything; its answer counts.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    read(&answer)
}

fn read(answer: &[u8]) -> Option<Response> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let mut lines = std::str::from_utf8(&answer[..end]).ok()?.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value.trim()).ok()?))
    });
    Some(Response { status, headers: headers.collect(), body: Bytes::copy_from_slice(&answer[end + 4..]) })
}
