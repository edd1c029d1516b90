use std::{io, path::PathBuf};

/// Why a host did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither a command nor a runtime, and no `bootstrap` in the places Lambda looks.
    #[error(
        "nothing to run: expected a command after `--`, a runtime, or an executable `bootstrap` in one of {looked}"
    )]
    NoCommand {
        /// The folders that were searched.
        looked: String,
    },
    /// A `bootstrap` that cannot be run.
    #[error("{path} is not executable: `chmod +x` it")]
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
    /// A runtime this release does not start by itself.
    #[error(
        "runtime {0:?} comes with the next release: expected python3.X or provided*, or give its runtime client's \
         command after `--`"
    )]
    Runtime(String),
    /// A managed runtime needs a handler.
    #[error("runtime {0:?} needs a handler: `--handler MODULE.FUNCTION`")]
    NoHandler(String),
    /// No Python that could run the function.
    #[error(
        "no Python with the package awslambdaric among {tried}: `pip install awslambdaric` into one of them, or name \
         its interpreter in KLR_PYTHON"
    )]
    NoPython {
        /// The interpreters that were asked.
        tried: String,
    },
    /// The code directory is not one.
    #[error("code directory {path}: {source}")]
    Directory {
        /// As it was given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A setting outside what Lambda allows.
    #[error("{field}: expected {expected}, got {got:?}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// What is allowed.
        expected: &'static str,
        /// What was given.
        got: String,
    },
    /// The invocation port.
    #[error("cannot listen")]
    Listen(#[source] io::Error),
}
