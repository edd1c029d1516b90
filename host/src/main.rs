//! `klr-host`: the function host alone, for function images. It takes what `klr host` takes.

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;
use tracing::Level;
use tracing_subscriber::{Layer, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    // By target and level. What `klr` understands beyond that takes a megabyte of regular expressions.
    let filter = std::env::var("RUST_LOG").ok().and_then(|told| told.parse().ok());
    let filter: Targets = filter
        .unwrap_or_else(|| Targets::new().with_default(Level::WARN).with_target("klr_host", Level::INFO));
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // Lines for a person at a terminal, JSON for whatever collects them elsewhere.
    let log = if std::io::stderr().is_terminal() { log.boxed() } else { log.json().boxed() };
    tracing_subscriber::registry().with(log.with_filter(filter)).init();
    // The other threads that serve have runtimes of their own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(klr_host::cli::run(command.args))
}
