//! A server with a script of its own.

use std::collections::HashMap;

use tempfile::TempDir;

use super::process::{End, Process, free_ports};

#[derive(Debug)]
pub(super) struct Server {
    name: &'static str,
    ports: Vec<u16>,
    env: HashMap<String, String>,
    // Before the directory, so that it is gone when the directory goes.
    process: Option<Process>,
    dir: TempDir,
}

impl Server {
    /// `None`: this machine lacks what it needs.
    pub fn start<const PORTS: usize>(name: &'static str, env: HashMap<String, String>) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ports: [u16; PORTS] = free_ports();
        let process = Some(Process::start(name, dir.path(), &ports, &env)?);
        Some(Self { name, ports: ports.into(), env, process, dir })
    }

    /// `http://host:port`, of the first port.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    /// A crash.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.end(End::Kill);
        }
    }

    /// On the same ports.
    pub fn start_again(&mut self) {
        self.stop();
        let process = Process::start(self.name, self.dir.path(), &self.ports, &self.env);
        self.process = Some(process.expect("it has started on this machine before"));
    }
}
