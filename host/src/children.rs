//! The processes this program has started: known while they live, so that none of theirs is left behind.
//!
//! A function's process is killed with its whole group. What has left the group (a daemon) is found by its *mark*: a variable
//! that no other process has in its environment at the time, as the name of the log stream is: the next process with that
//! name is started when nothing of the last one is left. The same is done by a *warden* when the host itself is killed: a
//! process of its own (this program's binary once more) that is told what lives, and acts when it hears no more. It also removes
//! what was made for a process. A signal at the parent's death would be simpler, but reaches the function's process alone, and
//! not those it has started.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{ChildStdin, Command, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpgid, getpgrp, getpid, kill_process_group, pidfd_open,
    pidfd_send_signal, set_child_subreaper, waitpid,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::cgroup;

/// What the warden calls itself: how it is known among processes, and to itself.
const WARDEN: &str = "klr-warden";
/// A process may start another while we look for it, but not for ever.
const ROUNDS: usize = 20;

/// Whether this program's binary can be the warden: its `main` calls [`warden`].
static HAS_WARDEN: AtomicBool = AtomicBool::new(false);
/// What lives. One for the whole program, as its children are.
static CHILDREN: Mutex<Children> = Mutex::new(Children { live: BTreeMap::new(), warden: None });

struct Children {
    /// Leaders of groups by their number.
    live: BTreeMap<i32, Known>,
    warden: Option<ChildStdin>,
}

/// What finds a process's remains.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// One of its variables, as `NAME=value`, that no other process has at the time.
    pub(crate) mark: String,
    /// What goes with it: its control group, its socket.
    pub(crate) made: Vec<PathBuf>,
}

impl Known {
    /// How the warden is told: between the parts is what can be in no variable and in no path.
    fn line(&self) -> String {
        let made = self.made.iter().filter_map(|path| path.to_str());
        std::iter::once(&*self.mark).chain(made).collect::<Vec<_>>().join("\0")
    }

    fn told(line: &str) -> Self {
        let mut parts = line.split('\0');
        let mark = parts.next().unwrap_or_default().to_owned();
        Self { mark, made: parts.map(PathBuf::from).collect() }
    }

    /// Ends and removes what there is. It blocks.
    fn clear(self) {
        kill_strays(&self.mark);
        for path in self.made {
            if fs::remove_file(&path).is_err() {
                cgroup::remove(&path);
            }
        }
    }
}

/// To be called first in the `main` of a program that is to leave no function behind even when it is killed; where it
/// answers true, this process was the warden, and is done.
pub fn warden() -> bool {
    if std::env::args_os().next().is_none_or(|name| name != WARDEN) {
        HAS_WARDEN.store(true, Relaxed);
        return false;
    }
    let mut live = BTreeMap::new();
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let (pid, known) = line.split_once(' ').unwrap_or((&line, ""));
        let Ok(pid) = pid.parse() else { continue };
        if known.is_empty() {
            live.remove(&pid);
        } else {
            live.insert(pid, Known::told(known));
        }
    }
    // The host is gone. What it has ended in good order is not among these.
    for (group, known) in live {
        let _ = Pid::from_raw(group).map(|group| kill_process_group(group, Signal::KILL));
        known.clear();
    }
    true
}

/// Starts a process that leads a group of its own. To be followed by [`ended`] when it was waited for.
pub(crate) fn start(
    command: &mut tokio::process::Command,
    known: Known,
) -> io::Result<(tokio::process::Child, Pid)> {
    // Held over both steps: what is not known yet would be taken for adopted.
    let mut children = lock();
    children.warden();
    let child = spawn(command.process_group(0))?;
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let pid = pid.expect("a child that was not waited for has an id");
    children.tell(pid.as_raw_pid(), &known.line());
    children.live.insert(pid.as_raw_pid(), known);
    Ok((child, pid))
}

/// A program that was just written is busy for as long as any copy of the file it was written by is open, and a child that
/// another thread has just forked has one until it executes its own.
fn spawn(command: &mut tokio::process::Command) -> io::Result<tokio::process::Child> {
    const TRIES: usize = 50;
    for _ in 1..TRIES {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(Duration::from_millis(1));
            }
            spawned => return spawned,
        }
    }
    command.spawn()
}

/// It was waited for.
pub(crate) fn ended(pid: Pid) {
    let mut children = lock();
    children.live.remove(&pid.as_raw_pid());
    children.tell(pid.as_raw_pid(), "");
}

impl Children {
    /// Sees to it that there is a warden, where there can be one.
    fn warden(&mut self) {
        if self.warden.is_some() || !HAS_WARDEN.load(Relaxed) {
            return;
        }
        let mut command = Command::new("/proc/self/exe");
        // In a group of its own: what is sent to ours, by a terminal or a kill, must not reach it.
        command.arg0(WARDEN).env_clear().process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            Ok(child) => {
                self.warden = child.stdin;
                let live: Vec<_> = self.live.iter().map(|(pid, known)| (*pid, known.line())).collect();
                for (pid, known) in live {
                    self.tell(pid, &known);
                }
            }
            Err(error) => tracing::warn!(%error, "no warden: a killed host leaves its functions behind"),
        }
    }

    fn tell(&mut self, pid: i32, known: &str) {
        let Some(warden) = &mut self.warden else { return };
        if writeln!(warden, "{pid} {known}").is_err() {
            // Somebody has killed it. The next start brings another, which is told all that lives.
            self.warden = None;
        }
    }
}

/// Adopts what functions leave behind when they end, and waits for it, for ever: else it would stay a zombie. In a
/// container that we are the first process of it is ours anyway.
pub async fn reap() {
    let mut ended = match signal(SignalKind::child()) {
        Ok(ended) => ended,
        Err(error) => return tracing::warn!(%error, "orphans of the function stay zombies"),
    };
    if let Err(error) = set_child_subreaper(Some(getpid())) {
        tracing::debug!(%error, "orphans of the function are left to the system");
    }
    loop {
        reap_adopted();
        ended.recv().await;
    }
}

/// Waits for adopted children that have ended. Ours are left alone: whoever started them waits for them. Functions are known;
/// whatever else we started is in our process group, which no function ever was.
fn reap_adopted() {
    let children = lock();
    let own = getpgrp();
    let strange = |pid: &Pid| {
        !children.live.contains_key(&pid.as_raw_pid()) && getpgid(Some(*pid)).is_ok_and(|group| group != own)
    };
    let own_children = of(std::process::id()).into_iter().filter_map(|id| Pid::from_raw(id.cast_signed()));
    for pid in own_children.filter(strange) {
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

/// The children of a process. One is listed with the thread that started it, an adopted one with the first.
pub(crate) fn of(process: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let listed = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let numbers =
        |listed: String| -> Vec<_> { listed.split_whitespace().filter_map(|it| it.parse().ok()).collect() };
    listed.flat_map(numbers).collect()
}

/// Kills whatever has this mark in its environment.
pub(crate) fn kill_strays(mark: &str) {
    for _ in 0..ROUNDS {
        let Ok(entries) = fs::read_dir("/proc") else { return };
        let pids =
            entries.flatten().filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
        if pids.filter(|pid| kill_marked(*pid, mark.as_bytes())).count() == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether there was such a process.
fn kill_marked(pid: Pid, mark: &[u8]) -> bool {
    // Opened before the look: should the number pass to another process in between, the signal does not.
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
    let Ok(environment) = fs::read(format!("/proc/{}/environ", pid.as_raw_pid())) else { return false };
    environment.split(|byte| *byte == 0).any(|variable| variable == mark)
        && pidfd_send_signal(process, Signal::KILL).is_ok()
}

fn lock() -> MutexGuard<'static, Children> {
    // A panic in here would leave nothing half-done.
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}
