//! Layers: zips that functions share, in versions that never change.

mod list;
mod model;
mod name;
mod policy;
mod publish;
mod resolve;
mod runtimes;
mod show;

use std::sync::Arc;

use axum::{
    Router,
    routing::{delete, get},
};

pub use self::model::{Layer, Policy, Version};
use self::name::Named;
pub(super) use self::resolve::{constrain, resolve, there};
use super::{Api, Error};

/// The paths of this area.
pub(super) fn routes() -> Router<Arc<Api>> {
    let version = "/2018-10-31/layers/{layer}/versions/{number}";
    Router::new()
        .route("/2018-10-31/layers", get(list::layers))
        .route("/2018-10-31/layers/{layer}/versions", get(list::versions).post(publish::publish))
        .route(version, get(show::show).delete(show::delete))
        .route(&format!("{version}/policy"), get(policy::show).post(policy::add))
        .route(&format!("{version}/policy/{{sid}}"), delete(policy::remove))
}

/// The name, if the layer is one of this account and region.
fn own<'a>(api: &Api, named: &Named<'a>) -> Option<&'a str> {
    let identity = api.identity();
    let here = |home: name::Home<'_>| home.account == identity.account && home.region == identity.region;
    named.home.is_none_or(here).then_some(named.name)
}

/// The number of a version in a path.
fn number(text: &str) -> Result<u64, Error> {
    match text.parse::<i64>() {
        Ok(number) => u64::try_from(number).map_err(|_| too_low()).and_then(|number| match number {
            0 => Err(too_low()),
            number => Ok(number),
        }),
        Err(_) => Err(Error::new(
            super::Code::Serialization,
            format!("STRING_VALUE '{text}' can not be converted to a Long"),
        )),
    }
}

fn too_low() -> Error {
    Error::invalid("Layer Version Cannot be less than 1")
}

#[cfg(test)]
mod tests;
