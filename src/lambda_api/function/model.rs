//! What is kept of a function.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::super::{Error, code::UNPACKED, name::Identity};
use crate::hex::hex;

/// What all versions of a function share. Its configuration is that of its version 0, `$LATEST`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// Bare.
    pub name: String,
    /// The number the next published version gets; numbers are never used again.
    pub next_version: u64,
    /// Its tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// One version: `$LATEST`, or a published one, which never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// The function's name.
    pub function: String,
    /// 0: `$LATEST`.
    pub number: u64,
    /// Anew on each change; see [`revision`](Self::revision).
    pub revision_id: String,
    /// When it was changed last.
    pub last_modified: Timestamp,
    /// Until then it is `Pending`.
    pub active_from: Timestamp,
    /// Until then its last update is `InProgress`.
    pub updated_from: Timestamp,
    /// A digest of code and configuration. A published version has that of the `$LATEST` it was: equal means that there is
    /// nothing to publish. Unlike the revision it says whether something else is to run.
    pub content: String,
    /// What runs.
    pub code: Code,
    /// The key its zip is encrypted by: recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_key: Option<String>,
    /// How it runs.
    pub config: Config,
}

impl Version {
    /// `$LATEST`, or the number.
    pub fn qualifier(&self) -> String {
        if self.number == 0 { "$LATEST".to_owned() } else { self.number.to_string() }
    }

    /// Being created.
    pub fn is_pending(&self, now: Timestamp) -> bool {
        now < self.active_from
    }

    /// Being updated.
    pub fn is_updating(&self, now: Timestamp) -> bool {
        now < self.updated_from
    }

    /// The revision shown now: on AWS it changes once more when a creation or an update settles.
    pub fn revision(&self, now: Timestamp) -> String {
        if !self.is_pending(now) && !self.is_updating(now) {
            return self.revision_id.clone();
        }
        Uuid::new_v5(&Uuid::NAMESPACE_OID, self.revision_id.as_bytes()).to_string()
    }

    /// Its own ARN, with the version.
    pub fn arn(&self, identity: &Identity) -> String {
        identity.function(&self.function, Some(&self.qualifier()))
    }
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Code {
    /// A zip in the [code store](super::super::code).
    Zip(Archive),
    /// A container image, by reference.
    Image {
        /// As it was given.
        uri: String,
        /// What stands for its digest.
        sha256: String,
    },
}

/// A zip that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// Base64, as AWS shows it.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// The same unpacked; 0 of what was kept before this was.
    #[serde(default)]
    pub unpacked: u64,
}

/// How a version runs. Names are those of AWS's FunctionConfiguration; what was not given is `None` or AWS's default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// `None` for images.
    pub runtime: Option<String>,
    /// `None` for images.
    pub handler: Option<String>,
    /// Recorded, not assumed.
    pub role: String,
    /// May be empty.
    pub description: String,
    /// Seconds.
    pub timeout: u32,
    /// Megabytes.
    pub memory_size: u32,
    /// `None`: was never given; `{}` is shown.
    pub environment: Option<BTreeMap<String, String>>,
    /// In order.
    pub layers: Vec<LayerUse>,
    /// An SQS queue or SNS topic for asynchronous invocations that failed.
    pub dead_letter: Option<String>,
    /// Recorded.
    pub vpc: Option<Vpc>,
    /// Recorded.
    pub kms_key: Option<String>,
    /// `PassThrough`, `Active`.
    pub tracing: String,
    /// Recorded.
    pub file_systems: Vec<FileSystem>,
    /// `Zip`, `Image`.
    pub package_type: String,
    /// For images.
    pub image_config: Option<ImageConfig>,
    /// One: `x86_64`, `arm64`.
    pub architectures: Vec<String>,
    /// Megabytes of `/tmp`.
    pub ephemeral_storage: u32,
    /// `None`, `PublishedVersions`.
    pub snap_start: String,
    /// Where logs go, and how they look.
    pub logging: Logging,
}

/// A layer version in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerUse {
    /// The layer version's.
    pub arn: String,
    /// Its zip; the function goes on when the layer version is deleted.
    pub code: Archive,
}

/// What was given; networks are the machine's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    /// `subnet-…`
    pub subnets: Vec<String>,
    /// `sg-…`
    pub security_groups: Vec<String>,
    /// IPv6 out of dual-stack subnets.
    pub ipv6: bool,
}

impl Vpc {
    /// What stands for the VPC the subnets are in.
    pub fn id(&self) -> String {
        let Some(subnet) = self.subnets.first() else { return String::new() };
        let digest = hex(&Sha256::digest(subnet.as_bytes()));
        format!("vpc-{}", &digest[..17])
    }
}

/// A mount, recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSystem {
    /// Of an access point.
    pub arn: String,
    /// `/mnt/…`
    pub path: String,
}

/// What an image's own settings are overridden with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// `ENTRYPOINT`
    pub entry_point: Option<Vec<String>>,
    /// `CMD`
    pub command: Option<Vec<String>>,
    /// `WORKDIR`
    pub working_directory: Option<String>,
}

/// Where logs go, and how they look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// `Text`, `JSON`.
    pub format: String,
    /// With JSON alone.
    pub application_level: Option<String>,
    /// With JSON alone.
    pub system_level: Option<String>,
    /// `/aws/lambda/NAME` unless given.
    pub group: String,
}

/// A name for a version, or for two with weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alias {
    /// The function's name.
    pub function: String,
    /// Its own.
    pub name: String,
    /// `$LATEST` or a number.
    pub version: String,
    /// May be empty.
    pub description: String,
    /// Anew on each change.
    pub revision_id: String,
    /// The other version, and the share of invocations it gets.
    pub routing: Option<Routing>,
}

/// A second version behind an alias.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Routing {
    /// A number.
    pub version: String,
    /// Between 0 and 1.
    pub weight: f64,
}

/// Refuses layers that are too large beside the code. AWS: they share what a function may unpack.
pub fn check_unpacked(code: &Code, config: &Config) -> Result<(), Error> {
    let own = match code {
        Code::Zip(archive) => archive.unpacked,
        Code::Image { .. } => 0,
    };
    let actual = config.layers.iter().fold(own, |sum, layer| sum.saturating_add(layer.code.unpacked));
    if actual > UNPACKED {
        return Err(Error::invalid(format!(
            "Function code combined with layers exceeds the maximum allowed size of {UNPACKED} bytes. The actual size is \
             {actual} bytes."
        )));
    }
    Ok(())
}

/// What [`Version::content`] is for this code and configuration.
pub fn content(code: &Code, config: &Config) -> String {
    let bytes = serde_json::to_vec(&(code, config)).expect("plain members");
    base64_simd::STANDARD.encode_to_string(Sha256::digest(bytes))
}

/// A version's key on its shelf; keys of one function follow one another by number.
pub fn version_key(function: &str, number: u64) -> String {
    format!("{function}:{number:010}")
}

/// An alias's key on its shelf.
pub fn alias_key(function: &str, alias: &str) -> String {
    format!("{function}:{alias}")
}
