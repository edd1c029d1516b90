use std::time::Duration;

/// What the engine does about an error. It looks at nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Try again, after this long if the foreign side said so, else after the engine's own back-off.
    Retry {
        /// What the foreign side asked for.
        after: Option<Duration>,
    },
    /// Trying again cannot help until a person changes something: the mapping stops with status PROBLEM.
    Stop,
}

/// What went wrong between us and a source.
///
/// `code` is short and stable (documentation and metrics use it); `message` says what was expected, what was seen, where,
/// and what to do. Neither ever holds a payload or a secret.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message} [{code}]")]
pub struct Error {
    kind: Kind,
    code: &'static str,
    message: String,
}

impl Error {
    /// An error that time may cure.
    pub fn retry(code: &'static str, message: impl Into<String>) -> Self {
        Self { kind: Kind::Retry { after: None }, code, message: message.into() }
    }

    /// An error that needs a person.
    pub fn stop(code: &'static str, message: impl Into<String>) -> Self {
        Self { kind: Kind::Stop, code, message: message.into() }
    }

    /// The same error with the wait the foreign side asked for. Has no effect on [`Kind::Stop`].
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        if let Kind::Retry { after } = &mut self.kind {
            *after = Some(wait);
        }
        self
    }

    /// What the engine does about it.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The text without the code, for who has a code of their own.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }
}
