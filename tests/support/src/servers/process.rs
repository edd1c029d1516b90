use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use super::unavailable;

/// A start script that has reached `READY` and now waits on its stdin. The pipe is the lifeline: it closes with this
/// process, however that ends, and the script then ends the server and removes its directory.
#[derive(Debug)]
pub(super) struct Process {
    script: Child,
}

/// How a server ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// As an operator would: it may finish what it does.
    Stop,
    /// As a crash would.
    Kill,
}

impl Process {
    /// Runs `tests/servers/NAME.sh DIR PORTS…` until it is ready. `None`: this machine lacks what the server needs.
    pub(super) fn start(
        name: &str,
        dir: &Path,
        ports: &[u16],
        env: &HashMap<String, String>,
    ) -> Option<Self> {
        let mut script = Command::new(crate::workspace().join(format!("tests/servers/{name}.sh")))
            .arg(dir)
            .args(ports.iter().map(u16::to_string))
            .envs(env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("starting the {name} script: {error}"));
        let stdout = script.stdout.take().expect("stdout is piped");
        if BufReader::new(stdout).lines().map_while(Result::ok).any(|line| line == "READY") {
            return Some(Self { script });
        }
        let status = script.wait().expect("the script is our child");
        assert_eq!(status.code(), Some(3), "{name} did not start; its script's words are above");
        unavailable(name, "its start script says above what is missing");
        None
    }

    /// Ends the server and waits for it.
    pub(super) fn end(&mut self, how: End) {
        let word: &[u8] = match how {
            End::Stop => b"stop\n",
            End::Kill => b"kill\n",
        };
        if let Some(mut lifeline) = self.script.stdin.take() {
            // A script that is gone already has ended its server.
            let _ = lifeline.write_all(word);
        }
        self.script.wait().expect("the script is our child");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end(End::Kill);
    }
}

/// Ports nobody listens on. Below the range the kernel takes outgoing ports from, so that a server that is stopped
/// finds its own free when it starts again.
pub fn free_ports<const N: usize>() -> [u16; N] {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 22_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    if NEXT.load(Ordering::Relaxed) == 0 {
        // Test processes run side by side: each begins somewhere else.
        let clock = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |now| now.subsec_nanos());
        NEXT.fetch_add(1 + (std::process::id().wrapping_mul(7919) ^ clock) % COUNT, Ordering::Relaxed);
    }
    std::array::from_fn(|_| {
        loop {
            let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
            let port = u16::try_from(port).expect("10,000 + less than 22,000");
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return port;
            }
        }
    })
}
