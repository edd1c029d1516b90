//! The binary while it runs.

use std::{
    io::Read,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::net::TcpStream;

use super::{event_to, eventually, free};

/// A running `klr-host`. Killed, if a test fails before it ends by itself.
pub struct Running {
    pub child: Child,
    pub listen: String,
    pub admin: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let (listen, admin) = (free(), free());
        let mut command = Command::new(env!("CARGO_BIN_EXE_klr-host"));
        command.args(["--listen", &listen, "--admin", &admin]).args(arguments);
        command.envs(environment.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { child: command.spawn().unwrap(), listen, admin }
    }

    pub async fn accepts(&self) {
        for _ in 0..1000 {
            if open(&self.listen).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the port is still closed");
    }

    pub async fn ask(&self, data: &'static str) -> reqwest::Response {
        event_to(&self.listen, data).send().await.unwrap()
    }

    pub async fn admin(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("http://{}{path}", self.admin)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Waits (10 s at most) until the admin port says so: this status, and something with these words.
    pub async fn says(&self, path: &str, status: u16, words: &str) {
        let url = format!("http://{}{path}", self.admin);
        let mut said = None;
        for _ in 0..500 {
            // Nobody listens there yet, maybe.
            if let Ok(answer) = reqwest::get(&url).await {
                let (code, text) = (answer.status().as_u16(), answer.text().await.unwrap());
                if code == status && text.contains(words) {
                    return;
                }
                said = Some((code, text));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{path} says no {status} {words}: {said:?}");
    }

    /// Waits until an invocation runs.
    pub async fn runs(&self) {
        self.says("/metrics", 200, "klr_concurrent_executions{function=\"function\"} 1\n").await;
    }

    pub fn signal(&self, name: &str) {
        Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
    }

    /// Its exit code, and what it wrote to standard output.
    pub async fn ended(&mut self) -> (Option<i32>, String) {
        let mut code = None;
        eventually("it ends", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        })
        .await;
        let mut written = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut written).unwrap();
        (code.unwrap().code(), written)
    }

    /// What it logged, once it has ended.
    pub fn logged(&mut self) -> String {
        let mut logged = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut logged).unwrap();
        logged
    }
}

/// Whether somebody listens there. The system may make a connection to a free port one with itself.
pub async fn open(address: &str) -> bool {
    TcpStream::connect(address)
        .await
        .is_ok_and(|stream| stream.local_addr().unwrap() != stream.peer_addr().unwrap())
}
