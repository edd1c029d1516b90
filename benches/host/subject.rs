//! What is measured, as a process.

use std::{
    fs,
    io::{Read, copy, sink},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::process::{Process, cpu, peak_mb, this};

/// What takes longer to start has failed to.
const PATIENCE: Duration = Duration::from_secs(20);

/// One of the two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Floor,
    Host,
}

/// It runs.
pub struct Running {
    process: Process,
    pub address: String,
    /// From its start to the first connection it took.
    pub started: Duration,
}

impl Subject {
    /// Starts it with so many processes of the function, and waits until it can be called.
    pub fn start(self, function: &str, processes: usize) -> Running {
        let address = free().to_string();
        match self {
            Self::Host => host(&address, function, &["--concurrency", &processes.to_string()]),
            Self::Floor => {
                let mut command = this();
                command.args(["floor", &address, &processes.to_string(), function]);
                Running::of(&mut command, address)
            }
        }
    }
}

/// The host; its own log is where a failure says why.
pub fn host(address: &str, function: &str, options: &[&str]) -> Running {
    let mut command = Command::new(binary());
    command.args(["--listen", address, "--admin", "127.0.0.1:0"]).args(options).args(["--", function]);
    Running::of(command.env("RUST_LOG", "warn"), address.to_owned())
}

impl Running {
    fn of(command: &mut Command, address: String) -> Self {
        let begin = Instant::now();
        let mut process = Process::start(command.stdout(Stdio::piped()));
        let started = connected(&address, begin);
        let mut log = process.0.stdout.take().expect("it is piped");
        // As on a cluster: somebody reads what the host says of each invocation.
        thread::spawn(move || copy(&mut log.by_ref(), &mut sink()));
        Self { process, address, started }
    }

    /// CPU of it alone.
    pub fn cpu(&self) -> Duration {
        cpu(self.process.0.id())
    }

    /// CPU of the function's processes.
    pub fn functions_cpu(&self) -> Duration {
        self.functions().into_iter().map(cpu).sum()
    }

    /// The most memory it had.
    pub fn peak_mb(&self) -> f64 {
        peak_mb(self.process.0.id())
    }

    /// The function's processes.
    pub fn functions(&self) -> Vec<u32> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.process.0.id())).expect("the process runs");
        let lists = threads.flatten().filter_map(|it| fs::read_to_string(it.path().join("children")).ok());
        let pids: Vec<u32> = lists
            .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
            .collect();
        // The host has a child more: the warden.
        let is_function = |pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "bootstrap\n")
        };
        pids.into_iter().filter(is_function).collect()
    }
}

/// The host's binary: built beside this one.
pub fn binary() -> PathBuf {
    std::env::current_exe().expect("this program has a path").with_file_name("klr-host")
}

/// An address nobody listens at.
pub fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port")
}

/// How long after `begin` the first connection was accepted.
fn connected(address: &str, begin: Instant) -> Duration {
    while TcpStream::connect(address).is_err() {
        assert!(begin.elapsed() < PATIENCE, "nobody accepts at {address}");
        thread::sleep(Duration::from_micros(100));
    }
    begin.elapsed()
}
