//! Secrets by reference: what a file may say, and what is behind it at run time.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

/// Where a secret is. Not the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// A Secrets Manager ARN.
    SecretsManager(String),
    /// `env:NAME`.
    Variable(String),
    /// `file:PATH`, as from the working directory.
    File(PathBuf),
}

/// A secret that cannot be had. Never holds any of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The variable.
    #[error(
        "expected the secret in the environment variable {0}, which is not set; set it before klr starts"
    )]
    Variable(String),
    /// The file.
    #[error("expected the secret in the file {}, which cannot be read: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// Secrets Manager.
    #[error("cannot get the secret {arn}: {why}")]
    SecretsManager {
        /// Which.
        arn: String,
        /// Status or cause.
        why: String,
    },
    /// There is nothing to sign for.
    #[error("IAM_AUTH and IAM_OAUTHBEARER_AUTH need a region; set AWS_REGION")]
    Region,
    /// What is in it.
    #[error("the secret {place} must hold the JSON AWS asks for, {{{expected}}}; it does not ({why})")]
    Content {
        /// Which.
        place: String,
        /// The members.
        expected: &'static str,
        /// Where the JSON ends to be that.
        why: String,
    },
}

impl SecretRef {
    /// What `text` refers to, or what would be right instead. The text is not repeated: it may be the secret itself.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(name) = text.strip_prefix("env:") {
            let valid = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            return if valid {
                Ok(Self::Variable(name.to_owned()))
            } else {
                Err("must name a variable, as env:NAME")
            };
        }
        if let Some(path) = text.strip_prefix("file:") {
            return if path.is_empty() {
                Err("must name a file, as file:PATH")
            } else {
                Ok(Self::File(path.into()))
            };
        }
        if text.starts_with("secret:") {
            return Err(
                "secret:NAME is a Kubernetes Secret, which this version of klr cannot read yet; mount it and \
                        use env:NAME or file:PATH",
            );
        }
        match super::name::Arn::parse(text) {
            Some(arn) if arn.service == "secretsmanager" && cfg!(feature = "sqs") => {
                Ok(Self::SecretsManager(text.to_owned()))
            }
            Some(arn) if arn.service == "secretsmanager" => {
                Err("this klr was built without the AWS SDK (feature sqs); use env:NAME or file:PATH")
            }
            _ => Err("must refer to a secret: a Secrets Manager ARN, env:NAME or file:PATH"),
        }
    }

    /// The secret's text as it is now.
    pub async fn text(&self) -> Result<String, Error> {
        match self {
            Self::Variable(name) => std::env::var(name).map_err(|_| Error::Variable(name.clone())),
            Self::File(path) => {
                let read = tokio::fs::read_to_string(path).await;
                read.map_err(|why| Error::File { path: path.clone(), why })
            }
            // Boxed: the SDK's futures are nested deep, and so are those around this one.
            Self::SecretsManager(arn) => Box::pin(secrets_manager(arn)).await,
        }
    }

    /// The secret, which is JSON with these members.
    pub(super) async fn json<T: for<'a> Deserialize<'a>>(&self, expected: &'static str) -> Result<T, Error> {
        let text = self.text().await?;
        // Serde's own words may quote a value; the position is enough to find it.
        serde_json::from_str(&text).map_err(|error| {
            self.content(expected, format!("line {}, column {}", error.line(), error.column()))
        })
    }

    /// It is there, and not what it must be.
    pub(super) fn content(&self, expected: &'static str, why: String) -> Error {
        Error::Content { place: self.to_string(), expected, why }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretsManager(arn) => f.write_str(arn),
            Self::Variable(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

#[cfg(feature = "sqs")]
async fn secrets_manager(arn: &str) -> Result<String, Error> {
    klr_aws::secret(arn)
        .await
        .map_err(|why| Error::SecretsManager { arn: arn.to_owned(), why: why.to_string() })
}

#[cfg(not(feature = "sqs"))]
async fn secrets_manager(arn: &str) -> Result<String, Error> {
    Err(Error::SecretsManager {
        arn: arn.to_owned(),
        why: "this klr was built without the AWS SDK".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_one_of_three() {
        assert_eq!(SecretRef::parse("env:KAFKA_1"), Ok(SecretRef::Variable("KAFKA_1".to_owned())));
        assert_eq!(SecretRef::parse("file:/run/x"), Ok(SecretRef::File("/run/x".into())));
        for text in
            ["env:", "env:A-B", "file:", "secret:kafka", "hunter2", "arn:aws:sqs:us-east-1:123456789012:q"]
        {
            assert!(!SecretRef::parse(text).unwrap_err().contains("hunter2"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_secret_that_is_not_there_is_named() {
        let missing = SecretRef::Variable("KLR_TEST_NOT_SET".to_owned()).text().await.unwrap_err();
        assert!(missing.to_string().contains("KLR_TEST_NOT_SET"));
    }
}
