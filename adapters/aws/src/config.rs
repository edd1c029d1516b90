use std::time::Duration;

use aws_config::{
    BehaviorVersion, Region, SdkConfig, environment::EnvironmentVariableCredentialsProvider,
    meta::credentials::CredentialsProviderChain, meta::region::RegionProviderChain,
    profile::ProfileFileCredentialsProvider, timeout::TimeoutConfig,
};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_secretsmanager::config::Credentials;

/// One attempt of a call that does not wait by design. (A long poll sets its own.)
const ATTEMPT: Duration = Duration::from_secs(10);
const CALL: Duration = Duration::from_secs(30);

/// Whether calls to `service` (as in `AWS_ENDPOINT_URL_<SERVICE>`: `SQS`) go to somebody else's server than AWS's: an
/// emulator, a compatible queue. AWS's own interface endpoints are AWS.
pub fn elsewhere(service: &str, endpoint: Option<&str>) -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let ignored = set("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|value| value == "true");
    let configured = || set(&format!("AWS_ENDPOINT_URL_{service}")).or_else(|| set("AWS_ENDPOINT_URL"));
    let endpoint = endpoint.map(str::to_owned).or_else(|| if ignored { None } else { configured() });
    endpoint.is_some_and(|endpoint| !is_aws(&endpoint))
}

/// The region of the standard chain, for what is not named by an ARN.
pub async fn region() -> Option<String> {
    let region = RegionProviderChain::default_provider().region().await;
    region.map(|region| region.as_ref().to_owned())
}

/// Who signs what no SDK client signs: the standard chain, for calls to `service` in `region`.
pub async fn credentials(region: &str, service: &str) -> SharedCredentialsProvider {
    let config = config(region, service, None).await;
    config.credentials_provider().expect("the standard chain always has a provider, if not credentials")
}

/// The standard chain and nothing else: for what must not take made-up keys for anybody's.
pub async fn standard_chain(region: &str) -> SharedCredentialsProvider {
    // Given, or it would be looked for, on a laptop at an address where nobody answers.
    let region = Region::new(region.to_owned());
    let config = aws_config::defaults(BehaviorVersion::latest()).region(region).load().await;
    config.credentials_provider().expect("the standard chain always has a provider, if not credentials")
}

/// What a client of `service` in `region` is built from.
///
/// The standard chain finds the credentials; retries are the SDK's standard mode (three attempts, jittered, a token bucket
/// against storms). `endpoint` wins over the chain's own settings.
pub async fn config(region: &str, service: &str, endpoint: Option<&str>) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(4))
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(CALL)
        .build();
    let region = Region::new(region.to_owned());
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).region(region).timeout_config(timeouts);
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if elsewhere(service, endpoint) {
        loader = loader.credentials_provider(written_or_made_up());
    }
    loader.load().await
}

/// For another server than AWS's: keys the user wrote down (environment, profile), else made-up ones.
///
/// The rest of the chain is left out. What a machine or a pod is lent by AWS (instance metadata, container, web identity)
/// is not for others to see, and on a laptop asking for it only costs seconds.
fn written_or_made_up() -> CredentialsProviderChain {
    let made_up = Credentials::new("klr", "klr", None, None, "made up: no credentials, and not AWS");
    CredentialsProviderChain::first_try("Environment", EnvironmentVariableCredentialsProvider::new())
        .or_else("Profile", ProfileFileCredentialsProvider::builder().build())
        .or_else("MadeUp", made_up)
}

fn is_aws(endpoint: &str) -> bool {
    const DOMAINS: [&str; 4] =
        ["amazonaws.com", "amazonaws.com.cn", "api.aws", "api.amazonwebservices.com.cn"];
    let authority = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host).to_ascii_lowercase();
    DOMAINS.iter().any(|domain| host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_aws_from_others() {
        for aws in [
            "https://sqs.us-east-1.amazonaws.com",
            "https://vpce-0a-1b.sqs.eu-west-1.vpce.amazonaws.com:443/",
            "https://sqs.cn-north-1.amazonaws.com.cn",
            "https://sqs.us-east-1.api.aws",
        ] {
            assert!(!elsewhere("SQS", Some(aws)), "{aws}");
        }
        for other in
            ["http://localhost:9324", "http://[::1]:9324", "https://amazonaws.com.evil.example/amazonaws.com"]
        {
            assert!(elsewhere("SQS", Some(other)), "{other}");
        }
    }

    #[tokio::test]
    async fn region_and_endpoint_are_the_callers() {
        let config = config("eu-north-1", "SQS", Some("http://localhost:9324")).await;
        assert_eq!(config.region().map(Region::as_ref), Some("eu-north-1"));
        assert_eq!(config.endpoint_url(), Some("http://localhost:9324"));
    }
}
