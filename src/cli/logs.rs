//! `klr logs`: what a function of a running bridge writes, and what is said of it.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::{Context as _, bail};
use reqwest::{Client, Response, StatusCode};

use super::say;
use crate::fleet::logs::Entry;

/// Whose log, and how much of it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The function's name
    name: String,
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,
    /// How many records from the log's end to begin with [default: all that are kept; with --follow 100]
    #[arg(long, value_name = "N")]
    tail: Option<usize>,
    /// Where the bridge's admin port is
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    admin: SocketAddr,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// The time, and the record
    Text,
    /// A JSON object a line, with the log stream
    Json,
}

impl Args {
    fn url(&self) -> String {
        let mut url = format!("http://{}/functions/{}/logs?follow={}", self.admin, self.name, self.follow);
        if let Some(tail) = self.tail.or(self.follow.then_some(100)) {
            url += &format!("&tail={tail}");
        }
        url
    }
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let named = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if args.name.is_empty() || !args.name.chars().all(named) {
        bail!("expected a function's bare name, got {:?}", args.name);
    }
    let client = Client::builder().no_proxy().build()?;
    let answer = match client.get(args.url()).send().await {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("error: no bridge answers at {}: {}", args.admin, error.without_url());
            return Ok(ExitCode::from(3));
        }
    };
    match answer.status() {
        StatusCode::OK => print(answer, args.format).await,
        StatusCode::NOT_FOUND => {
            eprintln!("error: {}", answer.text().await.unwrap_or_default().trim_end());
            Ok(ExitCode::from(1))
        }
        status => bail!("the bridge at {} answers {status}", args.admin),
    }
}

/// Prints records as they come, to the end of the answer: with `--follow`, that of the bridge.
async fn print(mut answer: Response, format: Format) -> anyhow::Result<ExitCode> {
    let mut rest = Vec::new();
    while let Some(chunk) = answer.chunk().await.context("the bridge's answer was cut off")? {
        rest.extend_from_slice(&chunk);
        let whole = rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let lines = rest.drain(..whole).collect::<Vec<_>>();
        for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            match format {
                Format::Json => say(String::from_utf8_lossy(line)),
                Format::Text => {
                    let entry: Entry = serde_json::from_slice(line).context("the bridge's answer")?;
                    say(format_args!("{:.3} {}", entry.at, entry.text));
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
