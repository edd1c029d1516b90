//! Callers: each sends one event after the other over a connection of its own, and checks every reply.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::process::{Process, this};

/// Before the first that counts: by then every process has started, and every cache is warm.
const WARM_UP: usize = 2_000;
/// A caller that waits longer meets a host that has hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the callers saw.
pub struct Seen {
    pub seconds: f64,
    pub p50: f64,
    pub p99: f64,
}

/// The callers' process: `requests` in all, once it is told to go on.
pub struct Load {
    process: Process,
    go: ChildStdin,
    told: BufReader<ChildStdout>,
}

impl Load {
    /// Starts it, and waits until it has warmed up what is at `address`.
    pub fn warm(address: &str, connections: usize, requests: usize) -> Self {
        let mut command = this();
        command.args(["load", address, &connections.to_string(), &requests.to_string()]);
        let mut process = Process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let Child { stdin, stdout, .. } = &mut process.0;
        let go = stdin.take().expect("it is piped");
        let told = BufReader::new(stdout.take().expect("it is piped"));
        let mut load = Self { process, go, told };
        assert_eq!(load.line(), "warm");
        load
    }

    /// Has it send what counts, and waits for the end.
    pub fn run(mut self) -> Seen {
        writeln!(self.go, "go").expect("the callers are there");
        let line = self.line();
        let numbers: Vec<f64> = line.split(' ').map(|word| word.parse().expect("numbers")).collect();
        let [seconds, p50, p99] = numbers[..] else { panic!("three numbers, not {line:?}") };
        assert!(self.process.0.wait().expect("it is ours").success());
        Seen { seconds, p50, p99 }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.told.read_line(&mut line).expect("the callers speak UTF-8");
        line.trim_end().to_owned()
    }
}

/// In the callers' process.
pub fn drive(address: &str, connections: &str, requests: &str) {
    let number = |text: &str| text.parse::<usize>().expect("a number");
    let (connections, requests) = (number(connections), number(requests));
    // One thread for all: what they take is taken from the host.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut senders = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(address).await.expect("the host accepts");
            stream.set_nodelay(true).expect("a TCP connection");
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
            tokio::spawn(connection);
            senders.push(sender);
        }
        let (senders, _) = send(senders, WARM_UP / connections).await;
        println!("warm");
        std::io::stdin().lock().read_line(&mut String::new()).expect("told to go");
        let begin = Instant::now();
        let (_, mut latencies) = send(senders, requests / connections).await;
        let seconds = begin.elapsed().as_secs_f64();
        latencies.sort_unstable();
        let at = |share: usize| latencies[latencies.len() * share / 100].as_secs_f64() * 1e6;
        println!("{seconds} {} {}", at(50), at(99));
    });
}

/// `each` over every connection; they come back with how long each request took.
async fn send(
    senders: Vec<http1::SendRequest<Full<Bytes>>>,
    each: usize,
) -> (Vec<http1::SendRequest<Full<Bytes>>>, Vec<Duration>) {
    let callers = senders.into_iter().enumerate().map(|(caller, mut sender)| {
        tokio::spawn(async move {
            let event = event(caller);
            let mut latencies = Vec::with_capacity(each);
            for _ in 0..each {
                let begin = Instant::now();
                let called = tokio::time::timeout(PATIENCE, call(&mut sender, &event)).await;
                called.expect("an answer in good time");
                latencies.push(begin.elapsed());
            }
            (sender, latencies)
        })
    });
    let callers: Vec<_> = callers.collect();
    let (mut senders, mut latencies) = (Vec::new(), Vec::new());
    for caller in callers {
        let (sender, its) = caller.await.expect("no caller panics");
        senders.push(sender);
        latencies.extend(its);
    }
    (senders, latencies)
}

/// A CloudEvent as the bridge sends it; the reply must be its data.
async fn call(sender: &mut http1::SendRequest<Full<Bytes>>, event: &Bytes) {
    let request = Request::post("/")
        .header("host", "function")
        .header("content-type", "application/json")
        .header("ce-specversion", "1.0")
        .header("ce-id", "f2ad5e0c-8f3d-4f3b-9f6d-0e6f7b1c2d3e")
        .header("ce-source", "arn:aws:sqs:us-east-1:123456789012:orders")
        .header("ce-type", "com.amazonaws.sqs.batch")
        .body(Full::new(event.clone()))
        .expect("headers of ours");
    sender.ready().await.expect("the connection is kept");
    let answer = sender.send_request(request).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let reply = answer.into_body().collect().await.expect("a whole reply").to_bytes();
    assert_eq!(reply, event, "the caller's own");
}

/// 260 bytes of JSON as the echo writes it: without blanks, names in order.
fn event(caller: usize) -> Bytes {
    let head = format!("{{\"caller\":{caller:3},\"text\":\"").replace(' ', "1");
    format!("{head}{}\"}}", "x".repeat(260 - head.len() - 2)).into()
}
