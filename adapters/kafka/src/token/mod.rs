//! Bearer tokens: who gives them, and one kept ready for librdkafka.
//!
//! librdkafka asks for a token in a callback, which must not wait for a network (arroyo#803 stood still for that). So a
//! task fetches them ahead of time, and the callback hands over what is there. librdkafka asks again at 80 % of a token's
//! life; the task has the next one at half of it.

mod keeper;
mod oauth;
#[cfg(feature = "iam")]
mod signer;

use std::time::{Duration, SystemTime};

pub(crate) use keeper::{Keeper, Producer, hand_over};
pub use oauth::{ClientCredentials, Invalid};
#[cfg(feature = "iam")]
pub use signer::Signer;

/// Who gives the tokens.
#[derive(Debug, Clone)]
pub enum Tokens {
    /// An OAuth 2.0 authorization server (`OAUTHBEARER_AUTH`).
    ClientCredentials(ClientCredentials),
    /// Our AWS credentials (`IAM_AUTH`).
    #[cfg(feature = "iam")]
    Iam(Signer),
    /// AWS, as an OpenID Connect provider (`IAM_OAUTHBEARER_AUTH`).
    #[cfg(feature = "iam")]
    WebIdentity(klr_aws::WebIdentity),
}

impl Tokens {
    async fn token(&self) -> Result<Token, Error> {
        match self {
            Self::ClientCredentials(credentials) => credentials.token().await,
            #[cfg(feature = "iam")]
            Self::Iam(signer) => signer.token().await,
            #[cfg(feature = "iam")]
            Self::WebIdentity(identity) => {
                let (value, expires) = identity.token().await.map_err(Error::WebIdentity)?;
                Ok(Token { value, principal: "aws".to_owned(), expires })
            }
        }
    }
}

/// A token, and how long it is good for.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// What goes over the wire.
    pub value: String,
    /// Whose it is; brokers read that in the token itself.
    pub principal: String,
    /// When it ends.
    pub expires: SystemTime,
}

impl Token {
    /// What is left of its life.
    fn left(&self) -> Duration {
        self.expires.duration_since(SystemTime::now()).unwrap_or_default()
    }
}

// A token is a secret.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("principal", &self.principal).field("expires", &self.expires).finish()
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The authorization server cannot be asked.
    #[error("expected a token from {endpoint}, which cannot be reached: {why}")]
    Unreachable {
        /// Its address, without what may be secret.
        endpoint: String,
        /// What the network said.
        why: String,
    },
    /// It refused.
    #[error(
        "expected a token from {endpoint}, seen status {status}{code}: check client id, secret and scope"
    )]
    Refused {
        /// Its address.
        endpoint: String,
        /// HTTP status.
        status: u16,
        /// OAuth's own word for it, if any.
        code: String,
    },
    /// It answered something else.
    #[error("expected a token from {endpoint}, seen {seen}")]
    Answer {
        /// Its address.
        endpoint: String,
        /// What is wrong with it.
        seen: &'static str,
    },
    /// AWS gives none.
    #[error("no token of AWS's for the cluster: {0}")]
    WebIdentity(klr_contract::Error),
    /// There is nothing to sign with.
    #[error("expected AWS credentials to sign a token for MSK with: {0}")]
    Credentials(String),
}

/// An error with its causes, where the real one mostly is.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text.push_str(&format!(": {deeper}"));
        cause = deeper.source();
    }
    text
}
