//! How soon the host is there, how much it takes at rest, and how large it is.

use std::{
    fs,
    io::Read,
    net::TcpListener,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::{
    pair::median,
    process::Process,
    subject::{Running, binary, free, host},
};

const STARTS: usize = 9;

/// Memory at rest, and the binary's size, in MB.
const MEMORY_GOAL: f64 = 10.0;
const SIZE_GOAL: f64 = 6.0;
/// What has to hold wherever it runs.
pub const GOALS: &str = "10 MB of memory at rest, a binary of 6 MB";

/// Prints it. Whether it is as small as it has to be; how soon it is there depends on what else the machine does.
pub fn report(function: &str) -> bool {
    let start = |options: &[&str]| host(&free().to_string(), function, options);
    let millis = |running: &Running| running.started.as_secs_f64() * 1e3;
    let (mut lazy, mut own, mut whole, mut over) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STARTS {
        lazy.push(millis(&start(&["--lazy"])));
        let alone = first_call(function).as_secs_f64() * 1e3;
        let served = millis(&start(&[]));
        own.push(alone);
        whole.push(served);
        over.push(served - alone);
    }
    println!("from exec to the first accepted connection, median of {STARTS}:");
    println!("  with --lazy                            {:>6.1} ms  (goal < 10)", median(lazy));
    println!("  with a process                         {:>6.1} ms", median(whole));
    println!("  that process by itself, to its `next`  {:>6.1} ms", median(own));
    println!("  the host's share                       {:>6.1} ms  (goal < 10)", median(over));
    let idle = start(&[]);
    thread::sleep(Duration::from_secs(1));
    let memory = idle.peak_mb();
    println!("idle resident memory, one process        {memory:>6.1} MB  (goal < {MEMORY_GOAL})");
    let size = fs::metadata(binary()).expect("cargo built it").len() as f64 / 1e6;
    println!("release binary                           {size:>6.1} MB  (goal < {SIZE_GOAL})\n");
    memory < MEMORY_GOAL && size < SIZE_GOAL
}

/// From the start of a function's process to its first call.
fn first_call(function: &str) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let mut command = Command::new(function);
    command.env("AWS_LAMBDA_RUNTIME_API", address).env("AWS_LAMBDA_FUNCTION_NAME", "function");
    command.env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128").env("AWS_LAMBDA_FUNCTION_VERSION", "1");
    let begin = Instant::now();
    let _process = Process::start(&mut command);
    let (mut stream, _) = listener.accept().expect("it connects");
    stream.read_exact(&mut [0; 4]).expect("it asks");
    begin.elapsed()
}
