//! What is wrong with what a user wrote.

use std::fmt;
use std::sync::Arc;

/// A place in the files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which of the files, in the order they were given: problems are listed in that order.
    nth: usize,
    /// From 1.
    line: usize,
    file: Arc<str>,
}

impl Place {
    pub(super) fn new(nth: usize, file: Arc<str>, line: usize) -> Self {
        Self { nth, line, file }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One thing to put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// Dotted path, as in `spec.sourceAccessConfigurations[0].uri`; empty for the whole document.
    pub field: String,
    /// What is wrong, what would be right. Never a value that might be a secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, field, message } = self;
        if field.is_empty() {
            write!(f, "{place}: {message}")
        } else {
            write!(f, "{place}: {field}: {message}")
        }
    }
}

/// Why there are no resources.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A file that cannot be read, or holds neither YAML nor JSON.
    #[error("{0}")]
    Unreadable(String),
    /// Everything that is wrong, by file and line.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

impl Failure {
    /// `Ok` when nothing is wrong.
    pub(super) fn unless_none(mut problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        // Stable: what stands on one line stays in the order it was found.
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        Err(Self::Invalid(problems))
    }
}
