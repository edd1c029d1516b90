//! `klr-host`: the function host alone, for function images. It takes what `klr host` takes.

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Runs a Lambda function as it is, and takes CloudEvents and Invoke API calls for it over HTTP.
#[derive(Parser)]
#[command(name = "klr-host", version)]
struct Command {
    #[command(flatten)]
    args: klr_host::cli::Args,
}

fn main() -> anyhow::Result<ExitCode> {
    if klr_host::warden() {
        return Ok(ExitCode::SUCCESS);
    }
    let command = Command::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,klr_host=info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Lines for a person at a terminal, JSON for whatever collects them elsewhere.
    if std::io::stderr().is_terminal() {
        log.init()
    } else {
        log.json().init()
    }
    tokio::runtime::Runtime::new()?.block_on(klr_host::cli::run(command.args))
}
