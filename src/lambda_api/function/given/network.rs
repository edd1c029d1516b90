//! Networks and file systems: recorded, but held against each other as AWS does.

use super::super::{super::error::Error, Config, Vpc};

/// Whether subnets, security groups and mounts go together; `vpc` and `mounts` say which of them were given now.
pub(super) fn check(config: &Config, vpc: bool, mounts: bool) -> Result<(), Error> {
    let half = |vpc: &Vpc| vpc.subnets.is_empty() != vpc.security_groups.is_empty();
    if config.vpc.as_ref().is_some_and(half) {
        return Err(Error::invalid("SubnetIds and SecurityIds must coexist or be both empty list."));
    }
    let outside = config.vpc.as_ref().is_none_or(|vpc| vpc.subnets.is_empty());
    // Access points of EFS are reached within a VPC only.
    match config.file_systems.first() {
        Some(mount) if outside && mounts => Err(Error::invalid(format!(
            "Function must be configured to execute in a VPC to reference access point {}.",
            mount.arn
        ))),
        Some(mount) if outside && vpc => Err(Error::invalid(format!(
            "Function VPC configuration cannot be removed with access point {} referenced.",
            mount.arn
        ))),
        _ => Ok(()),
    }
}
