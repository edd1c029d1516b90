//! Ten thousand invocations while one in a hundred finds its process killed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    collections::HashSet,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use common::{code, eventually, exists, header, provided, start};
use klr_host::Settings;
use serde_json::Value;

const CALLERS: u64 = 16;
const CALLS: u64 = 10_000 / CALLERS;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_gets_his_own_reply_or_the_end_of_his_process() {
    let code = code(include_str!("common/lean.py"));
    let host = Arc::new(start(Settings { concurrency: 4, ..provided(&code) }).await);
    let url = format!("http://{}/2015-03-31/functions/function/invocations", host.address());
    let (client, kills) = (reqwest::Client::new(), Arc::new(AtomicU64::new(0)));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (client, url, kills) = (client.clone(), url.clone(), Arc::clone(&kills));
            tokio::spawn(async move {
                let (mut lost, mut pids) = (0, HashSet::new());
                for call in 0..CALLS {
                    let n = caller * CALLS + call;
                    let answer = client.post(&url).body(n.to_string()).send().await.unwrap();
                    assert_eq!(answer.status(), 200);
                    let failed = header(&answer, "x-amz-function-error").is_some();
                    let told: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
                    if failed {
                        assert_eq!(told["errorType"], "Runtime.ExitError", "{told}");
                        assert!(told["errorMessage"].as_str().unwrap().ends_with("signal: killed"), "{told}");
                        lost += 1;
                        continue;
                    }
                    assert_eq!(told["event"], n);
                    let pid = told["pid"].as_u64().unwrap();
                    pids.insert(pid);
                    // Spread over the run, whatever the process is doing by now, and for whom.
                    if (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32).is_multiple_of(100) {
                        kills.fetch_add(1, Relaxed);
                        let mut kill = Command::new("kill");
                        kill.args(["-9", &pid.to_string()]).stderr(std::process::Stdio::null());
                        tokio::task::spawn_blocking(move || kill.status().unwrap()).await.unwrap();
                    }
                }
                (lost, pids)
            })
        })
        .collect();
    let (mut lost, mut pids) = (0, HashSet::new());
    for caller in callers {
        let (theirs, seen) = caller.await.unwrap();
        lost += theirs;
        pids.extend(seen);
    }
    let kills = kills.load(Relaxed);
    println!("{kills} kills: {lost} invocations lost, {} processes used", pids.len());
    assert!(kills >= 95 && lost <= kills, "{lost} of {kills}");
    assert_eq!((host.metrics().invocations(), host.metrics().errors()), (CALLERS * CALLS, lost));
    Arc::into_inner(host).unwrap().stop(std::time::Duration::from_secs(5)).await;
    eventually("nothing is left", || !pids.iter().any(|pid| exists(*pid))).await;
}
