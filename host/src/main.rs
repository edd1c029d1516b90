//! `klr-host`: the function host alone, for function images. It takes what `klr host` takes.

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Runs a Lambda function as it is, and takes CloudEvents and Invoke API calls for it over HTTP.
#[derive(Parser)]
#[command(name = "klr-host", version)]
struct Command {
    #[command(flatten)]
    args: klr_host::cli::Args,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let command = Command::parse();
    let filter = EnvFilter::try_from_env("KLR_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    klr_host::cli::run(command.args).await
}
