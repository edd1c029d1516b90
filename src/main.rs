//! `klr`: parse, call, exit code.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use klr::cli::Cli;

fn main() -> ExitCode {
    if klr_host::warden() {
        return ExitCode::SUCCESS;
    }
    let cli = Cli::parse();
    klr::telemetry::start(cli.level());
    let mut runtime = match cli.one_thread() {
        true => tokio::runtime::Builder::new_current_thread(),
        false => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            return ExitCode::from(3);
        }
    };
    let code = runtime.block_on(cli.run()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    });
    // What is still running was given up on purpose (a second signal, a drain timeout).
    runtime.shutdown_timeout(Duration::from_millis(100));
    code
}
