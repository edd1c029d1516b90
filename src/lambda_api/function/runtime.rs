//! Which runtimes there are.

use sha2::{Digest, Sha256};

use super::{
    super::{error::Error, name::Identity},
    Config,
};
use crate::hex::hex;

/// Those AWS names when it refuses one, in its order.
pub(in super::super) const NAMED: &str = "[nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, nodejs22.x, java17, \
    nodejs16.x, java25, dotnet8, python3.10, java11, python3.11, dotnet6, java21, nodejs18.x, provided.al2, ruby3.3, ruby3.4, \
    java8.al2, ruby3.2, python3.8, python3.9]";

/// Those it takes without naming them yet.
const NEWER: [&str; 8] = [
    "dotnet10",
    "java8.al2023",
    "java11.al2023",
    "java17.al2023",
    "nodejs26.x",
    "python3.15",
    "ruby4.0",
    "ruby3.5",
];

/// Those nothing is created with any more.
const RETIRED: [&str; 21] = [
    "dotnetcore1.0",
    "dotnetcore2.0",
    "dotnetcore2.1",
    "dotnetcore3.1",
    "go1.x",
    "java8",
    "nodejs",
    "nodejs4.3",
    "nodejs4.3-edge",
    "nodejs6.10",
    "nodejs8.10",
    "nodejs10.x",
    "nodejs12.x",
    "nodejs14.x",
    "provided",
    "python2.7",
    "python3.6",
    "python3.7",
    "ruby2.5",
    "ruby2.7",
    "nodejs8.9",
];

/// Those that can start from a snapshot.
const SNAPSHOTS: [&str; 11] = [
    "java11",
    "java17",
    "java21",
    "java25",
    "java11.al2023",
    "java17.al2023",
    "python3.12",
    "python3.13",
    "python3.14",
    "dotnet8",
    "dotnet10",
];

/// Whether a function may be created with this runtime, or moved to it.
pub(super) fn check(runtime: &str) -> Result<(), Error> {
    let named = NAMED.trim_matches(['[', ']']).split(", ").any(|name| name == runtime);
    if named || NEWER.contains(&runtime) {
        return Ok(());
    }
    if RETIRED.contains(&runtime) {
        return Err(Error::invalid(format!(
            "The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions. We \
             recommend you use a supported runtime while creating or updating functions."
        )));
    }
    Err(Error::invalid(format!(
        "Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: {NAMED} or be a valid \
         ARN"
    )))
}

/// Whether a published version may start from a snapshot.
pub(super) fn check_snapshot(runtime: &str) -> Result<(), Error> {
    if SNAPSHOTS.contains(&runtime) {
        return Ok(());
    }
    Err(Error::invalid(format!("{runtime} is not supported for SnapStart enabled functions.")))
}

/// AWS: "SnapStart does not support […] ephemeral storage greater than 512 MB". (Lambda's guide. Its answer nobody has shown;
/// this follows the one for runtimes.)
pub(super) fn check_snapshot_storage(config: &Config) -> Result<(), Error> {
    if config.snap_start == "PublishedVersions" && config.ephemeral_storage > 512 {
        return Err(Error::invalid(
            "EphemeralStorage greater than 512 MB is not supported for SnapStart enabled functions.",
        ));
    }
    Ok(())
}

/// What AWS gives each build of a runtime; here there is one build of each.
pub fn version_arn(identity: &Identity, runtime: &str) -> String {
    let digest = hex(&Sha256::digest(runtime.as_bytes()));
    format!("arn:{}:lambda:{}::runtime:{digest}", identity.partition(), identity.region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_answers() {
        check("python3.12").unwrap();
        check("nodejs26.x").unwrap();
        let said = |runtime| check(runtime).unwrap_err().message().to_owned();
        assert!(said("python3.7").starts_with("The runtime parameter of python3.7 is no longer supported"));
        let unknown = said("non-existent-runtime");
        assert!(unknown.starts_with(
            "Value non-existent-runtime at 'runtime' failed to satisfy constraint: Member must"
        ));
        assert!(unknown.ends_with("python3.8, python3.9] or be a valid ARN"));
        check_snapshot("java21").unwrap();
        assert_eq!(
            check_snapshot("nodejs22.x").unwrap_err().message(),
            "nodejs22.x is not supported for SnapStart enabled functions."
        );
    }
}
