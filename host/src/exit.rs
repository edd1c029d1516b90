//! How a process ended, in the words Lambda uses for it (they are Go's).

use std::{fmt, os::unix::process::ExitStatusExt, process::ExitStatus};

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
        if self.out_of_memory { "Runtime.OutOfMemory" } else { "Runtime.ExitError" }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.status.code(), self.status.signal()) {
            // A runtime must not end at all: leaving politely is just as fatal, and Java leaves politely after an
            // OutOfMemoryError.
            (Some(0), _) => f.write_str("Runtime exited without providing a reason"),
            (Some(code), _) => write!(f, "Runtime exited with error: exit status {code}"),
            (None, Some(number)) => {
                write!(f, "Runtime exited with error: signal: ")?;
                match signal_name(number) {
                    Some(name) => f.write_str(name)?,
                    None => write!(f, "signal {number}")?,
                }
                if self.status.core_dumped() { f.write_str(" (core dumped)") } else { Ok(()) }
            }
            (None, None) => f.write_str("Runtime exited with error"),
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
