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
    /// A runtime whose client is not looked for.
    #[error(
        "runtime {0:?}: expected python3.N, nodejsN.x, javaN, rubyN.N, go1.x or provided*, or its runtime client's command \
         after `--`"
    )]
    Runtime(String),
    /// A managed runtime needs a handler.
    #[error(
        "runtime {0:?} needs a handler: `--handler`, as in app.handler (Python, Node, Ruby) or example.Fn::handle (Java)"
    )]
    NoHandler(String),
    /// The runtime client of a managed runtime is not on this machine.
    #[error("runtime {runtime:?}: no {client} in {looked}: {install}")]
    NoClient {
        /// The runtime, as it was asked for.
        runtime: String,
        /// What is missing.
        client: &'static str,
        /// Where it was looked for.
        looked: String,
        /// How to come by it.
        install: String,
    },
    /// The runtime is here in another version, and that is not good enough.
    #[error(
        "runtime {runtime:?} is not on this machine: found {found}; install it, or allow another version of it"
    )]
    OtherVersion {
        /// The runtime, as it was asked for.
        runtime: String,
        /// What there is.
        found: String,
    },
    /// The script a managed runtime is to be started through.
    #[error("AWS_LAMBDA_EXEC_WRAPPER: expected an executable script, and there is no file {path}")]
    NoWrapper {
        /// Where it would be.
        path: PathBuf,
    },
    /// A directory that is none.
    #[error("{what} directory {path}: {error}")]
    Directory {
        /// Whose it is: the code's, or a layer's.
        what: &'static str,
        /// As it was given.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
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
    /// More variables than Lambda lets a function have.
    #[error(
        "the function's environment variables take {bytes} bytes as JSON, and Lambda allows {limit}: shorten them, or put \
         what is large into a file beside the code"
    )]
    Environment {
        /// What they take.
        bytes: usize,
        /// What they may.
        limit: usize,
    },
    /// The invocation port.
    #[error("cannot listen")]
    Listen(#[source] io::Error),
    /// A thread of the host's own.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}
