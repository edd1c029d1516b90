//! The verbs of `klr`, one a file, and the only place that wires (cli.md is the public face).
//!
//! Exit codes: 0 done · 1 the answer is no · 2 bad usage or input · 3 a needed service is not there.

mod admin;
#[cfg(all(feature = "kafka", feature = "s3"))]
mod demo;
mod export;
mod functions;
#[cfg(feature = "lambda-api")]
mod lambda_api;
mod live;
#[cfg(feature = "lambda-api")]
mod logs;
mod mappings;
mod pattern;
#[cfg(feature = "queue")]
mod queue;
#[cfg(feature = "s3")]
mod receive;
mod run;
#[cfg(any(feature = "sqs", feature = "kafka", feature = "s3"))]
mod shape;
mod table;
mod units;
mod validate;
mod wire;

use std::{
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::telemetry;
pub use live::Screen;

/// AWS Lambda's triggers, outside AWS.
#[derive(Parser)]
#[command(name = "klr", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run everything in the files until told to stop
    Run(run::Args),
    /// The main job on embedded parts: Kafka records and S3 notifications into a function
    #[cfg(all(feature = "kafka", feature = "s3"))]
    Demo(demo::Args),
    /// Run a Lambda function as it is, and take CloudEvents and Invoke API calls for it
    Host(klr_host::cli::Args),
    /// What a function of a running bridge writes, and what is said of it
    #[cfg(feature = "lambda-api")]
    Logs(logs::Args),
    /// Check files, run nothing
    Validate(validate::Args),
    /// Resources as files, or as Lambda's API takes them
    Export(export::Args),
    /// The functions a running bridge runs
    Functions(admin::Listing),
    /// What a running bridge maps
    Mappings(admin::Listing),
    /// Event patterns: filter criteria, rules, filter policies
    Pattern(pattern::Args),
    /// The asynchronous queue of a running bridge
    #[cfg(feature = "queue")]
    Queue(queue::Args),
    /// Native messages in, Lambda events out
    #[cfg(any(feature = "sqs", feature = "kafka", feature = "s3"))]
    Shape(shape::Args),
}

impl Cli {
    /// What is logged where `RUST_LOG` does not say.
    pub fn level(&self) -> &'static str {
        match self.verb {
            Verb::Run(_) | Verb::Host(_) => telemetry::SERVER,
            _ => telemetry::TOOL,
        }
    }

    /// Whether its runtime is to be of one thread: it has others of its own.
    pub fn one_thread(&self) -> bool {
        matches!(self.verb, Verb::Host(_))
    }

    /// Does what was asked; the error, if any, is one of usage or input.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.verb {
            Verb::Run(args) => run::run(args).await,
            #[cfg(all(feature = "kafka", feature = "s3"))]
            Verb::Demo(args) => demo::run(args).await,
            Verb::Host(args) => klr_host::cli::run(args).await,
            #[cfg(feature = "lambda-api")]
            Verb::Logs(args) => logs::run(args).await,
            Verb::Validate(args) => Ok(validate::run(&args)),
            Verb::Export(args) => export::run(args).await,
            Verb::Functions(args) => Ok(functions::run(args).await),
            Verb::Mappings(args) => Ok(mappings::run(args).await),
            Verb::Pattern(args) => pattern::run(&args),
            #[cfg(feature = "queue")]
            Verb::Queue(args) => queue::run(args).await,
            #[cfg(any(feature = "sqs", feature = "kafka", feature = "s3"))]
            Verb::Shape(args) => shape::run(&args),
        }
    }
}

/// A line on stdout, for whoever still reads it: `println!` would panic once `head` has had enough.
fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}
