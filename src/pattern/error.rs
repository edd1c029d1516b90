//! What is wrong with a pattern or an event, in AWS's words and in ours.

use std::fmt;

/// Where in a pattern: both count from one, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

impl Position {
    /// Of a byte of `text`.
    pub(super) fn of(text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before[start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A pattern that is refused. Displayed, it is [`aws`](Error::aws) with where and why behind it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} ({at}{})", self.aws(), self.hint.as_ref().map(|hint| format!(": {hint}")).unwrap_or_default())]
pub struct Error {
    /// How the service that would refuse it begins.
    pub(super) prefix: &'static str,
    /// The service has one sentence for everything.
    pub(super) terse: bool,
    /// AWS's reason.
    pub(super) reason: String,
    pub(super) hint: Option<String>,
    pub(super) at: Position,
}

impl Error {
    /// What AWS answers.
    pub fn aws(&self) -> String {
        if self.terse { self.prefix.to_owned() } else { format!("{}{}", self.prefix, self.reason) }
    }

    /// AWS's reason alone, as EventBridge words it; Lambda keeps it to itself.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Where.
    pub fn position(&self) -> Position {
        self.at
    }

    /// What was meant, perhaps, or what would be right.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// A text that is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not JSON: expected {expected} at byte {at}")]
pub struct Malformed {
    /// The byte.
    pub at: usize,
    /// What should be there.
    pub expected: &'static str,
}
