//! Our tokens for MSK beside those of AWS's published signer, field by field. (No MSK is to be had here.)
#![cfg(feature = "iam")]
#![allow(clippy::unwrap_used)] // A test that cannot set its scene has failed.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use klr_kafka::{Signer, Token};
use klr_test_support::python;

const ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// With everything that a URL encodes.
const SESSION: &str = "IQoJb3JpZ2luX2VjEF//+a==~. *é";

const SCRIPT: &str = r#"
import sys
from aws_msk_iam_sasl_signer import MSKAuthTokenProvider as signer
from botocore.credentials import CredentialProvider, Credentials

class Written(CredentialProvider):
    def load(self):
        return Credentials(sys.argv[2], sys.argv[3], sys.argv[4] or None)

token, expires = signer.generate_auth_token_from_credentials_provider(sys.argv[1], Written())
print(token, expires)
"#;

/// The token of AWS's signer, and when it says that ends.
fn theirs(region: &str, session: &str) -> Option<(String, u64)> {
    let venv = python::venv(&["aws-msk-iam-sasl-signer-python==1.0.2"])?;
    let output = Command::new(venv.join("bin/python"))
        .args(["-c", SCRIPT, region, ID, SECRET, session])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (token, expires) = text.trim().split_once(' ').unwrap();
    Some((token.to_owned(), expires.parse().unwrap()))
}

/// What stands before the query, and the query.
fn fields(token: &str) -> (String, BTreeMap<String, String>) {
    let url = String::from_utf8(URL_SAFE_NO_PAD.decode(token).unwrap()).unwrap();
    let (place, query) = url.split_once('?').unwrap();
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap());
    (place.to_owned(), pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// `20261122T233125Z`.
fn moment(text: &str) -> SystemTime {
    let at: jiff::Timestamp = jiff::fmt::strtime::parse("%Y%m%dT%H%M%SZ", text)
        .unwrap()
        .to_datetime()
        .unwrap()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .unwrap()
        .timestamp();
    UNIX_EPOCH + Duration::from_secs(at.as_second().unsigned_abs())
}

fn ours(region: &str, session: &str, at: SystemTime, end: Option<SystemTime>) -> Token {
    let session = Some(session.to_owned()).filter(|session| !session.is_empty());
    let credentials = Credentials::new(ID, SECRET, session, end, "test");
    let signer = Signer::with(region, SharedCredentialsProvider::new(credentials.clone()));
    signer.sign(&credentials, at).unwrap()
}

#[test]
fn the_same_as_awss_own_signer() {
    for (region, session) in [("us-east-1", ""), ("eu-west-1", SESSION), ("cn-north-1", SESSION)] {
        let Some((token, expires)) = theirs(region, session) else { return };
        let (place, mut expected) = fields(&token);
        let at = moment(&expected["X-Amz-Date"]);
        let mine = ours(region, session, at, None);
        let (seen_place, mut seen) = fields(&mine.value);
        assert_eq!(seen_place, place);
        // Who signed, after the signature.
        assert!(expected.remove("User-Agent").unwrap().starts_with("aws-msk-iam-sasl-signer-python"));
        assert!(seen.remove("User-Agent").unwrap().starts_with("klr-bridge%2F"));
        assert_eq!(seen, expected, "{region}");
        assert_eq!(mine.expires, UNIX_EPOCH + Duration::from_millis(expires), "{region}");
    }
}

/// What brokers refuse is not shown to them: a token is worth nothing without the credentials behind it.
#[test]
fn a_token_ends_with_its_credentials() {
    let at = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let end = at + Duration::from_secs(120);
    assert_eq!(ours("us-east-1", SESSION, at, Some(end)).expires, end);
    assert_eq!(ours("us-east-1", SESSION, at, None).expires, at + Duration::from_secs(900));
    let late = at + Duration::from_secs(3600);
    assert_eq!(ours("us-east-1", SESSION, at, Some(late)).expires, at + Duration::from_secs(900));
}

#[tokio::test]
async fn credentials_that_are_not_there_are_told() {
    #[derive(Debug)]
    struct None;
    impl aws_credential_types::provider::ProvideCredentials for None {
        fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let error = aws_credential_types::provider::error::CredentialsError::not_loaded("nothing is set");
            aws_credential_types::provider::future::ProvideCredentials::ready(Err(error))
        }
    }
    let error = Signer::with("us-east-1", SharedCredentialsProvider::new(None)).token().await.unwrap_err();
    assert!(error.to_string().contains("nothing is set"), "{error}");
    let credentials = Credentials::new(ID, SECRET, Some(SESSION.to_owned()), Option::None, "test");
    let token = Signer::with("us-east-1", SharedCredentialsProvider::new(credentials)).token().await.unwrap();
    assert!(!format!("{token:?}").contains(&token.value));
}
