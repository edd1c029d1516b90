//! One token kept fresh, by a task, for callbacks that must not wait.

use std::error::Error;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use tokio::task::AbortHandle;

use super::{Token, Tokens};
use crate::Sasl;

/// Between two attempts, at first and at most.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// No token is fetched sooner than this after the one before, however short its life.
const LEAST: Duration = Duration::from_millis(500);

/// Keeps a token ready until it is dropped.
pub(crate) struct Keeper {
    slot: Arc<Slot>,
    task: AbortHandle,
}

#[derive(Default)]
struct Slot {
    held: Mutex<Held>,
    changed: Condvar,
}

#[derive(Default)]
struct Held {
    token: Option<Token>,
    /// Why the last attempt gave none.
    trouble: Option<String>,
}

impl Keeper {
    /// One, if these are the credentials. Needs a runtime to be in.
    pub(crate) fn of(sasl: Option<&Sasl>) -> Option<Self> {
        match sasl {
            Some(Sasl::Bearer(tokens)) => Some(Self::start(tokens.clone())),
            Some(Sasl::Password { .. }) | None => None,
        }
    }

    fn start(tokens: Tokens) -> Self {
        let slot = Arc::<Slot>::default();
        let task = tokio::spawn(keep(tokens, Arc::clone(&slot))).abort_handle();
        Self { slot, task }
    }

    /// Waits for the first attempt to end: true, or so long.
    pub(crate) fn wait(&self, longest: Duration) -> bool {
        let nothing = |held: &mut Held| held.token.is_none() && held.trouble.is_none();
        let waited = self.slot.changed.wait_timeout_while(self.slot.lock(), longest, nothing);
        let (held, _) = waited.unwrap_or_else(PoisonError::into_inner);
        held.token.is_some() || held.trouble.is_some()
    }

    /// The token, or why there is none. Never waits for the network.
    pub(crate) fn token(&self) -> Result<OAuthToken, String> {
        let held = self.slot.lock();
        match (&held.token, &held.trouble) {
            (Some(token), _) if !token.left().is_zero() => Ok(OAuthToken {
                token: token.value.clone(),
                principal_name: token.principal.clone(),
                lifetime_ms: milliseconds(token.expires),
            }),
            (_, Some(trouble)) => Err(trouble.clone()),
            (_, None) => Err("the first token is not there yet".to_owned()),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fetches a token at half the life of the one before. One that cannot be had is asked for again, and the old one is used
/// up meanwhile.
async fn keep(tokens: Tokens, slot: Arc<Slot>) {
    let mut pause = PAUSE;
    loop {
        let next = match tokens.token().await {
            Ok(token) => {
                let next = (token.left() / 2).max(LEAST);
                *slot.lock() = Held { token: Some(token), trouble: None };
                pause = PAUSE;
                next
            }
            Err(error) => {
                tracing::warn!(%error, "no fresh token for the kafka cluster: trying again");
                slot.lock().trouble = Some(error.to_string());
                let longer = (pause * 2).min(LONGEST_PAUSE);
                std::mem::replace(&mut pause, longer)
            }
        };
        slot.changed.notify_all();
        tokio::time::sleep(next).await;
    }
}

fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A producer's callbacks. They run on the thread of its own that rdkafka gives it, which may wait a little.
pub(crate) struct Producer(pub(crate) Option<Keeper>);

impl ClientContext for Producer {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        hand_over(self.0.as_ref(), Duration::from_secs(5))
    }
}

/// Hands over what is there; the very first token is waited for.
pub(crate) fn hand_over(keeper: Option<&Keeper>, patience: Duration) -> Result<OAuthToken, Box<dyn Error>> {
    let keeper = keeper.ok_or("no tokens were asked for")?;
    keeper.wait(patience);
    keeper.token().map_err(Into::into)
}
