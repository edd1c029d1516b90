//! Logs: human on a terminal, JSON elsewhere; on stderr, since stdout is for data.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::{EnvFilter, fmt};

use crate::cli::Screen;

/// What a server says: our own crates `info`, everybody else's warnings.
pub const SERVER: &str = "warn,klr=info,klr_aws=info,klr_host=info,klr_kafka=info,klr_s3=info,klr_sqs=info";
/// What a tool says.
pub const TOOL: &str = "error";

/// Starts logging. `RUST_LOG` chooses what, else `default`.
pub fn start(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let terminal = std::io::stderr().is_terminal();
    let builder = fmt().with_env_filter(filter).with_writer(|| Line);
    if terminal {
        builder.with_ansi(std::env::var_os("NO_COLOR").is_none()).with_target(false).compact().init();
    } else {
        builder.json().flatten_event(true).with_target(false).init();
    }
}

/// One log line, kept apart from the live status.
struct Line;

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Screen::get().log(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
