//! Objects, read whole.

use std::time::Duration;

use aws_sdk_s3::{
    Client, Config,
    config::{ResponseChecksumValidation::WhenRequired, timeout::TimeoutConfig},
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
};
use bytes::{Bytes, BytesMut};

/// What one attempt, and all of them, may take: 250 MB over a slow line.
const ATTEMPT: Duration = Duration::from_secs(120);
const CALL: Duration = Duration::from_secs(240);

/// Reads objects of any bucket.
#[derive(Debug)]
pub struct Objects {
    client: Client,
}

/// Why an object was not had, in S3's words where it spoke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// `NoSuchKey`, `NoSuchBucket`, `AccessDenied`, …
    pub code: String,
    /// Its message.
    pub message: String,
}

impl Objects {
    /// A client in a region. Finds credentials; does not call anybody yet.
    pub async fn open(region: &str, endpoint: Option<&str>) -> Self {
        let shared = klr_aws::config(region, "S3", endpoint).await;
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(CALL);
        let mut config = Config::from(&shared).to_builder().timeout_config(timeouts.build());
        if klr_aws::elsewhere("S3", endpoint) {
            // `bucket.localhost` does not resolve, and not every store has the checksums the SDK asks for by itself.
            config = config.force_path_style(true).response_checksum_validation(WhenRequired);
        }
        Self { client: Client::from_conf(config.build()) }
    }

    /// The object, or one version of it, if it has no more than so many bytes.
    pub async fn read(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
        most: usize,
    ) -> Result<Bytes, Refused> {
        let call = self.client.get_object().bucket(bucket).key(key);
        let answer =
            call.set_version_id(version.map(str::to_owned)).send().await.map_err(|error| refused(&error))?;
        let long = answer.content_length().and_then(|length| usize::try_from(length).ok());
        if long.is_some_and(|long| long > most) {
            return Err(too_large(most));
        }
        collect(answer.body, most).await
    }
}

async fn collect(mut body: ByteStream, most: usize) -> Result<Bytes, Refused> {
    let mut object = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk =
            chunk.map_err(|error| Refused { code: "IncompleteBody".into(), message: error.to_string() })?;
        if object.len() + chunk.len() > most {
            return Err(too_large(most));
        }
        object.extend_from_slice(&chunk);
    }
    Ok(object.freeze())
}

fn too_large(most: usize) -> Refused {
    Refused { code: "EntityTooLarge".into(), message: format!("The object has more than {most} bytes") }
}

fn refused<E: ProvideErrorMetadata + std::error::Error + 'static>(error: &SdkError<E>) -> Refused {
    let SdkError::ServiceError(context) = error else {
        return Refused { code: "Unreachable".into(), message: DisplayErrorContext(error).to_string() };
    };
    let status = context.raw().status().as_u16();
    Refused {
        code: context.err().code().map_or_else(|| format!("HTTP {status}"), str::to_owned),
        message: context.err().message().unwrap_or("none given").to_owned(),
    }
}
