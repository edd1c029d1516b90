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

/// CPU of all its threads, to the nanosecond: `stat` counts in ticks of 10 ms, a few of which are a tenth of a run. (What a
/// thread used that has ended since is missing; those of a blocking pool live for ten seconds.)
pub fn cpu(pid: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    let of = |thread: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(threads.filter_map(of).sum())
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
