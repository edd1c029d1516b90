use std::time::Duration;

use aws_config::{
    BehaviorVersion, Region, SdkConfig, default_provider::credentials::DefaultCredentialsChain, imds,
    meta::credentials::CredentialsProviderChain, timeout::TimeoutConfig,
};
use aws_sdk_secretsmanager::config::Credentials;

/// One attempt of a call that does not wait by design. (A long poll sets its own.)
const ATTEMPT: Duration = Duration::from_secs(10);
const CALL: Duration = Duration::from_secs(30);

/// Whether calls to `service` (as in `AWS_ENDPOINT_URL_<SERVICE>`: `SQS`) go somewhere else than to AWS's own address.
pub fn overridden(service: &str, endpoint: Option<&str>) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    endpoint.is_some() || set("AWS_ENDPOINT_URL") || set(&format!("AWS_ENDPOINT_URL_{service}"))
}

/// What a client of `service` in `region` is built from.
///
/// The standard chain finds the credentials; retries are the SDK's standard mode (three attempts, jittered, a token bucket
/// against storms). `endpoint` wins over the chain's own settings.
pub async fn config(region: &str, service: &str, endpoint: Option<&str>) -> SdkConfig {
    let region = Region::new(region.to_owned());
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(4))
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(CALL)
        .build();
    let mut loader =
        aws_config::defaults(BehaviorVersion::latest()).region(region.clone()).timeout_config(timeouts);
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if overridden(service, endpoint) {
        loader = loader.credentials_provider(chain_or_made_up(region).await);
    }
    loader.load().await
}

/// The chain with an end: made-up credentials where nothing gives any. An emulator takes them; AWS behind an interface
/// endpoint refuses them, and says so. The instance metadata service is asked once, not four times: where there is none
/// (the laptop again) each attempt costs a second of start-up.
async fn chain_or_made_up(region: Region) -> CredentialsProviderChain {
    let metadata = imds::Client::builder().max_attempts(1).connect_timeout(Duration::from_secs(1)).build();
    let chain = DefaultCredentialsChain::builder().region(region).imds_client(metadata).build().await;
    let made_up = Credentials::new("klr", "klr", None, None, "made up: no credentials, endpoint overridden");
    CredentialsProviderChain::first_try("Default", chain).or_else("MadeUp", made_up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_override() {
        assert!(overridden("SQS", Some("http://localhost:9324")));
    }

    #[tokio::test]
    async fn region_and_endpoint_are_the_callers() {
        let config = config("eu-north-1", "SQS", Some("http://localhost:9324")).await;
        assert_eq!(config.region().map(Region::as_ref), Some("eu-north-1"));
        assert_eq!(config.endpoint_url(), Some("http://localhost:9324"));
    }
}
