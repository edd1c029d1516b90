//! A child process, and what the kernel says it used.

use std::process::{Child, Command};
use std::time::Duration;

/// This program with other arguments; killed when dropped.
pub struct Process(pub Child);

impl Process {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("this program can be started again"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// This program.
pub fn this() -> Command {
    Command::new(std::env::current_exe().expect("this program has a path"))
}

/// User and system CPU of all its threads. (In ticks of 10 ms, for which a run is long enough.)
pub fn cpu(pid: u32) -> Duration {
    let stat = read(pid, "stat");
    // The name before `)` may hold blanks; utime and stime are the 12th and 13th fields after it.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

/// The most resident memory it ever had, in MB.
pub fn peak_mb(pid: u32) -> f64 {
    let status = read(pid, "status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|text| text.trim().strip_suffix(" kB")).and_then(|text| text.trim().parse().ok());
    kib.map_or(0.0, |kib: f64| kib / 1024.0)
}

fn read(pid: u32, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).expect("the process runs")
}
