//! What the asynchronous queue takes in, beside the plainest durable queue there is: one event, one fsync.
//!
//! The floor appends an event of 1 KB to a file and syncs it, one after the other. The queue takes events of 1 KB from 64
//! senders, each of which waits for its answer. They take turns on the same disk, five pairs; what counts is the median. Then a
//! process fills a queue with a million events and is killed, and another opens it and accepts.

mod floor;
mod large;
mod pair;

use std::{path::PathBuf, process::ExitCode};

/// A sync that takes longer is worth sharing: the goal is a multiple of the floor then, else a rate.
const SLOW_SYNC: f64 = 0.5e-3;
const GOAL_TIMES: f64 = 20.0;
const GOAL_RATE: f64 = 10_000.0;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["fill", directory, events] => large::fill(directory, events),
        ["open", directory] => large::open(directory),
        [] => return run(None, 1),
        ["--tenth"] => return run(None, 10),
        ["--in", directory] => return run(Some(directory.into()), 1),
        _ => {
            eprintln!("usage: klr-bench-queue [--tenth | --in DIRECTORY]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// A full run, or a part of one, in a directory on the disk that is meant.
fn run(directory: Option<PathBuf>, part: u32) -> ExitCode {
    let directory = directory.unwrap_or_else(|| PathBuf::from("target/bench-queue"));
    let rates = pair::compare(&directory, part);
    let sync = 1.0 / rates.floor;
    let times = rates.queue / rates.floor;
    println!(
        "an fsync takes {:.2} ms; the queue takes {times:.0} times what one event and one fsync do",
        sync * 1e3
    );
    let (goal, met) = match sync > SLOW_SYNC {
        true => (format!("{GOAL_TIMES} times, where an fsync takes over 0.5 ms"), times >= GOAL_TIMES),
        false => {
            (format!("{GOAL_RATE} events/s, where an fsync takes up to 0.5 ms"), rates.queue >= GOAL_RATE)
        }
    };
    println!("goal: {goal}: {}", if met { "met" } else { "missed" });
    let large = large::run(&directory, 1_000_000 / part);
    if met && large { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
