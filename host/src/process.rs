//! One process of the function, in a group of its own, watched until it is reaped.

use std::{io, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    process::{Child, Command},
    sync::watch,
    task::spawn_blocking,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    Logs, cgroup, children,
    exit::Exit,
    launch::Launch,
    logs::{Stream, Tail, pass_on},
};

/// How long what the process last wrote may take to be passed on.
const LAST_LINES: Duration = Duration::from_millis(500);

/// A running process. Dropping it kills its whole group; a task of its own reaps it, so no zombie stays either.
#[derive(Debug)]
pub(crate) struct Process {
    group: Pid,
    exit: watch::Receiver<Option<Exit>>,
    /// What passes its output on, and what sees to its remains.
    rest: TaskTracker,
    _kill: DropGuard,
}

impl Process {
    /// Starts the command; its environment names the log stream. It also dies when `kill` is cancelled.
    pub(crate) fn start(
        launch: &Launch,
        variables: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
        stream: &str,
        memory_mb: Option<u32>,
        logs: &Logs,
        tail: &Tail,
        kill: &CancellationToken,
    ) -> io::Result<Self> {
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.arguments)
            .current_dir(&launch.directory)
            .env_clear()
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let limits = memory_mb.and_then(|mb| cgroup::Group::new(&group_name(stream), mb));
        let started = children::start(&mut command, stream);
        if let (Err(_), Some(limits)) = (&started, &limits) {
            limits.remove();
        }
        let (mut child, leader) = started?;
        // What it starts before that is not in; a runtime does not start anything that soon.
        if let Some(Err(error)) = limits.as_ref().map(|limits| limits.join(leader.as_raw_pid())) {
            tracing::warn!(%error, "the memory limit is not enforced");
        }
        let rest = TaskTracker::new();
        if let Some(pipe) = child.stdout.take() {
            rest.spawn(pass_on(pipe, Stream::Output, logs.clone(), tail.clone()));
        }
        if let Some(pipe) = child.stderr.take() {
            rest.spawn(pass_on(pipe, Stream::Error, logs.clone(), tail.clone()));
        }
        let (told, exit) = watch::channel(None);
        let kill = kill.child_token();
        let remains = Remains { leader, stream: stream.to_owned(), limits };
        rest.spawn(reap(child, remains, told, kill.clone()));
        rest.close();
        Ok(Self { group: leader, exit, rest, _kill: kill.drop_guard() })
    }

    /// How it ended. Can be waited for any number of times.
    pub(crate) async fn exited(&self) -> Exit {
        let mut exit = self.exit.clone();
        let ended = exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit);
        // The reaper is gone without a word only when the whole runtime is.
        match ended {
            Some(exit) => exit,
            None => std::future::pending().await,
        }
    }

    /// How it ended, if it did.
    pub(crate) fn exit(&self) -> Option<Exit> {
        *self.exit.borrow()
    }

    /// Asks it to end, makes it after `grace`, and waits until it has.
    pub(crate) async fn terminate(self, grace: Duration) {
        if self.exit().is_none() {
            let _ = kill_process_group(self.group, Signal::TERM);
            let _ = tokio::time::timeout(grace, self.exited()).await;
        }
        self.kill().await;
    }

    /// Kills the group, and waits until it is reaped and what it wrote is passed on.
    pub(crate) async fn kill(self) {
        let (mut exit, rest) = (self.exit.clone(), self.rest.clone());
        drop(self);
        let _ = exit.wait_for(Option::is_some).await;
        // Its last words are often why it died. Bounded: a child of its own that left the group may hold the pipe.
        let _ = tokio::time::timeout(LAST_LINES, rest.wait()).await;
    }
}

/// A process group that does not outlive this value.
struct Group(Option<Pid>);

impl Group {
    /// Kills what is left of the group. Once only: after its leader is reaped, the number may become someone else's.
    fn kill(&mut self) {
        if let Some(group) = self.0.take() {
            // ESRCH: nothing is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a process may leave behind.
struct Remains {
    leader: Pid,
    stream: String,
    limits: Option<cgroup::Group>,
}

impl Remains {
    /// Ends what has left the group. It blocks.
    fn clear(self) {
        if let Some(limits) = self.limits {
            limits.remove();
        }
        children::kill_strays(&self.stream);
        children::ended(self.leader);
    }
}

async fn reap(
    mut child: Child,
    remains: Remains,
    told: watch::Sender<Option<Exit>>,
    kill: CancellationToken,
) {
    let mut group = Group(Some(remains.leader));
    let status = tokio::select! {
        status = child.wait() => status,
        () = kill.cancelled() => {
            group.kill();
            child.wait().await
        }
    };
    // What a leader leaves behind when it ends by itself goes with it.
    group.kill();
    let status = status.unwrap_or_else(|error| {
        tracing::error!(%error, "cannot wait for the function's process");
        std::process::ExitStatus::default()
    });
    let out_of_memory = remains.limits.as_ref().is_some_and(cgroup::Group::out_of_memory);
    told.send_replace(Some(Exit { status, out_of_memory }));
    let _ = spawn_blocking(move || remains.clear()).await;
}

/// A stream's name has slashes; what follows the version in it is unique by itself.
fn group_name(stream: &str) -> String {
    format!("klr-{}", stream.rsplit(']').next().unwrap_or(stream))
}
