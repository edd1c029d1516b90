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

/// What a process is lent.
#[derive(Debug, Clone, Default)]
pub(super) struct Lent {
    /// Its variables.
    pub(super) variables: Vec<(String, String)>,
    /// When it is to have new ones; `None`: these do not run out.
    pub(super) renewal: Option<SystemTime>,
}

struct Known {
    lent: Lent,
    until: SystemTime,
}

impl Credentials {
    pub(super) fn new(provider: Option<SharedCredentialsProvider>) -> Self {
        Self { provider, known: Mutex::default() }
    }

    /// For a process that starts. The environment's own are not among them: processes have those anyway.
    pub(super) async fn lend(&self) -> Lent {
        if std::env::var("AWS_ACCESS_KEY_ID").is_ok_and(|key| !key.is_empty()) {
            return Lent::default();
        }
        let mut known = self.known.lock().await;
        let now = SystemTime::now();
        if let Some(known) = known.as_ref().filter(|known| now < known.until) {
            return known.lent.clone();
        }
        let fresh = self.ask(now).await;
        let lent = fresh.lent.clone();
        *known = Some(fresh);
        lent
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
            return Known { lent: Lent { variables, renewal: None }, until: now + FRESH };
        };
        let mut variables = vec![
            ("AWS_ACCESS_KEY_ID".to_owned(), found.access_key_id().to_owned()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), found.secret_access_key().to_owned()),
        ];
        variables
            .extend(found.session_token().map(|token| ("AWS_SESSION_TOKEN".to_owned(), token.to_owned())));
        let until = found.expiry().map_or(now + FRESH, |expiry| (now + FRESH).min(expiry - LEFT));
        Known { lent: Lent { variables, renewal: found.expiry().map(|expiry| renewal(now, expiry)) }, until }
    }
}

/// When an invocation that begins might outlive what is lent now. Where a chain's never last that long, or it gives what has
/// run out, not with each invocation: a process is worth more.
fn renewal(now: SystemTime, expiry: SystemTime) -> SystemTime {
    (expiry - LEFT).max(now + FRESH)
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
        let made_up = Credentials::new(None).lend().await.variables;
        assert_eq!(value(&made_up, "AWS_ACCESS_KEY_ID"), Some("test"));
        let lend = async |expiry| {
            let found = Found::new("AKIA", "secret", Some("token".into()), expiry, "test");
            Credentials::new(Some(SharedCredentialsProvider::new(found))).lend().await
        };
        let lent = lend(None).await;
        assert_eq!(value(&lent.variables, "AWS_ACCESS_KEY_ID"), Some("AKIA"));
        assert_eq!(value(&lent.variables, "AWS_SESSION_TOKEN"), Some("token"));
        assert_eq!(lent.renewal, None);
        let expiry = SystemTime::now() + Duration::from_secs(3600);
        assert_eq!(lend(Some(expiry)).await.renewal, Some(expiry - LEFT));
    }

    #[test]
    fn credentials_are_lent_anew_before_they_run_out_and_not_all_the_time() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert_eq!(renewal(now, now + 4 * LEFT), now + 3 * LEFT);
        assert_eq!(renewal(now, now + LEFT), now + FRESH);
        assert_eq!(renewal(now, now - LEFT), now + FRESH);
    }
}
