//! Why a call of the process is refused.

use super::state::State;

/// Why a call of the process is refused, in Lambda's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("Invalid request ID")]
    InvalidRequestId,
    #[error("Invoke timeout")]
    TooLate,
    #[error(
        "State transition from {from} to {to} failed for runtime. Error: State transition is not allowed"
    )]
    InvalidState { from: &'static str, to: &'static str },
}

impl Refusal {
    /// From where the process is, it does not get to `to`.
    pub(super) fn to(to: &'static str, state: &State) -> Self {
        Self::InvalidState { from: state.name(), to }
    }
}
