use aws_sdk_secretsmanager::{Client, primitives::Blob};
use klr_contract::Error;

use crate::{Arn, config, failure};

/// The text of a Secrets Manager secret, from the region its ARN names.
pub async fn secret(arn: &str) -> Result<String, Error> {
    secret_at(arn, None).await
}

/// [`secret`], from another endpoint than the chain's.
pub async fn secret_at(arn: &str, endpoint: Option<&str>) -> Result<String, Error> {
    let parsed: Arn = arn.parse().map_err(|error| Error::stop("aws-arn", format!("{error}")))?;
    if parsed.service != "secretsmanager" {
        let text = format!("expected the ARN of a Secrets Manager secret, got {arn}");
        return Err(Error::stop("aws-arn", text));
    }
    let client = Client::new(&config(&parsed.region, "SECRETS_MANAGER", endpoint).await);
    let answer = client
        .get_secret_value()
        .secret_id(arn)
        .send()
        .await
        .map_err(|error| failure("Secrets Manager", "GetSecretValue", &error))?;
    let binary =
        || answer.secret_binary().map(Blob::as_ref).and_then(|bytes| std::str::from_utf8(bytes).ok());
    answer.secret_string().or_else(binary).map(str::to_owned).ok_or_else(|| {
        Error::stop("aws-secret", format!("expected text in {arn}, found neither a string nor UTF-8"))
    })
}
