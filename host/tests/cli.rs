//! The binary, as a user runs it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    io::Read,
    net::TcpListener,
    process::{Command, Output},
};

use common::{
    BOOTSTRAP, Gate, code, event_to, eventually, exists, free, header, json, python,
    running::{Running, open},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

fn refused(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_klr-host"));
    let output =
        command.args(["--admin", &free()]).args(arguments).envs(environment.iter().copied()).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    output
}

fn provided(code: &TempDir) -> [&str; 4] {
    ["--runtime", "provided.al2023", "--code", code.path().to_str().unwrap()]
}

#[tokio::test]
async fn it_serves_tells_its_health_and_leaves_nothing_behind() {
    let code = code(BOOTSTRAP);
    let arguments = [&provided(&code)[..], &["--timeout", "20s", "--env", "A=b", "--env", "GIVEN"]].concat();
    let mut host = Running::start(&arguments, &[("GIVEN", "host's"), ("IMAGE", "x"), ("K_SINK", "y")]);
    host.accepts().await;
    let told: Value = json(host.ask(r#"{"do":"context"}"#).await).await;
    assert_eq!((&told["env"]["A"], &told["env"]["GIVEN"]), (&"b".into(), &"host's".into()));
    assert_eq!((&told["env"]["IMAGE"], told["env"].get("K_SINK")), (&"x".into(), None));
    assert_eq!(host.ask(r#"{"do":"print","line":"said by the function"}"#).await.status(), 200);
    assert_eq!(host.ask(r#"{"do":"error"}"#).await.status(), 500);

    assert_eq!(host.admin("/healthz").await, (200, "ok\n".into()));
    assert_eq!(host.admin("/readyz").await, (200, "ok\n".into()));
    let (_, metrics) = host.admin("/metrics").await;
    assert!(metrics.contains("klr_invocations_total{function=\"function\"} 3\n"), "{metrics}");
    assert!(metrics.contains("klr_errors_total{function=\"function\"} 1\n"), "{metrics}");
    let page =
        reqwest::Client::new().get(format!("http://{}/metrics", host.admin)).header("origin", "http://x");
    assert_eq!(page.send().await.unwrap().status(), 403);
    let not_here = reqwest::get(format!("http://{}/healthz", host.listen)).await.unwrap();
    assert_eq!(not_here.status(), 405, "never on the invocation port");

    let pid = told["pid"].as_u64().unwrap();
    assert!(exists(pid));
    host.signal("-TERM");
    let (exit, written) = host.ended().await;
    assert_eq!(exit, Some(0));
    let platforms = ["INIT_START ", "START ", "END ", "REPORT "];
    let own: Vec<_> =
        written.lines().filter(|line| !platforms.iter().any(|start| line.starts_with(start))).collect();
    assert_eq!(own, ["said by the function"], "the function's log, and nothing else");
    assert_eq!(written.matches("REPORT RequestId: ").count(), 3, "{written}");
    assert!(!exists(pid));
}

#[tokio::test]
async fn sigterm_lets_what_runs_finish_and_a_second_does_not() {
    for (signals, status) in [(1, Some(200)), (2, None)] {
        let code = code(BOOTSTRAP);
        let mut host = Running::start(&[&provided(&code)[..], &["--timeout", "30s"]].concat(), &[]);
        host.accepts().await;
        let pid = json(host.ask(r#"{"do":"context"}"#).await).await["pid"].as_u64().unwrap();
        let gate = Gate::closed();
        let running = tokio::spawn(event_to(&host.listen, gate.event()).send());
        host.runs().await;
        host.signal("-TERM");
        // A second that comes before the first is seen is none.
        host.says("/readyz", 503, "draining\n").await;
        if signals == 2 {
            host.signal("-TERM");
        } else {
            gate.open();
        }
        let answer = running.await.unwrap().ok().map(|answer| answer.status().as_u16());
        if signals == 1 {
            assert_eq!(answer, status);
        } else {
            assert_ne!(answer, Some(200));
        }
        assert_eq!(host.ended().await.0, Some(0));
        eventually("the function is gone", || gone(pid)).await;
    }
}

#[tokio::test]
async fn sigterm_during_the_start_leaves_nothing() {
    let marker = tempfile::tempdir().unwrap();
    let file = marker.path().join("pid");
    let slow = format!("#!/bin/sh\necho $$ > {0}.new && mv {0}.new {0}\nexec sleep 600\n", file.display());
    let code = code(&slow);
    let mut host = Running::start(&provided(&code), &[]);
    eventually("the function is starting", || file.exists()).await;
    assert_eq!(host.admin("/healthz").await.0, 200, "alive while it starts");
    assert_eq!(host.admin("/readyz").await.0, 503);
    host.signal("-TERM");
    assert_eq!(host.ended().await.0, Some(0));
    let pid: u64 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    eventually("the function is gone", || gone(pid)).await;
}

/// Adopted by whoever is our init, which may not reap.
fn gone(pid: u64) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.contains(") Z "),
        Err(_) => true,
    }
}

#[tokio::test]
async fn a_host_that_is_killed_takes_the_function_with_it() {
    let code = code(BOOTSTRAP);
    let mut host = Running::start(&provided(&code), &[]);
    host.accepts().await;
    let pid = json(host.ask(r#"{"do":"context"}"#).await).await["pid"].as_u64().unwrap();
    host.signal("-KILL");
    assert_eq!(host.ended().await.0, None);
    eventually("the client sees its endpoint go, and exits", || gone(pid)).await;
}

#[tokio::test]
async fn the_port_opens_when_the_function_is_there_or_at_once_if_lazy() {
    let code = code(BOOTSTRAP);
    for lazy in [false, true] {
        let flag: &[&str] = if lazy { &["--lazy"] } else { &[] };
        let arguments = [&provided(&code)[..], &["--env", "SLOW_INIT=3", "--timeout", "20s"], flag].concat();
        let host = Running::start(&arguments, &[]);
        // The process is there once its admin port is bound; the function takes three seconds more.
        host.says("/readyz", 503, "").await;
        if lazy {
            host.accepts().await;
            assert_eq!(host.admin("/readyz").await.0, 503);
        } else {
            assert!(!open(&host.listen).await);
        }
        host.accepts().await;
        assert_eq!(host.ask("[1]").await.text().await.unwrap(), "[1]");
        assert_eq!(host.admin("/readyz").await.0, 200);
    }
}

#[tokio::test]
async fn a_managed_python_is_found_and_told_the_truth_about() {
    let Some(python) = python() else { return };
    let code = tempfile::tempdir().unwrap();
    let handler = "import os\ndef handler(event, context):\n    return dict(os.environ)\n";
    std::fs::write(code.path().join("app.py"), handler).unwrap();
    let version = Command::new(&python).arg("--version").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let version: Vec<&str> = version.trim().trim_start_matches("Python ").split('.').collect();
    let runtime = format!("python{}.{}", version[0], version[1]);
    let path = code.path().to_str().unwrap();
    let arguments = ["--runtime", &runtime, "--handler", "app.handler", "--code", path, "--timeout", "20s"];
    let host = Running::start(&arguments, &[("KLR_PYTHON", python.to_str().unwrap())]);
    host.accepts().await;
    let answer = host.ask("{}").await;
    assert_eq!((answer.status().as_u16(), header(&answer, "x-amz-function-error")), (200, None));
    let env = json(answer).await;
    assert_eq!(env["AWS_EXECUTION_ENV"], format!("AWS_Lambda_{runtime}"));
    assert_eq!(env["_HANDLER"], "app.handler");
}

#[test]
fn bad_usage_is_told_and_exits_2() {
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().to_str().unwrap();
    let told = |arguments: &[&str], environment: &[(&str, &str)], what: &str| {
        let output = refused(arguments, environment);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(what), "{text}");
        assert!(output.stdout.is_empty());
    };
    let listen = free();
    let at = ["--listen", &listen, "--code", path];
    told(&at, &[], "nothing to run");
    told(
        &[&at[..], &["--runtime", "nodejs22.x", "--handler", "a.b"]].concat(),
        &[("PATH", path), ("KLR_NODE_RIC", "")],
        "npm install aws-lambda-ric",
    );
    told(&[&at[..], &["--runtime", "dotnet8", "--handler", "a.b"]].concat(), &[], "after `--`");
    told(&[&at[..], &["--layer", "/no/layer", "--", "true"]].concat(), &[], "layer directory /no/layer");
    let large = format!("A={}", "x".repeat(4096));
    told(&[&at[..], &["--env", &large, "--", "true"]].concat(), &[], "4096");
    told(&[&at[..], &["--runtime", "python3.13"]].concat(), &[], "--handler");
    let python = [&at[..], &["--runtime", "python3.13", "--handler", "a.b"]].concat();
    told(&python, &[("PATH", path)], "pip install awslambdaric");
    told(&["--listen", &listen, "--code", "/no/such", "--", "true"], &[], "/no/such");
    told(&[&at[..], &["--timeout", "16m", "--", "true"]].concat(), &[], "900 s");
    told(&[&at[..], &["--name", "a b", "--", "true"]].concat(), &[], "name");
    told(&[&at[..], &["--concurrency", "0", "--", "true"]].concat(), &[], "concurrency");
    told(&["--code", path, "--", "true"], &[("PORT", "x")], "PORT");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    told(
        &["--listen", &address, "--", "true"],
        &[],
        &format!("--listen {address}: Address already in use (os error 98): end what listens there"),
    );
}

/// A second host beside the first, with the same default: it must not serve without its health being told.
#[test]
fn an_admin_port_in_use_is_told_and_exits_2() {
    let (taken, listen, code) = (TcpListener::bind("127.0.0.1:0").unwrap(), free(), code(BOOTSTRAP));
    let address = taken.local_addr().unwrap().to_string();
    let arguments = [&["--listen", &listen, "--admin", &address][..], &provided(&code)].concat();
    let output = Command::new(env!("CARGO_BIN_EXE_klr-host")).args(arguments).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains(&format!("--admin {address}: Address already in use")), "{told}");
    assert!(output.stdout.is_empty(), "nothing was started");
}

#[tokio::test]
async fn a_host_that_drains_is_alive_and_not_ready() {
    let code = code(BOOTSTRAP);
    let mut host = Running::start(&[&provided(&code)[..], &["--timeout", "30s"]].concat(), &[]);
    host.accepts().await;
    let gate = Gate::closed();
    let running = tokio::spawn(event_to(&host.listen, gate.event()).send());
    host.runs().await;
    assert_eq!(host.admin("/readyz").await, (200, "ok\n".into()));
    host.signal("-TERM");
    host.says("/readyz", 503, "draining\n").await;
    assert_eq!(host.admin("/healthz").await.0, 200);
    let (_, metrics) = host.admin("/metrics").await;
    assert!(metrics.contains("klr_concurrent_executions{function=\"function\"} 1\n"), "{metrics}");
    assert!(!open(&host.listen).await, "nobody new is let in");
    gate.open();
    assert_eq!(running.await.unwrap().unwrap().status(), 200);
    assert_eq!(host.ended().await.0, Some(0));
}

#[tokio::test]
async fn a_lazy_port_is_open_before_the_runtime_is_found() {
    let code = tempfile::tempdir().unwrap();
    let slow = code.path().join("slow-python");
    std::fs::write(&slow, "#!/bin/sh\nexec sleep 600\n").unwrap();
    std::fs::set_permissions(&slow, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = code.path().to_str().unwrap();
    let arguments = ["--runtime", "python3.13", "--handler", "a.b", "--code", path, "--lazy"];
    let mut host = Running::start(&arguments, &[("KLR_PYTHON", slow.to_str().unwrap())]);
    host.accepts().await;
    host.signal("-TERM");
    assert_eq!(host.ended().await.0, Some(0), "a search that takes long is given up");
}

#[tokio::test]
async fn a_temporary_folder_that_cannot_be_written_is_told_and_no_reason_to_end() {
    let code = code(BOOTSTRAP);
    let mut host = Running::start(&[&provided(&code)[..], &["--env", "TMPDIR=/proc"]].concat(), &[]);
    host.accepts().await;
    assert_eq!(host.ask("[1]").await.text().await.unwrap(), "[1]");
    host.signal("-TERM");
    let _ = host.ended().await;
    let mut told = String::new();
    host.child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.contains("/proc") && told.contains("emptyDir"), "{told}");
}

/// It keeps its answer waiting, and nobody else.
#[tokio::test]
async fn a_caller_that_stops_reading_is_alone_with_it() {
    use tokio::io::AsyncWriteExt;
    let code = code(BOOTSTRAP);
    let arguments = [&provided(&code)[..], &["--timeout", "20s", "--drain-timeout", "1s"]].concat();
    let mut host = Running::start(&arguments, &[]);
    host.accepts().await;
    let mut deaf = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(&host.listen).await.unwrap();
        let asked = r#"{"do":"size","bytes":6000000}"#;
        let head =
            "POST / HTTP/1.1\r\nhost: h\r\nce-specversion: 1.0\r\nce-id: 1\r\nce-source: /\r\nce-type: t\r\n";
        let request = format!("{head}content-length: {}\r\n\r\n{asked}", asked.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        deaf.push(stream);
    }
    for _ in 0..3 {
        assert_eq!(host.ask("[1]").await.text().await.unwrap(), "[1]");
    }
    host.signal("-TERM");
    assert_eq!(host.ended().await.0, Some(0), "a drain does not wait for it for ever");
}
