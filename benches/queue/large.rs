//! A million events that wait.

use std::{
    env::current_exe,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

use klr::queue::{Metrics, Options, Queue};
use tokio::runtime::Runtime;

use super::pair::{SENDERS, send};

const GOAL_MB: f64 = 150.0;
const GOAL_SECONDS: f64 = 2.0;

/// Whether the goals were met.
pub fn run(directory: &Path, events: u32) -> bool {
    let directory = directory.join("large");
    let _ = fs::remove_dir_all(&directory);
    let directory = directory.to_str().expect("a name of ours");
    let (mut filler, filled) = start(&["fill", directory, &events.to_string()]);
    println!("{events} events of 1 KB wait: {filled}");
    filler.kill().expect("it is our child");
    filler.wait().expect("it is our child");
    let (mut opener, opened) = start(&["open", directory]);
    println!("killed, and opened by another: {opened}");
    opener.wait().expect("it is our child");
    let _ = fs::remove_dir_all(directory);
    let [mb, seconds] = [(&filled, " MB resident"), (&opened, " s until it accepts")].map(|(said, unit)| {
        let figure = said.split(unit).next().and_then(|before| before.rsplit(' ').next());
        figure.and_then(|figure| figure.parse::<f64>().ok()).expect("it says so")
    });
    let met = mb < GOAL_MB && seconds < GOAL_SECONDS;
    println!("goal: under {GOAL_MB} MB and {GOAL_SECONDS} s: {}", if met { "met" } else { "missed" });
    met
}

/// Another process of this program, and what it says when it has done what it was told.
fn start(args: &[&str]) -> (Child, String) {
    let program = current_exe().expect("this program is a file");
    let mut child = Command::new(program).args(args).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("stdout is piped");
    BufReader::new(stdout).read_line(&mut line).expect("it says what it has done");
    (child, line.trim().to_owned())
}

pub fn fill(directory: &str, events: &str) {
    let events = events.parse().expect("a number of events");
    let runtime = Runtime::new().expect("a runtime can be made");
    runtime.block_on(async {
        let queue = open_queue(directory).await;
        send(&queue, SENDERS, events).await;
        println!("{} MB resident, {} MB of log", resident(), queue.size().disk >> 20);
        // Until it is killed.
        std::future::pending::<()>().await;
    });
}

pub fn open(directory: &str) {
    let runtime = Runtime::new().expect("a runtime can be made");
    runtime.block_on(async {
        let start = Instant::now();
        let queue = open_queue(directory).await;
        let there = queue.size().events;
        send(&queue, 1, 1).await;
        let seconds = start.elapsed().as_secs_f64();
        println!("{seconds:.2} s until it accepts, {there} events are there, {} MB resident", resident());
        queue.close().await;
    });
}

async fn open_queue(directory: &str) -> std::sync::Arc<Queue> {
    Queue::open(Path::new(directory), Options::default(), Metrics::default()).await.expect("it opens")
}

/// Megabytes of memory this process has.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") >> 10
}
