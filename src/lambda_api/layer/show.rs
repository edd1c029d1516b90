//! GetLayerVersion, GetLayerVersionByArn, DeleteLayerVersion.

use std::sync::Arc;

use axum::extract::{Path, State};

use super::{
    model::version_key,
    name::{self, Named, VERSION_ARN},
    number,
};
use crate::lambda_api::{
    Api, Error,
    answer::{Answer, empty, ok},
    body::Constraints,
    code::Reached,
};

fn missing() -> Error {
    Error::not_found("The resource you requested does not exist.")
}

pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Path((layer, version)): Path<(String, String)>,
    reached: Reached,
) -> Answer {
    let mut constraints = Constraints::default();
    let named = Named::read(&layer, &mut constraints);
    constraints.check()?;
    let number = number(&version)?;
    match super::own(&api, &named) {
        Some(name) => whole(&api, name, number, &reached),
        None => Err(api.identity().denied("GetLayerVersion", &format!("{layer}:{number}"))),
    }
}

/// GetLayerVersionByArn.
pub(super) fn by_arn(api: &Api, arn: Option<&str>, reached: &Reached) -> Answer {
    let mut constraints = Constraints::default();
    match arn {
        Some(arn) => constraints.pattern("arn", arn, &VERSION_ARN),
        None => constraints.missing("arn"),
    }
    constraints.check()?;
    let arn = arn.unwrap_or_default();
    let version = name::Version::parse(arn).ok_or_else(missing)?;
    let named = Named { home: Some(version.home), name: version.name };
    match super::own(api, &named) {
        Some(name) => whole(api, name, version.number, reached),
        None => Err(api.identity().denied("GetLayerVersion", arn)),
    }
}

fn whole(api: &Api, name: &str, number: u64, reached: &Reached) -> Answer {
    let version = api.layer_versions.get(&version_key(name, number)).ok_or_else(missing)?;
    ok(&version.whole(api.identity(), &api.location(reached, &version.code)))
}

/// Whether or not it was there. Functions that use it go on: they hold its code.
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path((layer, version)): Path<(String, String)>,
) -> Answer {
    let mut constraints = Constraints::default();
    let named = Named::read(&layer, &mut constraints);
    constraints.check()?;
    let number = number(&version)?;
    let Some(name) = super::own(&api, &named) else {
        return Err(api.identity().denied("DeleteLayerVersion", &format!("{layer}:{number}")));
    };
    let mut change = api.change().await;
    change.remove(&api.layer_versions, version_key(name, number));
    change.commit().await?;
    api.sweep_soon();
    empty()
}
