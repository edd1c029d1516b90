//! Many processes of one function, and many callers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use common::{BOOTSTRAP, Gate, code, event, eventually, exists, invoke, json, metric, provided, start};
use klr_host::{Host, Settings};

const WHO: &str = r#"{"do":"context"}"#;

async fn pid(host: &Host) -> u64 {
    json(invoke(host, WHO).await).await["pid"].as_u64().unwrap()
}

#[tokio::test]
async fn as_many_run_at_once_as_there_may_be_processes() {
    let code = code(BOOTSTRAP);
    let host = Arc::new(start(Settings { concurrency: 4, ..provided(&code) }).await);
    let gate = Gate::closed();
    let held: Vec<_> = (0..4).map(|_| tokio::spawn(event(&host, gate.event()).send())).collect();
    eventually("all four run", || metric(&host, "klr_concurrent_executions") == 4).await;
    gate.open();
    for task in held {
        assert_eq!(task.await.unwrap().unwrap().status(), 200);
    }
}

#[tokio::test]
async fn the_process_used_last_is_used_next_and_one_is_ready_ahead() {
    let code = code(BOOTSTRAP);
    let host = start(Settings { concurrency: 3, ..provided(&code) }).await;
    let mut pids = BTreeSet::new();
    for _ in 0..20 {
        pids.insert(pid(&host).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The first call found the only process idle and made a second one start. Which of the two then was the last to come
    // free is a matter of timing, once.
    assert!(pids.len() <= 2, "{pids:?}");
    eventually("one is ready ahead", || metric(&host, "klr_sandboxes") == 2).await;
}

#[tokio::test]
async fn sixty_four_callers_each_get_their_own_reply() {
    let code = code(BOOTSTRAP);
    let host = Arc::new(start(Settings { concurrency: 8, threads: 3, ..provided(&code) }).await);
    let callers: Vec<_> = (0..64)
        .map(|caller| {
            let host = Arc::clone(&host);
            tokio::spawn(async move {
                for call in 0..20 {
                    let sent = format!(r#"{{"caller": {caller}, "call": {call}}}"#);
                    let answer = event(&host, sent.clone()).send().await.unwrap();
                    assert_eq!(answer.status(), 200);
                    assert_eq!(answer.text().await.unwrap(), sent);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!((host.metrics().invocations(), host.metrics().errors()), (64 * 20, 0));
}

#[tokio::test]
async fn a_crash_and_a_hang_of_one_cost_the_others_nothing() {
    let code = code(BOOTSTRAP);
    let settings = Settings { concurrency: 3, timeout: Duration::from_secs(4), ..provided(&code) };
    let host = Arc::new(start(settings).await);
    let hang = tokio::spawn(event(&host, r#"{"do":"sleep","seconds":600}"#).send());
    for n in 0..12 {
        if n % 4 == 0 {
            assert_eq!(event(&host, r#"{"do":"kill"}"#).send().await.unwrap().status(), 502);
        }
        assert_eq!(event(&host, "[1]").send().await.unwrap().status(), 200);
    }
    assert_eq!(hang.await.unwrap().unwrap().status(), 504);
}

#[tokio::test]
async fn a_host_that_failed_to_start_comes_back_without_a_caller() {
    let marker = tempfile::tempdir().unwrap();
    let flag = marker.path().join("flag");
    let first_line = "if os.environ.get(\"FAIL_INIT\"):";
    let until = format!("if not os.path.exists({flag:?}):\n    sys.exit(1)\n{first_line}");
    let code = code(&BOOTSTRAP.replace(first_line, &until));
    let host = start(Settings { concurrency: 2, ..provided(&code) }).await;
    assert!(!host.ready());
    std::fs::write(&flag, "").unwrap();
    eventually("ready again", || host.ready()).await;
    assert_eq!(host.metrics().invocations(), 0);
}

#[tokio::test]
async fn stop_ends_every_process() {
    let code = code(BOOTSTRAP);
    let host = Arc::new(start(Settings { concurrency: 4, ..provided(&code) }).await);
    let ask = r#"{"do":"family"}"#;
    let tasks: Vec<_> = (0..4).map(|_| tokio::spawn(event(&host, ask).send())).collect();
    let mut pids = Vec::new();
    for task in tasks {
        let family = json(task.await.unwrap().unwrap()).await;
        pids.extend(family["pids"].as_array().unwrap().iter().map(|pid| pid.as_u64().unwrap()));
    }
    Arc::into_inner(host).unwrap().stop(Duration::from_secs(5)).await;
    for pid in pids.iter().step_by(2) {
        assert!(!exists(*pid), "each is reaped when stop returns");
    }
}
