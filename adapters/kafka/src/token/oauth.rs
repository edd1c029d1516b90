//! OAuth 2.0, client credentials grant (RFC 6749 §4.4).

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Response, Url, header, redirect};
use serde::Deserialize;

use super::{Error, Token, chain};

/// An answer after this is none.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What a token is good for if nothing says so.
const LIFE: Duration = Duration::from_secs(300);
/// A token's answer is small; a larger one is no token.
const LARGEST: usize = 256 << 10;

/// Who we are to an authorization server.
#[derive(Clone)]
pub struct ClientCredentials {
    endpoint: Url,
    id: String,
    secret: String,
    scope: Option<String>,
    audience: Option<String>,
    client: Client,
}

/// What is wrong with what was written down.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// The address.
    #[error("oauthTokenEndpointUrl must be an https URL (http only on this machine itself)")]
    Endpoint,
    /// The certificate authority.
    #[error("oauthIdpCaCertificate must be a certificate in PEM")]
    Certificate,
}

impl ClientCredentials {
    /// Checks what it is given; asks for nothing yet. `ca` is PEM, trusted beside the system's roots.
    pub fn new(endpoint: &str, id: String, secret: String, ca: Option<&str>) -> Result<Self, Invalid> {
        let endpoint: Url = endpoint.parse().map_err(|_| Invalid::Endpoint)?;
        // The secret goes there: in the clear only where nobody listens.
        let here = matches!(endpoint.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if !(endpoint.scheme() == "https" || endpoint.scheme() == "http" && here) {
            return Err(Invalid::Endpoint);
        }
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(TIMEOUT)
            .user_agent(concat!("klr-bridge/", env!("CARGO_PKG_VERSION")));
        if here {
            builder = builder.no_proxy();
        }
        if let Some(pem) = ca {
            let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes());
            for certificate in certificates.map_err(|_| Invalid::Certificate)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let client = builder.build().map_err(|_| Invalid::Certificate)?;
        Ok(Self { endpoint, id, secret, scope: None, audience: None, client })
    }

    /// Asks for tokens of this scope (`OAUTHBEARER_SCOPE`).
    pub fn scope(self, scope: Option<String>) -> Self {
        Self { scope, ..self }
    }

    /// Asks for tokens for this audience (`OAUTHBEARER_AUDIENCE`).
    pub fn audience(self, audience: Option<String>) -> Self {
        Self { audience, ..self }
    }

    pub(super) async fn token(&self) -> Result<Token, Error> {
        let asked = SystemTime::now();
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut body = "grant_type=client_credentials".to_owned();
        for (name, value) in [("scope", &self.scope), ("audience", &self.audience)] {
            if let Some(value) = value {
                body.push_str(&format!("&{name}={}", encoded(value)));
            }
        }
        let request = self
            .client
            .post(self.endpoint.clone())
            // RFC 6749 §2.3.1: encoded as in a form before they are joined.
            .basic_auth(encoded(&self.id), Some(encoded(&self.secret)))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(body);
        let response = request.send().await.map_err(|why| self.unreachable(why))?;
        let status = response.status();
        let answer = self.read(response).await?;
        if !status.is_success() {
            let code = serde_json::from_slice::<Refusal>(&answer).ok().and_then(Refusal::code);
            return Err(Error::Refused {
                endpoint: self.place(),
                status: status.as_u16(),
                code: code.unwrap_or_default(),
            });
        }
        let answer: Answer =
            serde_json::from_slice(&answer).map_err(|_| self.answer("no JSON with an access_token"))?;
        let stated =
            answer.expires_in.map(|seconds| asked + Duration::from_secs(seconds.max(0).unsigned_abs()));
        let expires = [stated, expiry(&answer.access_token)].into_iter().flatten().min();
        let expires = expires.unwrap_or(asked + LIFE);
        if expires <= SystemTime::now() {
            return Err(self.answer("a token that has expired already: compare the clocks"));
        }
        Ok(Token { value: answer.access_token, principal: self.id.clone(), expires })
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, Error> {
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|why| self.unreachable(why))? {
            answer.extend_from_slice(&chunk);
            if answer.len() > LARGEST {
                return Err(self.answer("an answer too large for a token"));
            }
        }
        Ok(answer)
    }

    fn unreachable(&self, why: reqwest::Error) -> Error {
        let why = chain(&why.without_url());
        Error::Unreachable { endpoint: self.place(), why }
    }

    fn answer(&self, seen: &'static str) -> Error {
        Error::Answer { endpoint: self.place(), seen }
    }

    /// Without user, password and query.
    fn place(&self) -> String {
        format!("{}{}", self.endpoint.origin().ascii_serialization(), self.endpoint.path())
    }
}

// Secrets are never printed.
impl std::fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCredentials").field("endpoint", &self.place()).field("id", &self.id).finish()
    }
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<i64>,
}

#[derive(Deserialize)]
struct Refusal {
    error: Option<String>,
}

impl Refusal {
    /// One of the few words of RFC 6749 §5.2; a description may say more than logs should.
    fn code(self) -> Option<String> {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        self.error.filter(|code| code.len() <= 64 && code.chars().all(word)).map(|code| format!(" {code}"))
    }
}

/// When a JSON Web Token says it ends; `None` for any other token.
fn expiry(token: &str) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let Claims { exp } = serde_json::from_slice(&claims).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(exp).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_goes_over_tls_or_stays_here() {
        let new = |endpoint| ClientCredentials::new(endpoint, "id".to_owned(), "s3cret".to_owned(), None);
        assert!(new("https://idp.example.com/token").is_ok());
        assert!(new("http://127.0.0.1:8080/token").is_ok());
        for wrong in ["http://idp.example.com/token", "idp.example.com", "file:///etc/token"] {
            assert!(matches!(new(wrong), Err(Invalid::Endpoint)), "{wrong}");
        }
        assert!(
            !format!("{:?}", new("https://u:p4ss@idp.example.com/token?k=s3cret").unwrap())
                .contains("s3cret")
        );
        assert!(!format!("{:?}", new("https://u:p4ss@idp.example.com/token").unwrap()).contains("p4ss"));
    }

    #[test]
    fn a_json_web_token_says_when_it_ends() {
        let token = |claims: &str| format!("e30.{}.", URL_SAFE_NO_PAD.encode(claims));
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(expiry(&token(r#"{"sub":"a","exp":1700000000}"#)), at(1_700_000_000));
        for other in ["opaque", "a.b.c", &token("{}"), &token(r#"{"exp":-1}"#), &token(r#"{"exp":1e300}"#)] {
            assert_eq!(expiry(other), None, "{other}");
        }
    }
}
