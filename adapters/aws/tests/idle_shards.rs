//! Ten thousand shards at rest in one process (this test's own).
#![allow(clippy::unwrap_used)] // A test that cannot set its scene has failed.

mod script;

use std::time::{Duration, Instant};

use klr_aws::shards::Start;
use klr_contract::Log as _;
use klr_contract::memory::store::Table;
use script::{Script, gained, settings, shard};

const SHARDS: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_shards_cost_little() {
    let (script, table) = (Script::new(SHARDS), Table::default());
    let reader = script.open(&table, settings(Start::TrimHorizon));
    reader.read_until(|all, _| gained(all).len() == SHARDS).await;
    // All are read at least once, and again.
    let (start, cpu) = (Instant::now(), cpu());
    while script.world().reads < 2 * SHARDS {
        assert!(start.elapsed() < Duration::from_secs(120), "{} reads", script.world().reads);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let span = start.elapsed();
    let (resident, spent) = (resident(), self::cpu() - cpu);
    println!(
        "{SHARDS} idle shards: {} MB resident, {spent:?} CPU for {} reads in {span:?}",
        resident >> 20,
        2 * SHARDS
    );
    assert!(resident < 200 << 20, "{} MB", resident >> 20);
    // Busy with the idle ones, it does not miss the one.
    script.put(&shard(SHARDS / 2), &["news"]);
    assert_eq!(script::bodies(&reader.read(1).await), ["news"]);
    reader.close().await.unwrap();
}

/// Bytes, the scripted service's and the store's among them.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}
