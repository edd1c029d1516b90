//! MSK's IAM access control: the token is a URL, presigned with AWS credentials, that is never called.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Error, Token, chain};

/// What MSK accepts at most.
const LIFE: Duration = Duration::from_secs(900);
/// AWS's own set of characters that stay as they are.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Signs tokens with the AWS credentials of this process.
#[derive(Debug, Clone)]
pub struct Signer {
    region: String,
    credentials: SharedCredentialsProvider,
}

impl Signer {
    /// Finds credentials where the AWS command line does, anew for each token: they end too.
    pub async fn new(region: &str) -> Self {
        Self { region: region.to_owned(), credentials: klr_aws::credentials(region, "KAFKA").await }
    }

    /// With these credentials.
    pub fn with(region: &str, credentials: SharedCredentialsProvider) -> Self {
        Self { region: region.to_owned(), credentials }
    }

    /// A token as of now.
    pub async fn token(&self) -> Result<Token, Error> {
        let found = self.credentials.provide_credentials().await;
        let credentials = found.map_err(|why| Error::Credentials(chain(&why)))?;
        self.sign(&credentials, SystemTime::now())
    }

    /// A token signed at this time. It ends no later than the credentials do: brokers refuse it from then on.
    pub fn sign(&self, credentials: &Credentials, at: SystemTime) -> Result<Token, Error> {
        let mut url = format!("https://kafka.{}.amazonaws.com/?Action=kafka-cluster%3AConnect", self.region);
        for (name, value) in self.signature(credentials, at, &url)? {
            url.push_str(&format!("&{name}={}", utf8_percent_encode(&value, ENCODED)));
        }
        // Not signed: MSK logs it.
        url.push_str(concat!("&User-Agent=klr-bridge%2F", env!("CARGO_PKG_VERSION")));
        let expires = credentials.expiry().map_or(at + LIFE, |end| end.min(at + LIFE));
        let principal = credentials.access_key_id().to_owned();
        Ok(Token { value: URL_SAFE_NO_PAD.encode(url), principal, expires })
    }

    fn signature(
        &self,
        credentials: &Credentials,
        at: SystemTime,
        url: &str,
    ) -> Result<Vec<(&'static str, String)>, Error> {
        let wrong = |why: &dyn std::error::Error| Error::Credentials(chain(why));
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(LIFE);
        let identity = credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("kafka-cluster")
            .time(at)
            .settings(settings)
            .build()
            .map_err(|why| wrong(&why))?;
        let request = SignableRequest::new("GET", url, std::iter::empty(), SignableBody::Bytes(b""))
            .map_err(|why| wrong(&why))?;
        let (instructions, _) = sign(request, &parameters.into()).map_err(|why| wrong(&why))?.into_parts();
        let (_, parameters) = instructions.into_parts();
        Ok(parameters.into_iter().map(|(name, value)| (name, value.into_owned())).collect())
    }
}
