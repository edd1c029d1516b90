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

/// Prints it.
pub fn report(function: &str) {
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
    println!("idle resident memory, one process        {:>6.1} MB  (goal < 10)", idle.peak_mb());
    let size = fs::metadata(binary()).expect("cargo built it").len();
    println!("release binary                           {:>6.1} MB  (goal < 6)\n", size as f64 / 1e6);
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
