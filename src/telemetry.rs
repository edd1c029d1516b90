//! Logs: human on a terminal, JSON elsewhere; on stderr, since stdout is for data.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt};

/// Starts logging. `RUST_LOG` chooses what; the default is our own `info` and everybody else's warnings.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,klr=info,klr_host=info,klr_kafka=info,klr_sqs=info,klr_s3=info,klr_aws=info"));
    let terminal = std::io::stderr().is_terminal();
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if terminal {
        builder.with_ansi(std::env::var_os("NO_COLOR").is_none()).with_target(false).compact().init();
    } else {
        builder.json().flatten_event(true).with_target(false).init();
    }
}
