//! The key the bridge itself calls AWS with.

use std::time::{Duration, Instant};

use anyhow::bail;
use async_trait::async_trait;
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider},
};
use tokio::sync::Mutex;

use crate::lambda_api::auth::{Key, Keys};

/// How long the chain's answer stands: for some kinds of credentials it is a request to another machine.
const FRESH: Duration = Duration::from_secs(60);

/// The AWS chain's own credentials.
pub(super) struct Chain {
    provider: SharedCredentialsProvider,
    last: Mutex<Option<(Credentials, Instant)>>,
}

impl Chain {
    /// The standard chain's, if it has any now.
    pub async fn of(provider: SharedCredentialsProvider) -> anyhow::Result<Self> {
        let chain = Self { provider, last: Mutex::default() };
        if chain.current().await.is_none() {
            bail!(
                "--lambda-api: the AWS chain has no credentials to check signatures with; set AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY, give --lambda-keys FILE, or take unsigned requests on loopback with \
                 --lambda-unsigned"
            );
        }
        Ok(chain)
    }

    async fn current(&self) -> Option<Credentials> {
        let mut last = self.last.lock().await;
        if let Some((credentials, asked)) = &*last
            && asked.elapsed() < FRESH
        {
            return Some(credentials.clone());
        }
        let credentials = self.provider.provide_credentials().await.ok()?;
        *last = Some((credentials.clone(), Instant::now()));
        Some(credentials)
    }
}

#[async_trait]
impl Keys for Chain {
    async fn key(&self, access_key_id: &str) -> Option<Key> {
        let own = self.current().await?;
        let token = own.session_token().map(str::to_owned);
        (own.access_key_id() == access_key_id)
            .then(|| Key { secret: own.secret_access_key().to_owned(), token })
    }
}
