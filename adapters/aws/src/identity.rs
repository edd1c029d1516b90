use std::time::{Duration, SystemTime};

use aws_sdk_sts::Client;
use klr_contract::Error;

use crate::{config, failure};

/// How long a token is asked for. Those who hold one ask again in time.
const LIFE: Duration = Duration::from_secs(900);

/// AWS as an OpenID Connect provider: tokens that say who we are to somebody else (STS GetWebIdentityToken).
#[derive(Debug, Clone)]
pub struct WebIdentity {
    client: Client,
    audience: String,
}

impl WebIdentity {
    /// For this audience, by the credentials of the standard chain.
    pub async fn new(region: &str, audience: &str, endpoint: Option<&str>) -> Self {
        let client = Client::new(&config(region, "STS", endpoint).await);
        Self { client, audience: audience.to_owned() }
    }

    /// A token, and when it ends.
    pub async fn token(&self) -> Result<(String, SystemTime), Error> {
        let asked = SystemTime::now();
        let answer = self
            .client
            .get_web_identity_token()
            .audience(&self.audience)
            .duration_seconds(LIFE.as_secs() as i32)
            // The one every verifier has.
            .signing_algorithm("RS256")
            .send()
            .await
            .map_err(|error| failure("STS", "GetWebIdentityToken", &error))?;
        let expires = answer.expiration().and_then(|end| SystemTime::try_from(*end).ok());
        let token = answer.web_identity_token.ok_or_else(|| {
            Error::retry("aws-identity", "expected a token of STS GetWebIdentityToken, found none".to_owned())
        })?;
        Ok((token, expires.unwrap_or(asked + LIFE)))
    }
}
