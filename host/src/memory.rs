//! How much memory the processes of an environment take at most.

use std::{
    fs,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::children;

/// How old a look may be: it is taken between invocations, of which there may be thousands a second.
const FRESH: Duration = Duration::from_millis(100);
/// Generations of children that are looked at.
const DEPTH: usize = 8;

/// The peak of an environment: each of its processes' own peak, added up. The kernel keeps a process's peak until its end, so a
/// look now and then misses only processes that came and went between two.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<Looked>);

#[derive(Debug, Default)]
struct Looked {
    processes: Vec<u32>,
    peak_kb: u64,
    at: Option<Instant>,
}

impl Memory {
    /// Counts this process and what descends from it.
    pub(crate) fn watch(&self, process: u32) {
        let mut looked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looked.processes.push(process);
    }

    /// Looks while they are there: the first to be asked about may be gone by then.
    pub(crate) fn look(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).look();
    }

    /// The peak so far, in MB as Lambda counts them, rounded up.
    pub(crate) fn peak_mb(&self) -> u64 {
        let mut looked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.at.is_none_or(|at| at.elapsed() >= FRESH) {
            looked.look();
            looked.at = Some(Instant::now());
        }
        looked.peak_kb.div_ceil(1024)
    }
}

impl Looked {
    fn look(&mut self) {
        let now = self.processes.iter().map(|&process| peak_kb(process, DEPTH)).sum();
        self.peak_kb = self.peak_kb.max(now);
    }
}

/// The peak of a process and its descendants; nothing of those that are gone.
fn peak_kb(process: u32, depth: usize) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let own = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    let own = own.and_then(|peak| peak.trim().parse().ok()).unwrap_or(0);
    if depth == 0 {
        return own;
    }
    let children: u64 = children::of(process).into_iter().map(|child| peak_kb(child, depth - 1)).sum();
    own + children
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_and_its_children_are_counted() {
        let memory = Memory::default();
        assert_eq!(memory.peak_mb(), 0);
        let mut child = std::process::Command::new("sh").args(["-c", "sleep 60 & wait"]).spawn().unwrap();
        let memory = Memory::default();
        memory.watch(child.id());
        // The shell starts the other process some time.
        while children::of(child.id()).is_empty() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let [grandchild] = children::of(child.id())[..] else { panic!() };
        assert!(peak_kb(child.id(), DEPTH) > peak_kb(child.id(), 0));
        assert!(memory.peak_mb() >= 1);
        let group = rustix::process::Pid::from_raw(grandchild.cast_signed()).unwrap();
        rustix::process::kill_process(group, rustix::process::Signal::KILL).unwrap();
        child.wait().unwrap();
        std::thread::sleep(FRESH);
        assert!(memory.peak_mb() >= 1, "what was is not forgotten");
    }
}
