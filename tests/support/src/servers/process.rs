use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

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

/// Ports nobody listens on, and that no other test program is given. Below the range the kernel takes outgoing ports from, so
/// that a server that is stopped finds its own free when it starts again.
pub fn free_ports<const N: usize>() -> [u16; N] {
    static BLOCK: LazyLock<Block> = LazyLock::new(Block::take);
    std::array::from_fn(|_| BLOCK.port())
}

/// The ports of one test program. A port that was found free may be bound much later, and others run beside it.
struct Block {
    first: u16,
    given: AtomicU16,
    /// On the block's first port: what makes it ours until the program ends.
    _ours: UdpSocket,
}

impl Block {
    const SIZE: u16 = 200;

    fn take() -> Self {
        let blocks = (10_000..32_000).step_by(Self::SIZE.into());
        // Ports of a program that has just ended are still in use now and then: each begins somewhere else.
        let count = blocks.len();
        let start = std::process::id() as usize % count;
        let mut blocks = blocks.cycle().skip(start).take(count);
        let taken = blocks.find_map(|first| Some((first, UdpSocket::bind(("127.0.0.1", first)).ok()?)));
        let (first, ours) = taken.expect("not a hundred test programs run at once");
        Self { first, given: AtomicU16::new(0), _ours: ours }
    }

    fn port(&self) -> u16 {
        loop {
            let port = self.first + 1 + self.given.fetch_add(1, Ordering::Relaxed) % (Self::SIZE - 1);
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return port;
            }
        }
    }
}
