//! `klr validate`: check files, run nothing.

use std::{path::PathBuf, process::ExitCode};

use super::say;
use crate::config::{self, Failure};

/// What to check.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// YAML or JSON files; `-` is stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Prints `FILE:LINE: field: what is wrong, what would be right`, one a line.
pub(super) fn run(args: &Args) -> ExitCode {
    match config::load(&args.files) {
        Ok(_) => ExitCode::SUCCESS,
        Err(Failure::Invalid(problems)) => {
            problems.iter().for_each(say);
            ExitCode::from(1)
        }
        Err(failure @ Failure::Unreadable(_)) => {
            eprintln!("error: {failure}");
            ExitCode::from(2)
        }
    }
}
