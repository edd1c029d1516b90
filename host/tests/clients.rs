//! Every real runtime client, unmodified, with a function of ours: found by `--runtime` and `--handler`, as on Lambda.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{path::Path, time::Duration};

use common::{built, event, header, invoke, json, start};
use klr_host::{Host, Settings};
use serde_json::{Value, json};

/// Lambda's limits, to the byte.
const LARGEST_EVENT: usize = 6_291_456;
const LARGEST_REPLY: usize = 6_291_556;

/// What differs from client to client.
struct Client {
    built: built::Client,
    /// The type of the error its handler raises.
    error: &'static str,
    /// The type, and the end of the message, that a failed start is told with.
    no_start: (&'static str, &'static str),
    /// Whether it tells the function about the invocation.
    has_context: bool,
}

const PYTHON: Client = Client {
    built: built::PYTHON,
    error: "ValueError",
    no_start: ("RuntimeError", "no start"),
    has_context: true,
};
const NODE: Client =
    Client { built: built::NODE, error: "RangeError", no_start: ("Error", "no start"), has_context: true };
const GO: Client = Client {
    built: built::GO,
    error: "errorString",
    no_start: ("Runtime.ExitError", "exit status 7"),
    has_context: true,
};
const RUST: Client = Client {
    built: built::RUST,
    error: "&alloc::boxed::Box<dyn core::error::Error + core::marker::Send + core::marker::Sync>",
    no_start: ("Runtime.ExitError", "exit status 1"),
    has_context: true,
};
const JAVA: Client = Client {
    built: built::JAVA,
    error: "java.lang.IllegalArgumentException",
    no_start: ("java.lang.IllegalStateException", "no start"),
    has_context: true,
};
const SHELL: Client = Client {
    built: built::SHELL,
    error: "Asked",
    no_start: ("Runtime.NoStart", "no start"),
    has_context: false,
};

impl std::ops::Deref for Client {
    type Target = built::Client;

    fn deref(&self) -> &built::Client {
        &self.built
    }
}

impl Client {
    fn settings(&self, code: &Path) -> Settings {
        Settings { cloudevent_context: true, ..self.with_code(code) }
    }

    /// The whole list, one host after the other.
    async fn conforms(&self) {
        let Some(code) = built::client(self.name) else { return };
        let host = start(self.settings(&code)).await;
        assert!(host.ready(), "{}: it initialises", self.name);
        self.echoes(&host).await;
        self.takes_the_largest(&host).await;
        if self.has_context {
            self.tells_its_context(&host).await;
        }
        self.fails(&host).await;
        self.is_lost(&host).await;
        host.stop(Duration::from_secs(10)).await;
        self.runs_out_of_time(&code).await;
        self.does_not_start(&code).await;
    }

    async fn echoes(&self, host: &Host) {
        for sent in
            [json!({"text": "é😀\u{7f}", "n": [1, 2.5, null, true]}), json!([]), json!("text"), json!(7)]
        {
            let answer = event(host, sent.to_string()).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{}: {sent}", self.name);
            assert_eq!(json(answer).await, sent, "{}", self.name);
        }
    }

    async fn takes_the_largest(&self, host: &Host) {
        let largest = format!("\"{}\"", "x".repeat(LARGEST_EVENT - 2));
        let echoed = event(host, largest.clone()).send().await.unwrap();
        assert_eq!(echoed.status(), 200, "{}", self.name);
        assert!(
            echoed.text().await.unwrap().trim_end() == largest,
            "{}: the largest event comes back",
            self.name
        );
        assert_eq!(event(host, format!("{largest} ")).send().await.unwrap().status(), 413);
        for (bytes, status) in [(LARGEST_REPLY, 200), (LARGEST_REPLY + 1, 500), (10, 200)] {
            let asked = json!({"do": "size", "bytes": bytes}).to_string();
            let answer = event(host, asked).send().await.unwrap();
            assert_eq!(answer.status(), status, "{}: {bytes} bytes", self.name);
            if status == 500 {
                assert_eq!(json(answer).await["errorType"], "Function.ResponseSizeTooLarge");
            }
        }
    }

    async fn tells_its_context(&self, host: &Host) {
        let trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
        let asked = event(host, r#"{"do":"context"}"#)
            .header("ce-subject", "%E2%82%AC")
            .header("x-amzn-trace-id", trace);
        let answer = asked.send().await.unwrap();
        let id = header(&answer, "x-amzn-requestid").unwrap().to_owned();
        assert_eq!(header(&answer, "x-amzn-trace-id"), Some(trace));
        let told = json(answer).await;
        assert_eq!(told["id"], id, "{}", self.name);
        assert_eq!(told["arn"], "arn:aws:lambda:us-east-1:123456789012:function:function");
        assert_eq!(
            (&told["custom"]["subject"], &told["custom"]["type"]),
            (&json!("€"), &json!("test")),
            "{told}"
        );
        assert_eq!(told["trace"], trace, "{}", self.name);
        assert!((30_000..=60_000).contains(&told["left"].as_i64().unwrap()), "{}: {told}", self.name);
        self.sees_lambdas_environment(&told["env"]);
    }

    fn sees_lambdas_environment(&self, env: &Value) {
        for (name, value) in [
            ("AWS_LAMBDA_FUNCTION_NAME", "function"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/function"),
            ("AWS_REGION", "us-east-1"),
            ("TZ", ":UTC"),
            ("_HANDLER", self.handler),
        ] {
            assert_eq!(env[name], value, "{}: {name}", self.name);
        }
        let managed = !self.runtime.starts_with("provided");
        assert_eq!(env.get("AWS_EXECUTION_ENV").is_some(), managed, "{}", self.name);
        assert_eq!(env.get("CARGO_PKG_NAME"), None, "{}: not all of ours", self.name);
    }

    async fn fails(&self, host: &Host) {
        let failed = event(host, r#"{"do":"error"}"#).send().await.unwrap();
        let told = (failed.status().as_u16(), header(&failed, "x-amz-function-error"));
        assert_eq!(told, (500, Some("Unhandled")), "{}", self.name);
        let document = json(failed).await;
        assert_eq!(document["errorType"], self.error, "{}", self.name);
        assert_eq!(document["errorMessage"], "as asked", "{}", self.name);
        let called = invoke(host, r#"{"do":"error"}"#).await;
        assert_eq!(
            (called.status().as_u16(), header(&called, "x-amz-function-error")),
            (200, Some("Unhandled"))
        );
    }

    async fn is_lost(&self, host: &Host) {
        for (code, reason) in [(3, "exit status 3"), (0, "Runtime exited without providing a reason")] {
            let asked = json!({"do": "exit", "code": code}).to_string();
            let lost = event(host, asked).send().await.unwrap();
            let (status, document) = (lost.status(), json(lost).await);
            assert_eq!(
                (status.as_u16(), &document["errorType"]),
                (502, &json!("Runtime.ExitError")),
                "{}",
                self.name
            );
            assert!(
                document["errorMessage"].as_str().unwrap().ends_with(reason),
                "{}: {document}",
                self.name
            );
            assert_eq!(invoke(host, "[1]").await.text().await.unwrap().trim_end(), "[1]", "{}", self.name);
        }
    }

    async fn runs_out_of_time(&self, code: &Path) {
        let host = start(Settings { timeout: Duration::from_secs(3), ..self.settings(code) }).await;
        let late = event(&host, r#"{"do":"sleep","seconds":60}"#).send().await.unwrap();
        let (status, document) = (late.status(), json(late).await);
        assert_eq!(
            (status.as_u16(), &document["errorType"]),
            (504, &json!("Sandbox.Timedout")),
            "{}",
            self.name
        );
        let message = document["errorMessage"].as_str().unwrap();
        assert!(message.ends_with("Task timed out after 3.00 seconds"), "{}: {message}", self.name);
        works_again(&host).await;
    }

    async fn does_not_start(&self, code: &Path) {
        let environment = vec![("FAIL_INIT".to_owned(), "1".to_owned())];
        let host = start(Settings { environment, ..self.settings(code) }).await;
        let document = json(invoke(&host, "{}").await).await;
        let (kind, reason) = self.no_start;
        assert_eq!(document["errorType"], kind, "{}: {document}", self.name);
        assert!(document["errorMessage"].as_str().unwrap().ends_with(reason), "{}: {document}", self.name);
    }
}

/// Turned away while a new process starts, callers are served once it has.
async fn works_again(host: &Host) {
    for _ in 0..20 {
        let answer = invoke(host, "[1]").await;
        if answer.status() == 200 && header(&answer, "x-amz-function-error").is_none() {
            assert_eq!(answer.text().await.unwrap().trim_end(), "[1]");
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("it does not come back");
}

#[tokio::test]
async fn python() {
    PYTHON.conforms().await;
}

#[tokio::test]
async fn node() {
    NODE.conforms().await;
}

#[tokio::test]
async fn go() {
    GO.conforms().await;
}

#[tokio::test]
async fn rust() {
    RUST.conforms().await;
}

#[tokio::test]
async fn java() {
    JAVA.conforms().await;
}

#[tokio::test]
async fn shell() {
    SHELL.conforms().await;
}

/// A panic is the client's to report: Go posts it and ends, Rust posts it and stays.
#[tokio::test]
async fn a_panic_is_told_by_who_can() {
    for client in [GO, RUST] {
        let Some(code) = built::client(client.name) else { continue };
        let host = start(client.settings(&code)).await;
        let failed = event(&host, r#"{"do":"panic"}"#).send().await.unwrap();
        assert_eq!(failed.status(), 500, "{}", client.name);
        let document = json(failed).await;
        assert!(
            document["errorMessage"].as_str().unwrap().contains("as asked"),
            "{}: {document}",
            client.name
        );
        works_again(&host).await;
    }
}

/// Go's client asks to be told by being an internal extension; the others get the signal as they are.
#[tokio::test]
async fn a_client_is_told_of_the_end() {
    let Some(code) = built::client(GO.name) else { return };
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let environment = vec![("TELL_SIGTERM".to_owned(), told.to_str().unwrap().to_owned())];
    // It has a few hundred milliseconds to write that it was told, which a loaded machine may take from it, once.
    for _ in 0..3 {
        let host = start(Settings { environment: environment.clone(), ..GO.settings(&code) }).await;
        assert_eq!(json(invoke(&host, "[1]").await).await, json!([1]));
        host.stop(Duration::from_secs(5)).await;
        if told.exists() {
            return;
        }
    }
    panic!("it hears SIGTERM before it is killed");
}

/// To a caller that does not stream, a streamed reply is one like any other.
#[tokio::test]
async fn streams_are_gathered_for_who_does_not_stream() {
    for (client, handler) in [(NODE, "index.stream"), (GO, "none"), (RUST, "none")] {
        let Some(code) = built::client(client.name) else { continue };
        let host = start(Settings { handler: Some(handler.into()), ..client.settings(&code) }).await;
        let asked = r#"{"do":"stream","parts":["[1,","2]"]}"#;
        let answer = invoke(&host, asked).await;
        assert_eq!(header(&answer, "x-amz-function-error"), None, "{}", client.name);
        // Rust's client begins every stream with an HTTP head, which only Function URLs take off.
        let reply = answer.text().await.unwrap();
        assert_eq!(reply.rsplit('\0').next(), Some("[1,2]"), "{}", client.name);
    }
}

#[tokio::test]
async fn a_stream_that_fails_half_way_is_an_error() {
    let Some(code) = built::client(NODE.name) else { return };
    let host = start(Settings { handler: Some("index.stream".into()), ..NODE.settings(&code) }).await;
    let failed = invoke(&host, r#"{"do":"fail","parts":["half"]}"#).await;
    assert_eq!(header(&failed, "x-amz-function-error"), Some("Unhandled"));
    assert_eq!(json(failed).await["errorType"], "RangeError");
}

/// As a Function URL does in front of Node's and Rust's clients: the stream's own head becomes the answer's, and what
/// follows comes as it is written.
#[tokio::test]
async fn a_stream_is_an_http_answer_of_its_own() {
    for (client, handler, status) in [(NODE, "index.stream", 201), (RUST, "none", 200)] {
        let Some(code) = built::client(client.name) else { continue };
        let handler = Some(handler.into());
        let host = start(Settings { handler, http_events: true, ..client.settings(&code) }).await;
        let asked = json!({"do": "http", "parts": ["one, ", "two"], "pause": 300});
        let url = format!("http://{}/", host.address());
        let post = || reqwest::Client::new().post(&url).header("content-type", "application/json");
        let mut answer = post().body(asked.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), status, "{}", client.name);
        if client.name == NODE.name {
            assert_eq!(
                (header(&answer, "content-type"), header(&answer, "set-cookie")),
                (Some("text/plain"), Some("a=b"))
            );
            assert_eq!(answer.chunk().await.unwrap().unwrap(), "one, ", "it does not wait for the rest");
            assert_eq!(answer.chunk().await.unwrap().unwrap(), "two");
            let cut = post().body(json!({"do": "fail", "parts": ["half"]}).to_string()).send().await.unwrap();
            assert_eq!(cut.status(), 200, "it was out before the failure");
            assert!(cut.bytes().await.is_err(), "a part is not taken for the whole");
        }
    }
}

/// A later layer hides an earlier one's module, and the wrapper named as if it were in `/opt` starts the client.
#[tokio::test]
async fn layers_and_a_wrapper_reach_the_function() {
    let Some(client) = built::client(PYTHON.name) else { return };
    let layers: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
    for (number, layer) in layers.iter().enumerate() {
        let modules = layer.path().join("python");
        std::fs::create_dir(&modules).unwrap();
        std::fs::write(modules.join("shared.py"), format!("number = {number}\n")).unwrap();
        let wrapper = layer.path().join("wrap");
        std::fs::write(&wrapper, format!("#!/bin/sh\nexport WRAPPED_BY={number}\nexec \"$@\"\n")).unwrap();
        std::fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    // The client comes in a layer of its own, as it may.
    let runtime = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(&client, runtime.path().join("python")).unwrap();
    let code = tempfile::tempdir().unwrap();
    let handler =
        "import os, shared\ndef handler(e, c):\n    return [shared.number, os.environ['WRAPPED_BY']]\n";
    std::fs::write(code.path().join("mine.py"), handler).unwrap();
    let settings = Settings {
        handler: Some("mine.handler".into()),
        layers: [&runtime, &layers[0], &layers[1]].map(|layer| layer.path().to_owned()).to_vec(),
        environment: vec![("AWS_LAMBDA_EXEC_WRAPPER".into(), "/opt/wrap".into())],
        ..PYTHON.settings(code.path())
    };
    let host = start(settings).await;
    assert_eq!(json(invoke(&host, "{}").await).await, json!([1, "1"]));
}
