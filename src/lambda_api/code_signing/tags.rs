//! The tags of a code signing configuration, which the tagging operations change.

use std::collections::BTreeMap;

use super::{Config, find};
use crate::lambda_api::{Api, Error};

type Tags = BTreeMap<String, String>;

/// Those it has.
pub(in crate::lambda_api) fn tags(api: &Api, arn: &str) -> Result<Tags, Error> {
    Ok(find(api, arn)?.tags.clone())
}

/// Changes them.
pub(in crate::lambda_api) async fn tag(
    api: &Api,
    arn: &str,
    edit: impl FnOnce(&mut Tags) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut change = api.change().await;
    let mut config = Config::clone(&*find(api, arn)?);
    edit(&mut config.tags)?;
    change.put(&api.code_signing.configs, arn, config);
    Ok(change.commit().await?)
}
