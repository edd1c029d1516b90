//! The endpoint: answers 200 and counts records, in a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use klr_test_support::sink::{Answer, Sink};

use super::process::{Process, this};

/// How records are told in a body, without parsing it: by a byte that stands `frame` times in an empty body and `each`
/// times in every record.
#[derive(Clone, Copy)]
pub struct Marks {
    pub byte: u8,
    pub frame: usize,
    pub each: usize,
}

/// A sink that runs; gone when dropped.
pub struct Running {
    /// Where.
    pub uri: String,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    _process: Process,
}

impl Running {
    /// Starts one.
    pub fn start(marks: Marks) -> Self {
        let Marks { byte, frame, each } = marks;
        let args = ["sink".to_owned(), byte.to_string(), frame.to_string(), each.to_string()];
        let mut process = Process::start(this().args(args).stdin(Stdio::piped()).stdout(Stdio::piped()));
        let stdin = process.0.stdin.take().expect("stdin is piped");
        let stdout = BufReader::new(process.0.stdout.take().expect("stdout is piped"));
        let mut sink = Self { uri: String::new(), stdin, stdout, _process: process };
        sink.uri = sink.line();
        sink
    }

    /// Records so far.
    pub fn records(&mut self) -> usize {
        self.stdin.write_all(b"\n").expect("the sink lives as long as this");
        self.line().parse().expect("the sink answers a number")
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("the sink lives as long as this");
        line.trim_end().to_owned()
    }
}

/// The process: prints its address, then its count for every line it reads, until stdin closes.
pub fn serve(byte: &str, frame: &str, each: &str) {
    let number = |text: &str| text.parse::<usize>().expect("numbers, from `Running::start`");
    let (byte, frame, each) = (number(byte) as u8, number(frame), number(each));
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let sink = Sink::forgetful(move |request| {
        // A sum over bytes, not a filter and count over `usize`: it is vectorised.
        let marks: usize = request
            .body
            .chunks(255)
            .map(|chunk| chunk.iter().map(|b| u8::from(*b == byte)).sum::<u8>() as usize)
            .sum();
        counted.fetch_add((marks - frame) / each, Ordering::Relaxed);
        Answer::status(200)
    });
    println!("{}", sink.uri);
    for _ in std::io::stdin().lines() {
        println!("{}", count.load(Ordering::Relaxed));
    }
}
