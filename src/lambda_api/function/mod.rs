//! Functions: their configuration, code, versions, aliases and tags.

mod list;
mod model;
mod resolve;

use std::sync::Arc;

use axum::{Router, routing::get};

pub use self::{
    model::*,
    resolve::{Resolved, find, resolve},
};
use super::Api;

/// The paths of this area.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/2015-03-31/functions", get(list::functions))
}
