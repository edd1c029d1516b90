//! `klr export`: resources as files, or as Lambda's API takes them.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::ValueEnum;
use serde_json::Value;

use super::{admin::Bridge, say};
use crate::config;

/// What to export, and as what.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// YAML or JSON files; `-` is stdin. Without any, the mappings of a running bridge
    #[arg(short, long = "file", value_name = "FILE", num_args = 1..)]
    file: Vec<PathBuf>,
    /// klr: resources in YAML; esm: bodies of CreateEventSourceMapping, one a line
    #[arg(long, value_enum, default_value_t = To::Klr)]
    to: To,
    #[command(flatten)]
    bridge: Bridge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    Klr,
    Esm,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let resources = if args.file.is_empty() {
        match args.bridge.mappings().await {
            Ok(mappings) => mappings.into_iter().map(|mapping| mapping.resource).collect(),
            Err(error) => {
                eprintln!("error: {error}");
                return Ok(ExitCode::from(3));
            }
        }
    } else {
        config::written(&args.file)?
    };
    for (nth, resource) in resources.iter().enumerate() {
        match args.to {
            To::Klr => print_yaml(nth, resource)?,
            To::Esm => print_request(resource),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_yaml(nth: usize, resource: &Value) -> anyhow::Result<()> {
    if nth > 0 {
        say("---");
    }
    let text = yaml_serde::to_string(resource).context("a resource that cannot be written as YAML")?;
    say(text.trim_end());
    Ok(())
}

/// What is no mapping, and what a mapping has that AWS's do not, is named on stderr.
fn print_request(resource: &Value) {
    let name = resource["metadata"]["name"].as_str().unwrap_or_default();
    if resource["kind"] != "EventSourceMapping" {
        let kind = resource["kind"].as_str().unwrap_or_default();
        eprintln!("{kind} {name}: no mapping; left out");
        return;
    }
    let (request, left_out) = config::request(resource);
    for what in left_out {
        eprintln!("EventSourceMapping {name}: {what}");
    }
    say(request);
}
