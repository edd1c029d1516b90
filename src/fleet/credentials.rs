//! What functions are lent to call AWS with.

use std::time::{Duration, SystemTime};

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use tokio::sync::Mutex;

/// How long a chain may look. Asking a machine that is not AWS's for what AWS lends its own takes a while.
const WITHIN: Duration = Duration::from_secs(10);
/// After which the chain is asked again, if what it gave does not run out before.
const FRESH: Duration = Duration::from_secs(5 * 60);
/// What must be left of a credential's time: a process has it to its end.
const LEFT: Duration = Duration::from_secs(15 * 60);

/// The chain, and what it said last.
pub(super) struct Credentials {
    provider: Option<SharedCredentialsProvider>,
    known: Mutex<Option<Known>>,
}

struct Known {
    variables: Vec<(String, String)>,
    until: SystemTime,
}

impl Credentials {
    pub(super) fn new(provider: Option<SharedCredentialsProvider>) -> Self {
        Self { provider, known: Mutex::default() }
    }

    /// As a process's variables. The environment's own are not among them: processes have those anyway.
    pub(super) async fn variables(&self) -> Vec<(String, String)> {
        if std::env::var("AWS_ACCESS_KEY_ID").is_ok_and(|key| !key.is_empty()) {
            return Vec::new();
        }
        let mut known = self.known.lock().await;
        let now = SystemTime::now();
        if let Some(known) = known.as_ref().filter(|known| now < known.until) {
            return known.variables.clone();
        }
        let fresh = self.ask(now).await;
        let variables = fresh.variables.clone();
        *known = Some(fresh);
        variables
    }

    async fn ask(&self, now: SystemTime) -> Known {
        let told = match &self.provider {
            Some(provider) => tokio::time::timeout(WITHIN, provider.provide_credentials()).await.ok(),
            None => None,
        };
        let Some(Ok(found)) = told else {
            // SDKs sign with anything, and emulators take anything; without, they would not even begin.
            let made_up = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
            let variables = made_up.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
            return Known { variables, until: now + FRESH };
        };
        let mut variables = vec![
            ("AWS_ACCESS_KEY_ID".to_owned(), found.access_key_id().to_owned()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), found.secret_access_key().to_owned()),
        ];
        variables
            .extend(found.session_token().map(|token| ("AWS_SESSION_TOKEN".to_owned(), token.to_owned())));
        let until = found.expiry().map_or(now + FRESH, |expiry| (now + FRESH).min(expiry - LEFT));
        Known { variables, until }
    }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials as Found;

    use super::*;

    fn value<'a>(variables: &'a [(String, String)], name: &str) -> Option<&'a str> {
        variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    #[tokio::test]
    async fn the_chains_or_made_up_ones() {
        if std::env::var_os("AWS_ACCESS_KEY_ID").is_some() {
            eprintln!("SKIP: the environment has credentials, and they win");
            return;
        }
        let made_up = Credentials::new(None).variables().await;
        assert_eq!(value(&made_up, "AWS_ACCESS_KEY_ID"), Some("test"));
        let found = Found::new("AKIA", "secret", Some("token".into()), None, "test");
        let lent = Credentials::new(Some(SharedCredentialsProvider::new(found))).variables().await;
        assert_eq!(value(&lent, "AWS_ACCESS_KEY_ID"), Some("AKIA"));
        assert_eq!(value(&lent, "AWS_SESSION_TOKEN"), Some("token"));
    }
}
