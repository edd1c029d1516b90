//! No zombie, no orphan, however the host ends: the binary with functions that start processes of their own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use common::{BOOTSTRAP, code, event_to, eventually, exists, free, json};
use serde_json::Value;

/// A running `klr-host`.
struct Running {
    child: Child,
    listen: String,
    _code: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    async fn start(arguments: &[&str]) -> Self {
        let (listen, code) = (free(), code(BOOTSTRAP));
        let mut command = Command::new(env!("CARGO_BIN_EXE_klr-host"));
        command
            .args(["--listen", &listen, "--admin", &free(), "--timeout", "60s", "--code"])
            .arg(code.path());
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        let running = Self { child: command.spawn().unwrap(), listen, _code: code };
        eventually("it accepts", || std::net::TcpStream::connect(&running.listen).is_ok()).await;
        running
    }

    fn pid(&self) -> u64 {
        u64::from(self.child.id())
    }

    async fn ask(&self, data: &'static str) -> Value {
        json(event_to(&self.listen, data).send().await.unwrap()).await
    }

    fn signal(&self, name: &str) {
        Command::new("kill").args([name, &self.pid().to_string()]).status().unwrap();
    }

    /// Its warden: the one child of its that has the name.
    fn warden(&self) -> u64 {
        let listed =
            Command::new("pgrep").args(["-f", "^klr-warden", "-P", &self.pid().to_string()]).output();
        String::from_utf8(listed.unwrap().stdout).unwrap().trim().parse().unwrap()
    }
}

fn pids(value: &Value) -> Vec<u64> {
    value["pids"].as_array().unwrap().iter().map(|pid| pid.as_u64().unwrap()).collect()
}

async fn all_gone(pids: &[u64]) {
    for pid in pids {
        eventually("it is gone, and no zombie", || !exists(*pid)).await;
    }
}

#[tokio::test]
async fn sigterm_leaves_nothing_not_even_what_made_itself_a_daemon() {
    let mut host = Running::start(&["--concurrency", "2"]).await;
    let mut started = pids(&host.ask(r#"{"do":"daemon"}"#).await);
    started.extend(pids(&host.ask(r#"{"do":"family"}"#).await));
    started.push(host.warden());
    assert!(started.iter().all(|pid| exists(*pid)));
    host.signal("-TERM");
    assert!(host.child.wait().unwrap().success());
    all_gone(&started).await;
}

#[tokio::test]
async fn a_killed_host_leaves_nothing_not_even_what_hangs() {
    let mut host = Running::start(&["--concurrency", "3"]).await;
    let mut started = pids(&host.ask(r#"{"do":"daemon"}"#).await);
    started.extend(pids(&host.ask(r#"{"do":"family"}"#).await));
    let _hanging = tokio::spawn(event_to(&host.listen, r#"{"do":"sleep","seconds":600}"#).send());
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    started.push(host.warden());
    assert!(started.iter().all(|pid| exists(*pid)));
    host.signal("-KILL");
    host.child.wait().unwrap();
    all_gone(&started).await;
}

/// What was made for a process goes too: the socket its workers find their outputs by, and its control group, where it has one.
#[tokio::test]
async fn a_killed_host_leaves_no_socket_and_no_control_group() {
    let mut host = Running::start(&["--max-concurrency", "2"]).await;
    let told = host.ask(r#"{"do":"context"}"#).await;
    let socket = told["env"]["_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET"].as_str().unwrap();
    let mut made = groups(told["pid"].as_u64().unwrap());
    made.push(socket.into());
    assert!(made.iter().all(|path| path.exists()), "{made:?}");
    host.signal("-KILL");
    host.child.wait().unwrap();
    for path in made {
        eventually("it is removed", || !path.exists()).await;
    }
}

/// The control groups made for a process: none where the system lets nobody make any.
fn groups(pid: u64) -> Vec<PathBuf> {
    let listed = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let within = |line: &str| {
        let (controller, group) = line.split_once(':').unwrap().1.split_once(':').unwrap();
        Path::new("/sys/fs/cgroup").join(controller).join(group.trim_start_matches('/'))
    };
    let all = listed.lines().map(within);
    all.filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"klr-")))
        .collect()
}

#[tokio::test]
async fn a_killed_warden_is_replaced_and_knows_what_lives() {
    let mut host = Running::start(&[]).await;
    let started = pids(&host.ask(r#"{"do":"daemon"}"#).await);
    let warden = host.warden();
    Command::new("kill").args(["-9", &warden.to_string()]).status().unwrap();
    eventually("it is reaped", || !exists(warden)).await;
    // It is missed when there is something to tell, and back with the next start.
    host.ask(r#"{"do":"kill"}"#).await;
    all_gone(&started[1..]).await;
    let started = pids(&host.ask(r#"{"do":"daemon"}"#).await);
    assert_ne!(host.warden(), warden);
    host.signal("-KILL");
    host.child.wait().unwrap();
    all_gone(&started).await;
}

#[tokio::test]
async fn orphans_are_adopted_and_reaped() {
    let host = Running::start(&[]).await;
    let orphan = host.ask(r#"{"do":"daemon"}"#).await["orphan"].as_u64().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{orphan}/stat")).unwrap();
    let parent: u64 = stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(parent, host.pid());
    all_gone(&[orphan]).await;
    assert_eq!(host.ask("[1]").await, serde_json::json!([1]), "and its own child is still there");
}
