//! How a process ended, in the words Lambda uses for it (they are Go's).

use std::{fmt, os::unix::process::ExitStatusExt, process::ExitStatus};

/// The error type of a process that took more memory than it may.
pub(crate) const OUT_OF_MEMORY: &str = "Runtime.OutOfMemory";

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) status: ExitStatus,
    /// The kernel killed it at its memory limit.
    pub(crate) out_of_memory: bool,
}

impl Exit {
    /// The error type it is for the function.
    pub(crate) fn error_type(self) -> &'static str {
        if self.out_of_memory { OUT_OF_MEMORY } else { "Runtime.ExitError" }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.status.code(), self.status.signal()) {
            // A runtime must not end at all: leaving politely is just as fatal, and Java leaves politely after an
            // OutOfMemoryError.
            (Some(0), _) => f.write_str("Runtime exited without providing a reason"),
            (Some(_), _) | (_, Some(_)) => write!(f, "Runtime exited with error: {}", self.how()),
            (None, None) => f.write_str("Runtime exited with error"),
        }
    }
}

impl Exit {
    /// How it ended, whatever process it was.
    pub(crate) fn how(self) -> String {
        match (self.status.code(), self.status.signal()) {
            (Some(0), _) => "exit code 0".to_owned(),
            (Some(code), _) => format!("exit status {code}"),
            (None, Some(number)) => {
                let core = if self.status.core_dumped() { " (core dumped)" } else { "" };
                match signal_name(number) {
                    Some(name) => format!("signal: {name}{core}"),
                    None => format!("signal: signal {number}{core}"),
                }
            }
            (None, None) => "it is unknown how".to_owned(),
        }
    }
}

fn signal_name(number: i32) -> Option<&'static str> {
    // The numbers are the same on every Linux we run on.
    Some(match number {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        5 => "trace/breakpoint trap",
        6 => "aborted",
        7 => "bus error",
        8 => "floating point exception",
        9 => "killed",
        11 => "segmentation fault",
        13 => "broken pipe",
        14 => "alarm clock",
        15 => "terminated",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_are_told_in_lambdas_words() {
        let exit = |raw| Exit { status: ExitStatus::from_raw(raw), out_of_memory: false };
        let told = |raw| exit(raw).to_string();
        assert_eq!(told(0), "Runtime exited without providing a reason");
        assert_eq!(told(3 << 8), "Runtime exited with error: exit status 3");
        assert_eq!(told(9), "Runtime exited with error: signal: killed");
        assert_eq!(told(0x80 | 11), "Runtime exited with error: signal: segmentation fault (core dumped)");
    }
}
