//! What the host's tests share: functions to run, and a caller.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod built;
pub mod event_stream;
pub mod running;

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use klr_host::{Host, Logs, Settings};
use reqwest::Response;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// A `bootstrap` that does what its event says.
pub const BOOTSTRAP: &str = include_str!("bootstrap.py");

/// A Python module: `read` and `write`, which say what became of it.
pub const LOOKING: &str = include_str!("looking.py");

/// A code directory with this `bootstrap` in it.
pub fn code(bootstrap: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    executable(&folder.path().join("bootstrap"), bootstrap);
    folder
}

/// Settings that run the code directory's `bootstrap`, with a timeout no loaded machine reaches by accident.
pub fn provided(code: &TempDir) -> Settings {
    Settings {
        runtime: Some("provided.al2023".into()),
        directory: Some(code.path().to_owned()),
        timeout: Duration::from_secs(30),
        logs: Logs::Quiet,
        ..Settings::default()
    }
}

/// An address nobody listens on, nor will: the kernel gives none of these ports to who asks for any, as every Runtime API
/// endpoint does.
pub fn free() -> String {
    let [port] = klr_test_support::servers::free_ports();
    format!("127.0.0.1:{port}")
}

/// A host on a free port.
pub async fn start(settings: Settings) -> Host {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Host::start(settings, listener).await.unwrap()
}

/// A host running [`BOOTSTRAP`].
pub async fn bootstrap() -> (Host, TempDir) {
    let code = code(BOOTSTRAP);
    (start(provided(&code)).await, code)
}

/// Calls the Invoke API.
pub async fn invoke(host: &Host, event: impl Into<reqwest::Body>) -> Response {
    invoke_with(host, &[], event).await
}

/// Calls the Invoke API with headers.
pub async fn invoke_with(host: &Host, headers: &[(&str, &str)], event: impl Into<reqwest::Body>) -> Response {
    call(host, "2015-03-31/functions/function/invocations", headers, event).await
}

/// Posts to a path.
pub async fn call(
    host: &Host,
    path: &str,
    headers: &[(&str, &str)],
    event: impl Into<reqwest::Body>,
) -> Response {
    let mut request = reqwest::Client::new().post(format!("http://{}/{path}", host.address())).body(event);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

/// A request that carries a binary CloudEvent.
pub fn event(host: &Host, data: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
    event_to(&host.address().to_string(), data)
}

/// The same, to an address.
pub fn event_to(address: &str, data: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
    reqwest::Client::new()
        .post(format!("http://{address}/"))
        .header("content-type", "application/json")
        .header("ce-specversion", "1.0")
        .header("ce-id", "1")
        .header("ce-source", "/tests")
        .header("ce-type", "test")
        .body(data)
}

/// A header as text.
pub fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).and_then(|value| value.to_str().ok())
}

/// The body as JSON.
pub async fn json(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

/// What [`BOOTSTRAP`] waits for, if it is told so: an invocation that lasts as long as a test needs it to.
pub struct Gate(TempDir);

impl Gate {
    pub fn closed() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// An event that is answered, with `null`, once it is open.
    pub fn event(&self) -> String {
        serde_json::json!({"do": "wait", "for": self.file()}).to_string()
    }

    pub fn open(&self) {
        std::fs::write(self.file(), "").unwrap();
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("open")
    }
}

/// What a metric is at now.
pub fn metric(host: &Host, name: &str) -> u64 {
    let text = host.metrics().prometheus("f");
    let line = text.lines().find(|line| line.starts_with(&format!("{name}{{"))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Whether a process exists; a zombie does.
pub fn exists(pid: u64) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Waits (10 s at most) until it holds.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}: not within 10 s");
}

/// The interpreter of a Python with awslambdaric. `None`, loudly, where it cannot be had; under `CI=true` a panic.
pub fn python() -> Option<PathBuf> {
    Some(built::venv(&["awslambdaric"])?.join("bin/python"))
}

/// A layer of external extensions, all of them `extension.py`: their names, and what each is to do.
pub struct Extensions {
    layer: TempDir,
    environment: Vec<(String, String)>,
}

impl Extensions {
    /// One file a name.
    pub fn new(extensions: &[(&str, Value)]) -> Self {
        let layer = tempfile::tempdir().unwrap();
        let folder = layer.path().join("extensions");
        std::fs::create_dir(&folder).unwrap();
        let seen = layer.path().join("seen").to_str().unwrap().to_owned();
        let mut environment = vec![("EXTENSION_SEEN".to_owned(), seen)];
        for (name, what) in extensions {
            executable(&folder.join(name), include_str!("extension.py"));
            environment.push((format!("EXTENSION_{}", name.to_uppercase()), what.to_string()));
        }
        Self { layer, environment }
    }

    /// A function beside them.
    pub fn beside(&self, settings: Settings) -> Settings {
        let layers = vec![self.layer.path().to_owned()];
        let environment = [settings.environment, self.environment.clone()].concat();
        Settings { layers, environment, ..settings }
    }

    /// Where one is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.layer.path().join("extensions").join(name)
    }

    /// What they saw so far.
    pub fn seen(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.layer.path().join("seen")).unwrap_or_default();
        // The last line may be half written.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// What they saw of one kind.
    pub fn saw(&self, what: &str) -> Vec<Value> {
        self.seen().into_iter().filter(|seen| seen["what"] == what).collect()
    }

    /// The telemetry they got, event by event.
    pub fn telemetry(&self) -> Vec<Value> {
        let batches = self.saw("telemetry").into_iter();
        batches.flat_map(|batch| batch["events"].as_array().cloned().unwrap_or_default()).collect()
    }
}

/// Writes a program.
pub fn executable(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
