//! Ten thousand invocations while one in a hundred finds its process killed, at random. A failure names its seed;
//! `KLR_SEED` draws the same kills again (when they strike is the machine's).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    collections::HashSet,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use common::{code, eventually, exists, header, provided, start};
use klr_host::Settings;
use serde_json::Value;

const CALLERS: u64 = 16;
const CALLS: u64 = 10_000 / CALLERS;
/// An invocation takes less: what is killed within it is idle, or busy with another's, or starting.
const AFTER_MICROS: u64 = 5_000;

/// Random numbers of a seed: splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Told, or the time's.
fn seed() -> u64 {
    let told = std::env::var("KLR_SEED").ok().map(|seed| seed.parse().unwrap());
    told.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64)
}

/// In a moment, whatever the process is doing by then, and for whom.
async fn kill(pid: u64, after: Duration) {
    tokio::time::sleep(after).await;
    let mut kill = Command::new("kill");
    kill.args(["-9", &pid.to_string()]).stderr(std::process::Stdio::null());
    tokio::task::spawn_blocking(move || kill.status().unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_gets_his_own_reply_or_the_end_of_his_process() {
    let code = code(include_str!("common/lean.py"));
    let host = Arc::new(start(Settings { concurrency: 4, threads: 2, ..provided(&code) }).await);
    let url = format!("http://{}/2015-03-31/functions/function/invocations", host.address());
    let (client, kills) = (reqwest::Client::new(), Arc::new(AtomicU64::new(0)));
    let seed = seed();
    println!("KLR_SEED={seed}");
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (client, url, kills) = (client.clone(), url.clone(), Arc::clone(&kills));
            tokio::spawn(async move {
                let (mut lost, mut pids) = (0, HashSet::new());
                let mut dice = Dice(seed ^ caller << 32);
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
                    if dice.below(100) == 0 {
                        kills.fetch_add(1, Relaxed);
                        tokio::spawn(kill(pid, Duration::from_micros(dice.below(AFTER_MICROS))));
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
    // A hundred, give or take four times what chance does to them.
    assert!((60..=140).contains(&kills) && lost <= kills, "{lost} of {kills}");
    assert_eq!((host.metrics().invocations(), host.metrics().errors()), (CALLERS * CALLS, lost));
    Arc::into_inner(host).unwrap().stop(Duration::from_secs(5)).await;
    eventually("nothing is left", || !pids.iter().any(|pid| exists(*pid))).await;
}
