//! Code in a bucket.

use std::fmt;

use async_trait::async_trait;
use axum::body::Bytes;

use super::super::{
    body::{Constraints, Fields, Pattern},
    error::Error,
};

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// One version of it; the newest unless given.
    pub version: Option<String>,
}

/// Why an object was not had: S3's own code and message, which the caller is shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refused {
    /// `NoSuchKey`, `NoSuchBucket`, `PermanentRedirect`, …
    pub code: String,
    /// In S3's words.
    pub message: String,
}

/// Where objects are fetched from: S3, or what speaks like it.
#[async_trait]
pub trait Objects: Send + Sync + fmt::Debug {
    /// The whole object, which is not larger than so many bytes.
    async fn fetch(&self, address: &Address, most: usize) -> Result<Bytes, Refused>;
}

#[cfg(feature = "s3-destination")]
#[async_trait]
impl Objects for klr_s3::Objects {
    async fn fetch(&self, address: &Address, most: usize) -> Result<Bytes, Refused> {
        let Address { bucket, key, version } = address;
        let read = self.read(bucket, key, version.as_deref(), most).await;
        read.map_err(|klr_s3::Refused { code, message }| Refused { code, message })
    }
}

/// An object may be as large as what it unpacks to.
const LARGEST: usize = 262_144_000;

static BUCKET: Pattern = Pattern::new(r"[0-9A-Za-z\.\-_]*[0-9A-Za-z\-_]");

impl Address {
    /// Reads `S3Bucket`, `S3Key` and `S3ObjectVersion`.
    pub(super) fn read(fields: &Fields<'_>, place: &str) -> Result<Option<Self>, Error> {
        let (bucket, key) = (fields.owned("S3Bucket")?, fields.owned("S3Key")?);
        let version = fields.owned("S3ObjectVersion")?;
        let mut constraints = Constraints::default();
        let field = |member: &str| format!("{place}{member}");
        if let Some(bucket) = &bucket {
            constraints.length(&field("s3Bucket"), bucket, 3..=63);
            if !BUCKET.matches(bucket) {
                let pattern = r"[0-9A-Za-z\.\-_]*(?<!\.)";
                let constraint = format!("Member must satisfy regular expression pattern: {pattern}");
                constraints.broken(&field("s3Bucket"), bucket, constraint);
            }
        }
        if let Some(key) = &key {
            constraints.length(&field("s3Key"), key, 1..=1024);
        }
        if let Some(version) = &version {
            constraints.length(&field("s3ObjectVersion"), version, 1..=1024);
        }
        constraints.check()?;
        match (bucket, key) {
            (Some(bucket), Some(key)) => Ok(Some(Self { bucket, key, version })),
            (None, None) => Ok(None),
            _ => Err(Error::invalid("Please provide both S3Bucket and S3Key.")),
        }
    }
}

/// `S3ObjectStorageMode`, which makes no difference here: what is fetched is kept.
pub(in super::super) fn constrain_mode(
    fields: &Fields<'_>,
    place: &str,
    constraints: &mut Constraints,
) -> Result<(), Error> {
    if let Some(mode) = fields.text("S3ObjectStorageMode")? {
        constraints.one_of(&format!("{place}s3ObjectStorageMode"), mode, &["COPY", "REFERENCE"]);
    }
    Ok(())
}

/// The object, or what AWS says when it is not to be had.
pub(super) async fn fetch(objects: Option<&dyn Objects>, address: &Address) -> Result<Bytes, Error> {
    let Some(objects) = objects else {
        return Err(refused(&Refused {
            code: "NotImplemented".to_owned(),
            message: "this klr was built without S3: give the code as ZipFile".to_owned(),
        }));
    };
    objects.fetch(address, LARGEST).await.map_err(|error| refused(&error))
}

fn refused(Refused { code, message }: &Refused) -> Error {
    Error::invalid(format!(
        "Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {message}"
    ))
}
