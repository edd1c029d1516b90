//! The built `klr`, run as a user would run it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::client::send;
use crate::eventually;
use crate::servers::free_ports;

/// What to run, before it runs.
#[derive(Debug)]
pub struct Setup {
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    admin: u16,
    listen: Option<u16>,
    dir: TempDir,
}

/// A running `klr run`, or `klr host`. Killed when dropped, and when this process dies however it dies.
#[derive(Debug)]
pub struct Bridge {
    setup: Setup,
    child: Child,
    lifeline: Child,
    ended: Option<ExitStatus>,
}

impl Setup {
    /// `klr run` with an admin port of its own and AWS credentials that suit any emulator. `program` is the caller's
    /// `env!("CARGO_BIN_EXE_klr")`.
    pub fn run(program: impl AsRef<Path>) -> Self {
        let setup = Self::verb(program, "run");
        let state = setup.dir.path().join("state").display().to_string();
        setup
            .env("XDG_STATE_HOME", &state)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
    }

    /// `klr host` with ports of its own; more arguments may end with `--` and the function's command.
    pub fn host(program: impl AsRef<Path>) -> Self {
        Self::verb(program, "host").listening()
    }

    fn verb(program: impl AsRef<Path>, verb: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let [admin] = free_ports();
        let program = program.as_ref().to_owned();
        let setup = Self { program, args: vec![verb.to_owned()], env: Vec::new(), admin, listen: None, dir };
        setup.args(["--admin", &format!("127.0.0.1:{admin}")])
    }

    /// With a port of its own for push triggers.
    #[must_use]
    pub fn listening(mut self) -> Self {
        let [listen] = free_ports();
        self.listen = Some(listen);
        self.args(["--listen", &format!("127.0.0.1:{listen}")])
    }

    /// Writes `text` to `name` in the bridge's directory and passes it with `-f`.
    #[must_use]
    pub fn resources(self, name: &str, text: &str) -> Self {
        let path = self.file(name, text);
        self.args(["-f", &path.display().to_string()])
    }

    /// Writes a file into the bridge's directory, where the resources may name it.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("the temporary directory can be written");
        path
    }

    /// More arguments.
    #[must_use]
    pub fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.args.extend(args.into_iter().map(str::to_owned));
        self
    }

    /// One more environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it; stdout and stderr go to files in its directory.
    pub fn start(self) -> Bridge {
        let child = self.spawn();
        let lifeline = lifeline(child.id());
        Bridge { setup: self, child, lifeline, ended: None }
    }

    fn spawn(&self) -> Child {
        let log = |name: &str| {
            let path = self.dir.path().join(name);
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .expect("the temporary directory can be written")
        };
        Command::new(&self.program)
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(log("stdout"))
            .stderr(log("stderr"))
            .spawn()
            .unwrap_or_else(|error| panic!("starting {}: {error}", self.program.display()))
    }
}

impl Bridge {
    /// Waits for 200 from `/readyz`; panics with its stderr when it ends first or 60 s pass.
    pub fn wait_ready(&mut self) {
        let ready = eventually(Duration::from_secs(60), || self.ended().is_some() || self.ready());
        assert!(ready && self.ended().is_none(), "klr is not ready:\n{}", self.stderr());
    }

    /// Whether `/readyz` says 200 now.
    pub fn ready(&self) -> bool {
        matches!(self.get("/readyz"), Some((200, _)))
    }

    /// GET on the admin port: status and body; `None` when nothing answers.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let answer = send("GET", &format!("{}{path}", self.admin()), &[], "")?;
        Some((answer.status, answer.text()))
    }

    /// The text of `/metrics`.
    pub fn metrics(&self) -> String {
        self.get("/metrics").map(|(_, body)| body).unwrap_or_default()
    }

    /// The sum of all series of one metric whose label text contains `labels`.
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        let metrics = self.metrics();
        let series = metrics.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (label_text, value) = rest.rsplit_once(' ')?;
            (label_text.is_empty() || label_text.starts_with('{')).then_some((label_text, value))
        });
        series
            .filter(|(text, _)| text.contains(labels))
            .filter_map(|(_, value)| value.parse::<f64>().ok())
            .sum()
    }

    /// `host:port` of the admin server.
    pub fn admin(&self) -> String {
        format!("127.0.0.1:{}", self.setup.admin)
    }

    /// `host:port` of the port it was told to listen on.
    pub fn listen(&self) -> String {
        format!("127.0.0.1:{}", self.setup.listen.expect("it was set up as listening"))
    }

    /// Its directory: resources, `stdout`, `stderr`, `state`.
    pub fn dir(&self) -> &Path {
        self.setup.dir.path()
    }

    /// What it printed on stdout, over all its lives.
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// What it printed on stderr, over all its lives.
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    fn read(&self, name: &str) -> String {
        let bytes = std::fs::read(self.dir().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory now.
    pub fn rss_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most resident memory it ever had.
    pub fn peak_rss_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib =
            line.and_then(|text| text.trim().strip_suffix(" kB")).and_then(|text| text.trim().parse().ok());
        kib.map_or(0, |kib: u64| kib * 1024)
    }

    /// User and system CPU it has used, all threads.
    pub fn cpu_seconds(&self) -> f64 {
        // The kernel's USER_HZ, which user space sees as 100 on every Linux.
        const TICKS_PER_SECOND: f64 = 100.0;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        // The name before `)` may hold blanks; utime and stime are the 12th and 13th fields after it.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
        ticks.sum::<f64>() / TICKS_PER_SECOND
    }

    /// Asks it to drain and leave.
    pub fn sigterm(&self) {
        self.signal(Signal::TERM);
    }

    /// Stops its clock, so to speak: it does nothing, and knows of nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on where it was.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Any signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a child has a positive pid");
        // It may be gone already: then the caller sees that when it waits.
        let _ = kill_process(pid, signal);
    }

    /// Ends it as a crash would, and waits.
    pub fn kill9(&mut self) {
        if self.ended.is_none() {
            self.signal(Signal::KILL);
            self.ended = Some(self.child.wait().expect("it is our child"));
        }
        self.cut_lifeline();
    }

    /// Waits for its end: the exit code, or `None` when `timeout` passes first or a signal ended it.
    pub fn wait_exit(&mut self, timeout: Duration) -> Option<i32> {
        eventually(timeout, || self.ended().is_some());
        self.ended.and_then(|status| status.code())
    }

    /// Starts it again after its end: same arguments, files, ports and state.
    pub fn start_again(&mut self) {
        self.kill9();
        self.child = self.setup.spawn();
        self.lifeline = lifeline(self.child.id());
        self.ended = None;
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("it is our child");
        }
        self.ended
    }

    fn cut_lifeline(&mut self) {
        // Killed, not told: its word is to kill a process id that is free again by now.
        let _ = self.lifeline.kill();
        let _ = self.lifeline.wait();
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// A shell that holds a pipe from this process and kills `pid` when it closes.
fn lifeline(pid: u32) -> Child {
    Command::new("sh")
        .args(["-c", &format!("trap '' INT TERM HUP; read -r _; kill -9 {pid}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell can be started")
}
