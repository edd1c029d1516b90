//! Sixty-four callers at once of every real client: each gets its own reply.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::{
    built::{Client, GO, JAVA, NODE, PYTHON, RUST, SHELL},
    event, invoke, start,
};
use klr_host::Settings;
use serde_json::{Value, json};

const CALLERS: u64 = 64;
const CALLS: u64 = 2;

async fn served(client: Client) {
    let Some(settings) = client.settings() else { return };
    // A small machine starts no more of them in time.
    let host = Arc::new(start(Settings { concurrency: 4, waiting: 16, ..settings }).await);
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let host = Arc::clone(&host);
            tokio::spawn(async move {
                for call in 0..CALLS {
                    // Not all of one size: what is read in one go, and what is not.
                    let sent =
                        json!({"n": caller * CALLS + call, "pad": "x".repeat((caller * 499) as usize)});
                    let answer = match call % 2 {
                        0 => event(&host, sent.to_string()).send().await.unwrap(),
                        _ => invoke(&host, sent.to_string()).await,
                    };
                    assert_eq!(answer.status(), 200, "{}", client.name);
                    let got: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
                    assert!(got == sent, "{}: expected {}, got {}", client.name, sent["n"], got["n"]);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let metrics = host.metrics();
    assert_eq!((metrics.invocations(), metrics.errors()), (CALLERS * CALLS, 0), "{}", client.name);
    assert_eq!(metrics.throttles(), 0, "{}", client.name);
}

#[tokio::test]
async fn each_gets_its_own_reply() {
    for client in [PYTHON, NODE, GO, RUST, JAVA, SHELL] {
        served(client).await;
    }
}
