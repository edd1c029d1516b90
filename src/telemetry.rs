//! Logs: human on a terminal, JSON elsewhere; on stderr, since stdout is for data.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::{EnvFilter, fmt};

use crate::cli::Screen;

/// Our own crates speak at `info`, everybody else's warn.
const DEFAULT: &str = "warn,klr=info,klr_aws=info,klr_host=info,klr_kafka=info,klr_s3=info,klr_sqs=info";

/// Starts logging. `RUST_LOG` chooses what.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
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
