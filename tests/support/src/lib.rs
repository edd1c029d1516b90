//! Real servers, a recording sink and the built `klr`, for the tests.
//!
//! Everything here blocks and panics: a test that cannot set its scene has failed. From async tests call it before the
//! runtime has work, or under `spawn_blocking`.
//!
//! What a desk may lack (Java, Python, the shared fixtures) answers `None` after a loud SKIP on stderr; under `CI=true`
//! it panics instead, so that nothing is skipped in silence.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub mod built;
#[cfg(any(feature = "sqs", feature = "kinesis", feature = "dynamodb"))]
mod calls;
pub mod client;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;
pub mod handed;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "kinesis")]
pub mod kinesis;
pub mod klr;
pub mod python;
pub mod random;
pub mod s3;
pub mod servers;
pub mod sink;
#[cfg(feature = "sqs")]
pub mod sns;
#[cfg(feature = "sqs")]
pub mod sqs;
pub mod tls;

/// The reference fixtures, read where they lie: `KLR_FIXTURES`, else `../shared/fixtures` beside the workspace.
pub fn fixtures() -> Option<PathBuf> {
    let dir = std::env::var_os("KLR_FIXTURES")
        .map_or_else(|| workspace().join("../shared/fixtures"), |set| workspace().join(set));
    if !dir.is_dir() {
        servers::unavailable(
            "the fixtures",
            &format!("{} is not a directory; set KLR_FIXTURES", dir.display()),
        );
        return None;
    }
    Some(dir)
}

/// The root of the checkout.
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Asks until the answer is yes; false when `timeout` passes first.
pub fn eventually(timeout: Duration, mut test: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + timeout;
    loop {
        if test() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
