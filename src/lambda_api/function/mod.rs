//! Functions: their configuration, code, versions, aliases and tags.

mod alias;
mod create;
mod delete;
mod get;
mod given;
mod list;
mod model;
mod publish;
mod resolve;
mod runtime;
mod show;
mod tags;
#[cfg(test)]
mod tests;
mod told;
mod update;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, put},
};
use jiff::Timestamp;

#[cfg(test)]
pub(super) use self::create::defaults;
pub(super) use self::runtime::NAMED;
pub(super) use self::tags::check as check_tags;
pub use self::{
    model::*,
    resolve::{Resolved, find, resolve, version},
    runtime::version_arn,
    told::told,
};
use super::{Api, Error};

/// The paths of this area.
pub(super) fn routes() -> Router<Arc<Api>> {
    let function = "/2015-03-31/functions/{name}";
    Router::new()
        .route("/2015-03-31/functions", get(list::functions).post(create::function))
        .route(function, get(get::function).delete(delete::function))
        .route(&format!("{function}/configuration"), get(get::configuration).put(update::configuration))
        .route(&format!("{function}/code"), put(update::code))
        .route(&format!("{function}/versions"), get(list::versions).post(publish::version))
        .route(&format!("{function}/aliases"), get(alias::list).post(alias::create))
        .route(
            &format!("{function}/aliases/{{alias}}"),
            get(alias::get).put(alias::update).delete(alias::delete),
        )
        .route("/2017-03-31/tags/{resource}", get(tags::list).post(tags::add).delete(tags::remove))
}

/// Refuses a change of what is still being made.
fn settled(version: &Version, api: &Api, now: Timestamp) -> Result<(), Error> {
    if version.is_pending(now) {
        return Err(Error::conflict(
            "The operation cannot be performed at this time. The function is currently in the following state: Pending",
        ));
    }
    if version.is_updating(now) {
        let arn = api.identity().function(&version.function, None);
        return Err(Error::conflict(format!(
            "The operation cannot be performed at this time. An update is in progress for resource: {arn}"
        )));
    }
    Ok(())
}

/// Refuses a change by somebody who has seen another revision.
fn same_revision(seen: Option<&str>, version: &Version, now: Timestamp) -> Result<(), Error> {
    match seen {
        Some(seen) if seen != version.revision(now) => Err(Error::stale()),
        _ => Ok(()),
    }
}
