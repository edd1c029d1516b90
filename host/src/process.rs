//! One process of the function, in a group of its own, watched until it is reaped.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::{fd::AsRawFd, unix::process::ExitStatusExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use command_fds::CommandFdExt;
use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process_group},
};
use tokio::{
    net::unix::pipe,
    process::{Child, Command},
    sync::watch,
    task::{JoinHandle, spawn_blocking},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    Source, cgroup, children,
    exit::Exit,
    logs::{Stream, outlet::Outlet, read},
    mount::Mounts,
};

/// How long what the process last wrote may take to be passed on.
const LAST_LINES: Duration = Duration::from_millis(500);

/// How a runtime client finds the descriptor where it can write whole records instead of lines.
const FRAMES: &str = "_LAMBDA_TELEMETRY_LOG_FD";

/// How several workers in one find the socket where each gets an output of its own. Python's client forks them.
const OUTLET: &str = "_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET";

/// How a program may write, beside its standard output and error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// It may not.
    Plain,
    /// Whole records, to a descriptor.
    Framed,
    /// Each of its workers to a socket: several writers would get into each other's frames.
    Workers,
}

/// What is started.
pub(crate) struct Program<'a> {
    pub(crate) path: &'a OsStr,
    pub(crate) arguments: &'a [OsString],
    pub(crate) directory: &'a Path,
    /// What it sees of the file system, if not all as it is.
    pub(crate) mounts: Option<&'a Mounts>,
    /// Whose output it writes.
    pub(crate) source: Source,
    pub(crate) output: Output,
    /// One of its variables, as `NAME=value`, that only those after it in its environment have: what it leaves
    /// behind is found by it, before they start.
    pub(crate) mark: &'a str,
    /// A limit to enforce where that can be done.
    pub(crate) memory_mb: Option<u32>,
}

impl Program<'_> {
    fn command(&self) -> Command {
        if let Some(mounts) = self.mounts {
            return mounts.command(self.path, self.arguments, self.directory);
        }
        let mut command = Command::new(self.path);
        command.args(self.arguments).current_dir(self.directory);
        command
    }
}

/// A running process. Dropping it kills its whole group; a task of its own reaps it, so no zombie stays either.
#[derive(Debug)]
pub(crate) struct Process {
    group: Pid,
    exit: watch::Receiver<Option<Exit>>,
    /// What passes its output on.
    output: TaskTracker,
    /// What waits for it, and sees to its remains.
    remains: TaskTracker,
    _kill: DropGuard,
}

impl Process {
    /// Starts the program. It also dies when `kill` is cancelled.
    pub(crate) fn start(
        program: &Program<'_>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        log: &Stream,
        kill: &CancellationToken,
    ) -> io::Result<Self> {
        let mut command = program.command();
        command
            .env_clear()
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let (mut frames, mut outlet) = (None, None);
        match program.output {
            Output::Plain => {}
            Output::Framed => frames = Some(self::frames(&mut command)?),
            Output::Workers => outlet = self::outlet(&mut command, program.mounts),
        }
        let socket = outlet.as_ref().map(|outlet| outlet.path().to_owned());
        let (mut child, leader, limits) = spawn(&mut command, program, socket)?;
        // With it goes our end of what the child writes frames to: it alone keeps that open.
        drop(command);
        let (output, reaped) = (TaskTracker::new(), TaskTracker::new());
        if let Some(pipe) = child.stdout.take() {
            output.spawn(read::lines(log.watch(pipe), program.source, log.clone()));
        }
        if let Some(pipe) = child.stderr.take() {
            output.spawn(read::lines(log.watch(pipe), program.source, log.clone()));
        }
        if let Some(pipe) = frames {
            output.spawn(read::frames(log.watch(pipe), log.clone()));
        }
        let (told, exit) = watch::channel(None);
        if let Some(outlet) = outlet {
            let mut exit = exit.clone();
            output.spawn(outlet.serve(log.clone(), async move {
                let _ = exit.wait_for(Option::is_some).await;
            }));
        }
        let kill = kill.child_token();
        let remains = Remains { leader, mark: program.mark.to_owned(), limits };
        reaped.spawn(reap(child, remains, told, kill.clone()));
        output.close();
        reaped.close();
        Ok(Self { group: leader, exit, output, remains: reaped, _kill: kill.drop_guard() })
    }

    /// The process's number, and its group's.
    pub(crate) fn id(&self) -> u32 {
        self.group.as_raw_nonzero().get().unsigned_abs()
    }

    /// Tells how it ended, once it has.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Exit>> {
        self.exit.clone()
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

    /// Kills the group, and waits until it is reaped, nothing of it is left, and what it wrote is passed on.
    pub(crate) async fn kill(self) {
        let (remains, output) = (self.remains.clone(), self.output.clone());
        drop(self);
        // The next one in the environment has the same mark: what looks for it must be done.
        remains.wait().await;
        // Its last words are often why it died. Bounded: a child of its own that left the group may hold the pipe.
        let _ = tokio::time::timeout(LAST_LINES, output.wait()).await;
    }
}

/// Starts it in a control group of its own, where it has a limit and the system lets us.
fn spawn(
    command: &mut Command,
    program: &Program<'_>,
    socket: Option<PathBuf>,
) -> io::Result<(Child, Pid, Option<Limits>)> {
    let limits = program.memory_mb.and_then(|mb| cgroup::Group::new(&group_name(program.mark), mb));
    let made = limits.iter().map(|limits| limits.path().to_owned()).chain(socket).collect();
    let started = children::start(command, children::Known { mark: program.mark.to_owned(), made });
    if let (Err(_), Some(limits)) = (&started, &limits) {
        limits.remove();
    }
    let (child, leader) = started?;
    let process = leader.as_raw_pid().unsigned_abs();
    // Nobody waits: what it takes before it is in is little.
    let joined = limits.map(|limits| {
        spawn_blocking(move || {
            match limits.join(process) {
                // It has ended already.
                Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {}
                Err(error) => tracing::warn!(%error, process, "a process's memory limit is not enforced"),
                Ok(()) => {}
            }
            limits
        })
    });
    Ok((child, leader, joined))
}

/// A process's control group, once it is in.
type Limits = JoinHandle<cgroup::Group>;

/// Gives the child a pipe for frames, and returns our end of it.
///
/// Both ends are made close-on-exec, and the child's ceases to be so between fork and exec, in the child: no other child that
/// happens to be started meanwhile inherits it, as one could if the flag were cleared here. It keeps its number, for one of our
/// choice might be that of the pipe by which a failed exec is reported.
fn frames(command: &mut Command) -> io::Result<pipe::Receiver> {
    let (ours, theirs) = io::pipe()?;
    command.env(FRAMES, theirs.as_raw_fd().to_string());
    command.preserved_fds(vec![theirs.into()]);
    pipe::Receiver::from_owned_fd(ours.into())
}

/// Gives the child's workers a socket for their output. Without it all write to the child's own.
fn outlet(command: &mut Command, mounts: Option<&Mounts>) -> Option<Outlet> {
    let (folder, seen) = match mounts.and_then(Mounts::own_tmp) {
        Some(folder) => (folder.to_owned(), PathBuf::from("/tmp")),
        None => (std::env::temp_dir(), std::env::temp_dir()),
    };
    match Outlet::open(&folder) {
        Ok(outlet) => {
            command.env(OUTLET, seen.join(outlet.name()));
            Some(outlet)
        }
        Err(error) => {
            tracing::warn!(%error, folder = %folder.display(), "lines of the function's workers may be mixed up");
            None
        }
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
    mark: String,
    limits: Option<Limits>,
}

async fn reap(
    mut child: Child,
    remains: Remains,
    told: watch::Sender<Option<Exit>>,
    kill: CancellationToken,
) {
    let Remains { leader, mark, limits } = remains;
    let mut group = Group(Some(leader));
    // First: until it is waited for, its number is nobody else's.
    let limits = match limits {
        Some(joined) => joined.await.ok(),
        None => None,
    };
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
    // It is counted for the group, and may have been a child of its own, long ago. (A shell ends as its child did.)
    let kill = rustix::process::Signal::KILL.as_raw();
    let killed = status.signal() == Some(kill) || status.code() == Some(128 + kill);
    let out_of_memory = killed && limits.as_ref().is_some_and(cgroup::Group::out_of_memory);
    told.send_replace(Some(Exit { status, out_of_memory }));
    // What has left the group.
    let clear = move || {
        if let Some(limits) = limits {
            limits.remove();
        }
        children::kill_strays(&mark);
        children::ended(leader);
    };
    let _ = spawn_blocking(clear).await;
}

/// A stream's name, which is the runtime's mark, has slashes; what follows the version in it is unique by itself.
fn group_name(mark: &str) -> String {
    format!("klr-{}", mark.rsplit(']').next().unwrap_or(mark))
}
