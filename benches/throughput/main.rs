//! How near the bridge comes to the raw client libraries.
//!
//! The bridge and a *floor*, the shortest honest loop with the same crates (pull, join bytes, POST, settle), drain the same
//! server into the same kind of sink, with the same number of partitions or lanes at work, in turns, five pairs. What
//! counts is the median of the pairs, between the first tenth and the last. CPU is of the bridge and the floor alone: the
//! sink, the server and the floor are processes of their own.

mod floor;
mod kafka;
mod pair;
mod process;
mod sink;
mod sqs;

use std::process::ExitCode;

/// CI fails above this: CPU per record of the bridge over that of the floor (Kafka).
const CPU_GATE: f64 = 1.5;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["sink", byte, frame, each] => sink::serve(byte, frame, each),
        ["floor", "kafka", bootstrap, topic, group, uri, batch] => {
            floor::kafka::run(bootstrap, topic, group, uri, batch);
        }
        ["floor", "sqs", endpoint, url, uri, lanes] => floor::sqs::run(endpoint, url, uri, lanes),
        ["run", ref what @ ..] => return run(what),
        _ => {
            eprintln!("usage: benches/run.sh [kafka] [sqs] [--tenth]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn run(what: &[&str]) -> ExitCode {
    let tenth = what.contains(&"--tenth");
    let wanted = |name| what.contains(&name) || !what.iter().any(|arg| ["kafka", "sqs"].contains(arg));
    let mut code = ExitCode::SUCCESS;
    if wanted("kafka") {
        for ratio in kafka::compare(if tenth { 100_000 } else { 1_000_000 }) {
            if tenth && ratio.cpu > CPU_GATE {
                eprintln!(
                    "the bridge needs {:.2} of the floor's CPU per record, more than {CPU_GATE}",
                    ratio.cpu
                );
                code = ExitCode::from(1);
            }
        }
    }
    if wanted("sqs") {
        sqs::compare(if tenth { 2_000 } else { 20_000 });
    }
    code
}
