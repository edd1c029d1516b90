//! An HTTP endpoint that records what it gets and answers as the test says.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::tls::Identity;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its place in the order of arrival, from 0.
    pub index: usize,
    /// `POST`, one hopes.
    pub method: Method,
    /// The request target.
    pub uri: Uri,
    /// `HTTP/2.0`, where the client has prior knowledge.
    pub version: Version,
    /// All headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// When the body was complete.
    pub at: SystemTime,
}

impl Request {
    /// A header's text; `None` when it is missing or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What the sink does about a request.
#[derive(Debug, Clone)]
pub struct Answer {
    status: StatusCode,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    delay: Duration,
    cut: bool,
}

impl Answer {
    /// This status, an empty body, at once.
    pub fn status(status: u16) -> Self {
        let status = StatusCode::from_u16(status).expect("a status from 100 to 999");
        Self { status, headers: Vec::new(), body: Bytes::new(), delay: Duration::ZERO, cut: false }
    }

    /// 200 and this body, as JSON.
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::status(200) }.header("content-type", "application/json")
    }

    /// No answer: the connection is closed once the request was read.
    pub fn cut() -> Self {
        Self { cut: true, ..Self::status(200) }
    }

    /// Whether it is a 2xx that is really sent.
    pub fn is_success(&self) -> bool {
        self.status.is_success() && !self.cut
    }

    /// The pause before it.
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// The same after a pause.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same with this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

type Script = dyn Fn(&Request) -> Answer + Send + Sync;

/// A sink on a free port, HTTP/1.1 and h2c, on a thread and runtime of its own: it serves blocking and async tests alike.
pub struct Sink {
    /// `http://127.0.0.1:port`, or `https`.
    pub uri: String,
    address: SocketAddr,
    state: Arc<State>,
    up: Option<Up>,
}

struct State {
    script: Box<Script>,
    tls: Option<TlsAcceptor>,
    keep: bool,
    kept: Mutex<Kept>,
    arrived: Condvar,
    connections: AtomicUsize,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
}

#[derive(Default)]
struct Kept {
    count: usize,
    requests: Vec<Request>,
}

struct Up {
    down: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Sink {
    /// Records every request and answers what `script` says.
    pub fn start(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::with(true, None, script)
    }

    /// The same on https.
    pub fn https(identity: &Identity, script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::with(true, Some(identity.acceptor.clone()), script)
    }

    /// Counts requests but keeps none: for long runs, where `script` notes what matters.
    pub fn forgetful(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::with(false, None, script)
    }

    fn with(
        keep: bool,
        tls: Option<TlsAcceptor>,
        script: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let state = State {
            script: Box::new(script),
            tls,
            keep,
            kept: Mutex::default(),
            arrived: Condvar::new(),
            connections: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            most_in_flight: AtomicUsize::new(0),
        };
        // Not port 0: a port that must be free again after `down` is best taken where the kernel hands out none.
        let (address, listener) = loop {
            let [port] = crate::servers::free_ports();
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            // Another test program may have taken it meanwhile.
            if let Ok(listener) = TcpListener::bind(address) {
                break (address, listener);
            }
        };
        let mut sink =
            Self { uri: format!("{scheme}://{address}"), address, state: Arc::new(state), up: None };
        sink.listen(listener);
        sink
    }

    /// Refuses connections and cuts the ones there are, as a dead sink does.
    pub fn down(&mut self) {
        if let Some(up) = self.up.take() {
            let _ = up.down.send(());
            up.thread.join().expect("the sink's thread does not panic");
        }
    }

    /// Listens (again) on its port.
    pub fn up(&mut self) {
        self.listen(TcpListener::bind(self.address).expect("the port is ours"));
    }

    fn listen(&mut self, listener: TcpListener) {
        listener.set_nonblocking(true).expect("a socket can be non-blocking");
        let (down, told) = oneshot::channel();
        let state = Arc::clone(&self.state);
        let thread = std::thread::spawn(move || serve(listener, &state, told));
        self.up = Some(Up { down, thread });
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.state.kept.lock().expect("no holder panics").count
    }

    /// The requests so far, in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.state.kept.lock().expect("no holder panics").requests.clone()
    }

    /// How many connections were opened.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// The most requests that were unanswered at one time.
    pub fn most_in_flight(&self) -> usize {
        self.state.most_in_flight.load(Ordering::SeqCst)
    }

    /// Waits until `n` requests came; false when `timeout` passes first.
    pub fn wait_for(&self, n: usize, timeout: Duration) -> bool {
        let end = Instant::now() + timeout;
        let mut kept = self.state.kept.lock().expect("no holder panics");
        while kept.count < n {
            let Some(left) = end.checked_duration_since(Instant::now()) else { return false };
            kept = self.state.arrived.wait_timeout(kept, left).expect("no holder panics").0;
        }
        true
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.down();
    }
}

/// Until told; then the runtime goes, and every connection with it.
fn serve(listener: TcpListener, state: &Arc<State>, told: oneshot::Receiver<()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).expect("the runtime has I/O");
        tokio::select! {
            () = accept(&listener, state) => {}
            _ = told => {}
        }
    });
}

async fn accept(listener: &tokio::net::TcpListener, state: &Arc<State>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        state.connections.fetch_add(1, Ordering::SeqCst);
        let state = Arc::clone(state);
        tokio::spawn(async move {
            match &state.tls {
                None => converse(stream, &state).await,
                // One that does not come about is a client that does not trust us.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        converse(stream, &state).await;
                    }
                }
            }
        });
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, state: &Arc<State>) {
    let service = service_fn(|request| take(request, Arc::clone(state)));
    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    // An error here is a peer that left, or our own `cut`.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn take(request: http::Request<Incoming>, state: Arc<State>) -> Result<Response<Full<Bytes>>, Cut> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let _in_flight = InFlight::enter(&state);
    let request = state.note(head, body);
    let answer = (state.script)(&request);
    tokio::time::sleep(answer.delay).await;
    if answer.cut {
        return Err(Cut);
    }
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(answer.body)).expect("the test's headers are valid"))
}

impl State {
    fn note(&self, head: http::request::Parts, body: Bytes) -> Request {
        let mut kept = self.kept.lock().expect("no holder panics");
        let index = kept.count;
        let request = Request {
            index,
            method: head.method,
            uri: head.uri,
            version: head.version,
            headers: head.headers,
            body,
            at: SystemTime::now(),
        };
        kept.count += 1;
        if self.keep {
            kept.requests.push(request.clone());
        }
        self.arrived.notify_all();
        request
    }
}

/// Counts a request until it is answered, or its client has gone away.
struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    fn enter(state: &'a State) -> Self {
        let now = state.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        state.most_in_flight.fetch_max(now, Ordering::SeqCst);
        Self(&state.in_flight)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A service error makes hyper close the connection without an answer.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut by the test")
    }
}

impl std::error::Error for Cut {}
