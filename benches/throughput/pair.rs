//! Bridge and floor in turns, and what is said of it.

use std::time::{Duration, Instant};

use super::process::{cpu, peak_mb};
use super::sink::Running;

const PAIRS: usize = 5;
/// A run that takes longer has hung.
const PATIENCE: Duration = Duration::from_secs(600);

/// What one run came to.
#[derive(Clone, Copy)]
pub struct Figures {
    per_second: f64,
    cpu_micros: f64,
    peak_mb: f64,
}

/// Bridge over floor.
#[derive(Clone, Copy)]
pub struct Ratio {
    pub throughput: f64,
    pub cpu: f64,
}

/// Watches a run of `records` in process `pid`: what happens between the first tenth, which warms up, and the last, in
/// which lanes run dry.
pub fn watch(sink: &mut Running, pid: u32, records: usize) -> Figures {
    let began = wait_for(sink, records / 10);
    let (from, cpu_from) = (began.0, cpu(pid));
    let ended = wait_for(sink, records / 10 * 9);
    let done = (ended.1 - began.1) as f64;
    Figures {
        per_second: done / (ended.0 - from).as_secs_f64(),
        cpu_micros: (cpu(pid) - cpu_from).as_secs_f64() * 1e6 / done,
        peak_mb: peak_mb(pid),
    }
}

/// When so many were there, and how many exactly.
fn wait_for(sink: &mut Running, records: usize) -> (Instant, usize) {
    let patience = Instant::now() + PATIENCE;
    loop {
        let seen = sink.records();
        let now = Instant::now();
        if seen >= records {
            return (now, seen);
        }
        assert!(now < patience, "{seen} of {records} records after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Five pairs, who goes first changing; prints them and their medians.
pub fn compare(what: &str, mut floor: impl FnMut() -> Figures, mut bridge: impl FnMut() -> Figures) -> Ratio {
    println!("{what:32} {:>12} {:>16} {:>9}", "records/s", "CPU µs/record", "peak MB");
    let mut pairs = Vec::with_capacity(PAIRS);
    for number in 0..PAIRS {
        let pair = if number % 2 == 0 {
            let floor = floor();
            (floor, bridge())
        } else {
            let bridge = bridge();
            (floor(), bridge)
        };
        print(&format!("  {} floor", number + 1), &pair.0);
        print(&format!("  {} bridge", number + 1), &pair.1);
        pairs.push(pair);
    }
    let of = |figure: fn(&(Figures, Figures)) -> f64| median(pairs.iter().map(figure).collect());
    let ratio = Ratio {
        throughput: of(|(floor, bridge)| bridge.per_second / floor.per_second),
        cpu: of(|(floor, bridge)| bridge.cpu_micros / floor.cpu_micros),
    };
    print(
        "  floor, median",
        &Figures {
            per_second: of(|(floor, _)| floor.per_second),
            cpu_micros: of(|(floor, _)| floor.cpu_micros),
            peak_mb: of(|(floor, _)| floor.peak_mb),
        },
    );
    print(
        "  bridge, median",
        &Figures {
            per_second: of(|(_, bridge)| bridge.per_second),
            cpu_micros: of(|(_, bridge)| bridge.cpu_micros),
            peak_mb: of(|(_, bridge)| bridge.peak_mb),
        },
    );
    println!("{:32} {:>12.2} {:>16.2}\n", "  bridge / floor, median of pairs", ratio.throughput, ratio.cpu);
    ratio
}

fn print(who: &str, figures: &Figures) {
    let Figures { per_second, cpu_micros, peak_mb } = figures;
    println!("{who:32} {per_second:>12.0} {cpu_micros:>16.2} {peak_mb:>9.0}");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
