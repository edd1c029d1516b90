//! One process with many invocations at a time: `AWS_LAMBDA_MAX_CONCURRENCY`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use common::{built, code, event, eventually, invoke, json, metric, provided, start};
use klr_host::{Host, Logs, Settings, Source};
use serde_json::{Value, json};

const WORKERS: &str = include_str!("common/workers.py");

/// A host with `workers` in each of its processes.
async fn several(workers: usize, more: impl FnOnce(Settings) -> Settings) -> (Arc<Host>, tempfile::TempDir) {
    let code = code(WORKERS);
    let settings = Settings { max_concurrency: Some(workers), ..provided(&code) };
    (Arc::new(start(more(settings)).await), code)
}

async fn ask(host: &Host, event: Value) -> Value {
    json(invoke(host, event.to_string()).await).await
}

fn later(host: &Arc<Host>, event: Value) -> tokio::task::JoinHandle<Value> {
    let host = Arc::clone(host);
    tokio::spawn(async move { ask(&host, event).await })
}

fn running(host: &Host) -> bool {
    metric(host, "klr_concurrent_executions") == 3
}

#[tokio::test]
async fn one_process_has_many_in_hand_and_the_rest_wait() {
    let (host, _code) = several(3, |settings| settings).await;
    let slow: Vec<_> = (0..5).map(|n| later(&host, json!({"n": n, "sleep": 1.5}))).collect();
    eventually("three run", || running(&host)).await;
    let mut pids = Vec::new();
    for (n, task) in slow.into_iter().enumerate() {
        let told = task.await.unwrap();
        assert_eq!((told["n"].as_u64(), &told["env"]), (Some(n as u64), &json!("lambda-managed-instances")));
        pids.push(told["pid"].as_u64().unwrap());
    }
    pids.dedup();
    assert_eq!(pids.len(), 1);
}

#[tokio::test]
async fn the_variable_may_come_with_the_functions_own() {
    let code = code(WORKERS);
    let environment = vec![("AWS_LAMBDA_MAX_CONCURRENCY".to_owned(), "2".to_owned())];
    let host = start(Settings { environment, ..provided(&code) }).await;
    assert_eq!(ask(&host, json!({"n": 1})).await["n"], 1);
    let environment = vec![("AWS_LAMBDA_MAX_CONCURRENCY".to_owned(), "many".to_owned())];
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = Host::start(Settings { environment, ..provided(&code) }, listener).await;
    assert!(refused.err().unwrap().to_string().contains("many"));
}

#[tokio::test]
async fn a_timeout_fails_its_caller_and_the_late_answer_is_gone() {
    let short = |settings| Settings { timeout: Duration::from_millis(1500), ..settings };
    let (host, _code) = several(3, short).await;
    let pid = ask(&host, json!({"echo": true})).await["pid"].clone();
    for echo in [false, true] {
        let late = event(&host, json!({"sleep": 2.5, "echo": echo}).to_string()).send().await.unwrap();
        assert_eq!(late.status(), 504);
        assert_eq!(json(late).await["errorType"], "Sandbox.Timedout");
        assert_eq!(ask(&host, json!({"echo": echo})).await["pid"], pid, "the process is kept");
    }
    let mut statuses = Value::Null;
    // The late answers come a second after they were due.
    for _ in 0..100 {
        statuses = ask(&host, json!({})).await["statuses"].take();
        if statuses.as_array().is_some_and(|statuses| statuses.len() == 2) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(statuses, json!([410, 410]));
}

#[tokio::test]
async fn an_exit_fails_what_it_held_and_the_process_is_replaced() {
    let (host, _code) = several(3, |settings| settings).await;
    let held: Vec<_> = (0..2).map(|_| later(&host, json!({"sleep": 60}))).collect();
    let exit = later(&host, json!({"sleep": 3, "exit": 9}));
    for task in held.into_iter().chain([exit]) {
        let document = task.await.unwrap();
        assert_eq!(document["errorType"], "Runtime.ExitError");
        assert!(document["errorMessage"].as_str().unwrap().ends_with("exit status 9"), "{document}");
    }
    assert_eq!(ask(&host, json!({"n": 5})).await["n"], 5);
}

#[tokio::test]
async fn a_process_whose_workers_all_hang_is_replaced() {
    let short = |settings| Settings { timeout: Duration::from_secs(1), ..settings };
    let (host, _code) = several(2, short).await;
    let pid = ask(&host, json!({})).await["pid"].clone();
    for task in [later(&host, json!({"sleep": 600})), later(&host, json!({"sleep": 600}))] {
        assert_eq!(task.await.unwrap()["errorType"], "Sandbox.Timedout");
    }
    let cold_starts = host.metrics().cold_starts();
    eventually("another is started", || host.metrics().cold_starts() > cold_starts).await;
    assert_ne!(ask(&host, json!({})).await["pid"], pid);
}

#[tokio::test]
async fn processes_and_workers_multiply_and_every_reply_is_matched() {
    let (host, _code) = several(4, |settings| Settings { concurrency: 2, threads: 2, ..settings }).await;
    let callers: Vec<_> = (0..64)
        .map(|caller| {
            let host = Arc::clone(&host);
            tokio::spawn(async move {
                for call in 0..10 {
                    let n = caller * 100 + call;
                    assert_eq!(ask(&host, json!({"n": n})).await["n"], n);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!((host.metrics().invocations(), host.metrics().errors()), (640, 0));
}

/// The clients that take several at a time: Python's in processes of its own, the others in threads of theirs.
const CLIENTS: [built::Client; 4] = [built::PYTHON, built::GO, built::RUST, built::JAVA];

#[tokio::test]
async fn real_clients_take_several_at_a_time() {
    for client in CLIENTS {
        let Some(settings) = client.settings() else { continue };
        let name = client.name;
        let settings = Settings { timeout: Duration::from_secs(5), max_concurrency: Some(3), ..settings };
        let host = Arc::new(start(settings).await);
        let sleep = |seconds: u32| later(&host, json!({"do": "sleep", "seconds": seconds}));
        let all: Vec<_> = (0..3).map(|_| sleep(2)).collect();
        eventually(name, || running(&host)).await;
        for one in all {
            assert_eq!(one.await.unwrap(), Value::Null, "{name}");
        }
        let cold_starts = host.metrics().cold_starts();
        let (late, fine) = (sleep(60), sleep(2));
        assert_eq!(fine.await.unwrap(), Value::Null, "{name}: one that is overdue leaves the others alone");
        assert_eq!(late.await.unwrap()["errorType"], "Sandbox.Timedout", "{name}");
        assert_eq!(ask(&host, json!([name])).await, json!([name]));
        assert_eq!(host.metrics().cold_starts(), cold_starts, "{name}: one process took them all");
        let replies = (0..24).map(|n| later(&host, json!({"n": n}))).collect::<Vec<_>>();
        for (n, reply) in replies.into_iter().enumerate() {
            assert_eq!(reply.await.unwrap(), json!({"n": n}), "{name}");
        }
    }
}

/// Python's workers share their parent's standard output, and write a line in two goes.
#[tokio::test]
async fn workers_do_not_get_into_each_others_lines() {
    let Some(settings) = built::PYTHON.settings() else { return };
    let (records, mut written) = tokio::sync::mpsc::channel(10_000);
    let logs = Logs::Records(records);
    let host = Arc::new(start(Settings { max_concurrency: Some(3), logs, ..settings }).await);
    let env = ask(&host, json!({"do": "context"})).await["env"].clone();
    let socket = std::path::PathBuf::from(env["_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET"].as_str().unwrap());
    assert!(socket.exists());
    let lines = ["a", "b", "c"].map(|letter| letter.repeat(5000));
    let all = lines.clone().map(|line| later(&host, json!({"do": "print", "lines": 500, "line": line})));
    let mut pids = Vec::new();
    for one in all {
        pids.push(one.await.unwrap().as_u64().unwrap());
    }
    pids.dedup();
    assert!(pids.len() > 1, "they ran side by side");
    Arc::into_inner(host).unwrap().stop(Duration::from_secs(5)).await;
    assert!(!socket.exists(), "the socket goes with the process");
    let mut counts = [0; 3];
    while let Ok(record) = written.try_recv() {
        if record.source == Source::Function {
            let line = lines.iter().position(|line| *line.as_bytes() == record.text[..]);
            counts[line.unwrap_or_else(|| panic!("mixed up: {} bytes", record.text.len()))] += 1;
        }
    }
    assert_eq!(counts, [500; 3]);
}

/// What they write is nobody's in particular; what the platform says of each is.
#[tokio::test]
async fn each_caller_has_the_report_of_his_own_invocation_as_its_log() {
    let (host, _code) = several(2, |settings| settings).await;
    let tail = [("x-amz-log-type", "Tail")];
    let (slow, quick) = tokio::join!(
        common::invoke_with(&host, &tail, r#"{"sleep":1}"#),
        common::invoke_with(&host, &tail, r#"{"sleep":0.5}"#),
    );
    for answer in [slow, quick] {
        let id = common::header(&answer, "x-amzn-requestid").unwrap();
        let log = BASE64_STANDARD.decode(common::header(&answer, "x-amz-log-result").unwrap()).unwrap();
        let log = String::from_utf8(log).unwrap();
        assert!(
            log.contains(&format!("REPORT RequestId: {id}\t")) && log.matches("REPORT").count() == 1,
            "{log}"
        );
    }
}
