//! What functions are lent to call AWS with.

use std::time::{Duration, SystemTime};

use aws_credential_types::provider::{
    ProvideCredentials, SharedCredentialsProvider, error::CredentialsError,
};
use tokio::sync::Mutex;

/// How long a chain may look. Asking a machine that is not AWS's for what AWS lends its own takes a while.
const WITHIN: Duration = Duration::from_secs(10);
/// After which the chain is asked again, if what it gave does not run out before.
const FRESH: Duration = Duration::from_secs(5 * 60);
/// The same where it could not say.
const AGAIN: Duration = Duration::from_secs(60);
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
        let Some(provider) = &self.provider else { return made_up(None, now + FRESH) };
        let found = match tokio::time::timeout(WITHIN, provider.provide_credentials()).await {
            Ok(Ok(found)) => found,
            Ok(Err(CredentialsError::CredentialsNotLoaded(_))) => return made_up(None, now + FRESH),
            // There are some, and it could not get at them: who starts now is not to go without for good.
            Ok(Err(_)) | Err(_) => return made_up(Some(now + FRESH), now + AGAIN),
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

/// SDKs sign with anything, and emulators take anything; without, they would not even begin.
fn made_up(renewal: Option<SystemTime>, until: SystemTime) -> Known {
    let variables = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Known { lent: Lent { variables, renewal }, until }
}

/// When an invocation that begins might outlive what is lent now. Where a chain's never last that long, or it gives what has
/// run out, not with each invocation: a process is worth more.
fn renewal(now: SystemTime, expiry: SystemTime) -> SystemTime {
    (expiry - LEFT).max(now + FRESH)
}

#[cfg(test)]
mod tests {
    use aws_credential_types::{Credentials as Found, provider::future};

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

    /// Fails so.
    #[derive(Debug)]
    struct Fails(fn(&'static str) -> CredentialsError);

    impl ProvideCredentials for Fails {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(Err(self.0("no")))
        }
    }

    #[tokio::test]
    async fn made_up_ones_are_for_good_only_where_there_are_no_others() {
        let ask = async |fails| {
            let credentials = Credentials::new(Some(SharedCredentialsProvider::new(Fails(fails))));
            credentials.ask(SystemTime::UNIX_EPOCH).await
        };
        let none = ask(CredentialsError::not_loaded).await;
        assert_eq!((none.lent.renewal, none.until), (None, SystemTime::UNIX_EPOCH + FRESH));
        let failed = ask(CredentialsError::provider_error).await;
        assert_eq!(failed.lent.variables, none.lent.variables);
        assert_eq!(failed.lent.renewal, Some(SystemTime::UNIX_EPOCH + FRESH));
        assert_eq!(failed.until, SystemTime::UNIX_EPOCH + AGAIN);
    }

    #[test]
    fn credentials_are_lent_anew_before_they_run_out_and_not_all_the_time() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert_eq!(renewal(now, now + 4 * LEFT), now + 3 * LEFT);
        assert_eq!(renewal(now, now + LEFT), now + FRESH);
        assert_eq!(renewal(now, now - LEFT), now + FRESH);
    }
}
