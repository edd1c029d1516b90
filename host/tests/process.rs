//! What may become of the function's process, and who hears of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{
    BOOTSTRAP, bootstrap, code, event, eventually, exists, header, invoke, json, metric, provided, start,
};
use klr_host::{Host, Settings};
use serde_json::Value;

async fn error(host: &Host, asked: &str) -> Value {
    let answer = invoke(host, asked.to_owned()).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "x-amz-function-error"), Some("Unhandled"));
    json(answer).await
}

async fn works(host: &Host) {
    assert_eq!(invoke(host, "[1, 2]").await.text().await.unwrap(), "[1, 2]");
}

#[tokio::test]
async fn an_exit_answers_the_invocation_it_held_and_the_next_succeeds() {
    let (host, _code) = bootstrap().await;
    for (asked, reason) in [
        (r#"{"do":"exit","code":3}"#, "Runtime exited with error: exit status 3"),
        (r#"{"do":"exit","code":0}"#, "Runtime exited without providing a reason"),
        (r#"{"do":"kill"}"#, "Runtime exited with error: signal: killed"),
    ] {
        let document = error(&host, asked).await;
        assert_eq!(document["errorType"], "Runtime.ExitError");
        let message = document["errorMessage"].as_str().unwrap();
        assert!(message.starts_with("RequestId: ") && message.ends_with(reason), "{message}");
        works(&host).await;
    }
    let lost = event(&host, r#"{"do":"kill"}"#).send().await.unwrap();
    assert_eq!(lost.status(), 502);
    assert_eq!(json(lost).await["errorType"], "Runtime.ExitError");
    works(&host).await;
    assert_eq!((host.metrics().invocations(), host.metrics().errors()), (8, 4));
}

/// Whoever is answered at all gets the answer to its own event, however often the process goes under.
#[tokio::test]
async fn a_process_that_keeps_dying_costs_only_those_it_held() {
    let (host, _code) = bootstrap().await;
    let host = std::sync::Arc::new(host);
    let callers = (0..8).map(|caller| {
        let host = std::sync::Arc::clone(&host);
        tokio::spawn(async move {
            let mut lost = 0;
            for call in 0..40 {
                if call % 10 == caller {
                    assert_eq!(event(&host, r#"{"do":"kill"}"#).send().await.unwrap().status(), 502);
                    lost += 1;
                } else {
                    let data = format!("[{caller}, {call}]");
                    let answer = event(&host, data.clone()).send().await.unwrap();
                    assert_eq!(answer.status(), 200);
                    assert_eq!(answer.text().await.unwrap(), data);
                }
            }
            lost
        })
    });
    let mut lost = 0;
    for caller in callers.collect::<Vec<_>>() {
        lost += caller.await.unwrap();
    }
    assert_eq!(lost, 32);
    assert_eq!((host.metrics().invocations(), host.metrics().errors()), (320, lost));
}

const TOLD: &str = r#"#!/usr/bin/env python3
import http.client, os, signal, sys

def told(*_):
    open("told", "w").close()
    sys.exit(0)

signal.signal(signal.SIGTERM, told)
connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
connection.request("GET", "/2018-06-01/runtime/invocation/next")
connection.getresponse()
"#;

#[tokio::test]
async fn the_end_is_announced_and_not_waited_for_longer_than_it_takes() {
    let code = code(TOLD);
    let host = start(provided(&code)).await;
    let begin = std::time::Instant::now();
    host.stop(Duration::from_secs(5)).await;
    let took = begin.elapsed();
    assert!(code.path().join("told").exists(), "SIGTERM comes first");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

/// AWS: 10 s; the first caller's invocation starts it once more, on that caller's time.
#[tokio::test]
async fn a_start_that_never_ends_is_given_up() {
    let code = code("#!/bin/sh\nexec sleep 600\n");
    let begin = std::time::Instant::now();
    let host = start(Settings { timeout: Duration::from_secs(1), ..provided(&code) }).await;
    let took = begin.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(20)).contains(&took), "{took:?}");
    let document = error(&host, "{}").await;
    assert_eq!(document["errorType"], "Sandbox.Timedout", "{document}");
}

#[tokio::test]
async fn what_was_posted_before_the_exit_wins() {
    let (host, _code) = bootstrap().await;
    let document = error(&host, r#"{"do":"error and exit"}"#).await;
    assert_eq!(document["errorMessage"], "posted first");
    works(&host).await;
    assert_eq!(invoke(&host, r#"{"do":"answer and exit"}"#).await.text().await.unwrap(), "1");
    works(&host).await;
}

#[tokio::test]
async fn an_answer_counts_if_all_of_it_was_said() {
    let (host, _code) = bootstrap().await;
    for _ in 0..3 {
        let whole = invoke(&host, r#"{"do":"post and die","bytes":3000000}"#).await;
        assert_eq!(whole.bytes().await.unwrap().len(), 3_000_000);
        let half = event(&host, r#"{"do":"post and die","bytes":3000000,"part":1000000,"pause":0.1}"#);
        let half = half.send().await.unwrap();
        assert_eq!(half.status(), 502);
        assert_eq!(json(half).await["errorType"], "Runtime.ExitError");
    }
    works(&host).await;
}

#[tokio::test]
async fn a_process_that_died_between_invocations_costs_nobody_anything() {
    let (host, _code) = bootstrap().await;
    let pid = json(invoke(&host, r#"{"do":"context"}"#).await).await["pid"].as_u64().unwrap();
    std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    // Killed is not yet dead: until it is, an event may still reach it.
    eventually("it is gone", || !exists(pid)).await;
    works(&host).await;
}

#[tokio::test]
async fn a_timeout_kills_the_group_and_names_the_limit() {
    let code = code(BOOTSTRAP);
    let host = start(Settings { timeout: Duration::from_millis(1500), ..provided(&code) }).await;
    let family = json(invoke(&host, r#"{"do":"family"}"#).await).await;
    let pids: Vec<u64> = family["pids"].as_array().unwrap().iter().map(|pid| pid.as_u64().unwrap()).collect();
    assert!(pids.iter().all(|pid| exists(*pid)));
    let late = event(&host, r#"{"do":"sleep","seconds":60}"#).send().await.unwrap();
    assert_eq!(late.status(), 504);
    assert_eq!(header(&late, "x-amz-function-error"), None);
    let document = json(late).await;
    assert_eq!(document["errorType"], "Sandbox.Timedout");
    let message = document["errorMessage"].as_str().unwrap();
    assert!(message.ends_with(" Error: Task timed out after 1.50 seconds"), "{message}");
    for pid in pids {
        eventually("the whole group is gone", || gone(pid)).await;
    }
    works(&host).await;
    assert_eq!(host.metrics().timeouts(), 1);
}

/// A grandchild is reaped by whoever adopts it: in a container without an init nobody does, so a zombie of it counts.
fn gone(pid: u64) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
        Err(_) => true,
    }
}

#[tokio::test]
async fn a_failed_start_is_tried_once_more_by_the_first_invocation_and_then_told() {
    let code = code(BOOTSTRAP);
    let failing = |name: &str, value: &str| Settings {
        environment: vec![(name.to_owned(), value.to_owned())],
        ..provided(&code)
    };
    let host = start(failing("FAIL_INIT", "1")).await;
    assert!(!host.ready());
    let document = error(&host, "{}").await;
    assert_eq!(
        (&document["errorType"], &document["errorMessage"]),
        (&"Runtime.Broken".into(), &"no start".into())
    );
    let failed = event(&host, "{}").send().await.unwrap();
    assert_eq!((failed.status().as_u16(), header(&failed, "x-amz-function-error")), (500, Some("Unhandled")));

    for (code, reason) in [("7", "exit status 7"), ("0", "without providing a reason")] {
        let host = start(failing("EXIT_INIT", code)).await;
        let lost = event(&host, "{}").send().await.unwrap();
        assert_eq!(lost.status(), 502);
        let document = json(lost).await;
        assert_eq!(document["errorType"], "Runtime.ExitError");
        assert!(document["errorMessage"].as_str().unwrap().ends_with(reason), "{document}");
    }
}

#[tokio::test]
async fn a_start_that_fails_once_is_forgiven() {
    let marker = tempfile::tempdir().unwrap();
    let flag = marker.path().join("flag");
    let first_line = "if os.environ.get(\"FAIL_INIT\"):";
    let once = format!(
        "if not os.path.exists({flag:?}):\n    open({flag:?}, \"w\").close()\n    sys.exit(1)\n{first_line}"
    );
    let code = code(&BOOTSTRAP.replace(first_line, &once));
    let host = start(provided(&code)).await;
    assert!(!host.ready());
    works(&host).await;
    eventually("ready again", || host.ready()).await;
}

/// On Lambda a new environment has its own ten seconds; a function that needs them must get them here as well.
#[tokio::test]
async fn a_start_slower_than_the_timeout_comes_back() {
    let code = code(BOOTSTRAP);
    let environment = vec![("SLOW_INIT".to_owned(), "2.5".to_owned())];
    let host = start(Settings { timeout: Duration::from_secs(1), environment, ..provided(&code) }).await;
    let pid = json(invoke(&host, r#"{"do":"context"}"#).await).await["pid"].as_u64().unwrap();
    std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    eventually("it is gone", || !exists(pid)).await;
    // The start is not on the caller's time.
    assert_eq!(invoke(&host, "[1]").await.text().await.unwrap(), "[1]");
}

#[tokio::test]
async fn a_command_that_is_not_there_answers_its_callers() {
    let command = vec!["/no/such/program".to_owned()];
    let host = start(Settings { command, ..Settings::default() }).await;
    let lost = event(&host, "{}").send().await.unwrap();
    assert_eq!(lost.status(), 502);
    let document = json(lost).await;
    assert_eq!(document["errorType"], "Runtime.InvalidEntrypoint");
    assert!(document["errorMessage"].as_str().unwrap().contains("/no/such/program"), "{document}");
}

/// A client whose first call is refused exits: with the endpoint opened beside the process, some starts lose.
#[tokio::test]
async fn no_start_is_lost_to_a_fast_client() {
    // curl asks as soon as it exists, and gives up at once when refused.
    let fast = "#!/bin/sh\nwhile h=$(curl -sf -D - -o /dev/null \
                \"http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next\"); do\n\
                id=$(echo \"$h\" | tr -d '\\r' | sed -n 's/^lambda-runtime-aws-request-id: //Ip')\n\
                curl -sf -d '\"fast\"' -o /dev/null \
                \"http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$id/response\" || exit 1\n\
                done\nexit 1\n";
    let code = code(fast);
    for start_number in 0..20 {
        let host = start(provided(&code)).await;
        assert!(host.ready(), "start {start_number}");
        assert_eq!(invoke(&host, "{}").await.text().await.unwrap(), "\"fast\"");
        assert_eq!(host.metrics().errors(), 0);
        host.stop(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn nothing_is_left_when_the_host_stops_or_is_dropped() {
    for stopped in [true, false] {
        let (host, _code) = bootstrap().await;
        let family = json(invoke(&host, r#"{"do":"family"}"#).await).await;
        let pids: Vec<u64> =
            family["pids"].as_array().unwrap().iter().map(|pid| pid.as_u64().unwrap()).collect();
        if stopped {
            // Both ignore SIGTERM.
            host.stop(Duration::from_secs(5)).await;
            assert!(!exists(pids[0]), "our child is reaped when stop returns");
        } else {
            drop(host);
        }
        eventually("our child is gone, and no zombie", || !exists(pids[0])).await;
        eventually("its child is gone", || gone(pids[1])).await;
    }
}

#[tokio::test]
async fn stop_finishes_what_runs_and_accepts_no_more() {
    let (host, _code) = bootstrap().await;
    let address = host.address();
    let running = event(&host, r#"{"do":"sleep","seconds":1}"#).send();
    let running = tokio::spawn(running);
    eventually("it runs", || host.metrics().invocations() == 1).await;
    host.stop(Duration::from_secs(20)).await;
    assert_eq!(running.await.unwrap().unwrap().status(), 200);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

/// The system lets callers in before we know of them; some have not said anything yet.
#[tokio::test]
async fn stop_serves_whom_the_system_has_let_in() {
    use std::io::{Read, Write};
    let (host, _code) = bootstrap().await;
    let request =
        "POST /2015-03-31/functions/function/invocations HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n[1]";
    let mut callers: Vec<_> = (0..8).map(|_| std::net::TcpStream::connect(host.address()).unwrap()).collect();
    callers[..4].iter_mut().for_each(|caller| caller.write_all(request.as_bytes()).unwrap());
    let stopped = tokio::spawn(host.stop(Duration::from_secs(20)));
    // It has begun to stop, and they speak now: they are not waited for long.
    tokio::task::yield_now().await;
    callers[4..].iter_mut().for_each(|caller| caller.write_all(request.as_bytes()).unwrap());
    let answers = tokio::task::spawn_blocking(move || {
        callers
            .iter_mut()
            .map(|caller| {
                let mut answer = String::new();
                caller.read_to_string(&mut answer).unwrap();
                answer
            })
            .collect::<Vec<_>>()
    });
    for answer in answers.await.unwrap() {
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("[1]"), "{answer}");
    }
    stopped.await.unwrap();
}

/// It is no fault of the function's, and asking again may help.
#[tokio::test]
async fn what_the_end_cuts_off_is_an_error_of_the_service() {
    let (host, _code) = bootstrap().await;
    let url = format!("http://{}/2015-03-31/functions/function/invocations", host.address());
    let running = reqwest::Client::new().post(url).body(r#"{"do":"sleep","seconds":60}"#).send();
    let running = tokio::spawn(running);
    eventually("it runs", || host.metrics().invocations() == 1).await;
    host.stop(Duration::from_millis(200)).await;
    let cut_off = running.await.unwrap().unwrap();
    assert_eq!((cut_off.status().as_u16(), header(&cut_off, "x-amz-function-error")), (500, None));
    assert_eq!(header(&cut_off, "x-amzn-errortype"), Some("ServiceException"));
}

#[tokio::test]
async fn stop_waits_no_longer_than_it_is_told() {
    let (host, _code) = bootstrap().await;
    let running = tokio::spawn(event(&host, r#"{"do":"sleep","seconds":60}"#).send());
    eventually("it runs", || host.metrics().invocations() == 1).await;
    let waiting = tokio::spawn(event(&host, "[1]").send());
    eventually("another waits", || metric(&host, "klr_queued_invocations") == 1).await;
    let begin = std::time::Instant::now();
    host.stop(Duration::from_millis(200)).await;
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(running.await.unwrap().unwrap().status(), 502);
    assert_eq!(waiting.await.unwrap().unwrap().status(), 429, "it did not run: it may be sent again");
}
