use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// One version of a function, as it is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The function's name.
    pub function: String,
    /// `$LATEST` or a number.
    pub version: String,
    /// Changes with each change of the version: what runs under an older one is replaced.
    pub revision: String,
    /// The AWS account it is said to be in.
    pub account: String,
    /// The region it is said to be in.
    pub region: String,
    /// `python3.13`, `provided.al2023`, …; none for images.
    pub runtime: Option<String>,
    /// What the API calls its build.
    pub runtime_version_arn: Option<String>,
    /// The handler; none for images.
    pub handler: Option<String>,
    /// How long one invocation may take.
    pub timeout: Duration,
    /// What it has: enforced where the system lets us.
    pub memory_mb: u32,
    /// Its own variables.
    pub environment: BTreeMap<String, String>,
    /// What runs.
    pub code: Code,
    /// In order: a later one wins.
    pub layers: Vec<Archive>,
    /// Its log.
    pub logging: Logging,
    /// Whether its hooks for snapshots are to run.
    pub snap_start: bool,
    /// The function's reserved concurrency: of all its versions together.
    pub reserved: Option<usize>,
    /// Its provisioned concurrency: processes that are kept, whether anybody calls or not.
    pub provisioned: usize,
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    /// A zip.
    Zip(Archive),
    /// A container image, by its reference. It is not run here.
    Image(String),
}

/// A zip on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Of its content: two of the same are unpacked once.
    pub sha256: String,
    /// Where it is.
    pub path: PathBuf,
}

/// How a function's log is written, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// `/aws/lambda/NAME` unless given.
    pub group: String,
    /// JSON instead of text.
    pub json: bool,
    /// With JSON: the least level of the function's own records.
    pub application_level: Option<String>,
    /// With JSON: the least level of the platform's.
    pub system_level: Option<String>,
}
