//! Event source mappings as resources: the API's side of what the engine runs.
//!
//! A mapping is kept with the [settings](settings) it was told, what is implied filled in, and the [state](resource::State) it is
//! in. A request is checked three times: by its model (`front`), by AWS's rules for its kind of source (`check`), and by
//! what reads files, since a mapping is run from the very [document] a file would hold. A change is answered
//! once it is durable, and carried out after that ([life]), by a [`Runner`] that the process brings.

mod change;
mod check;
mod document;
mod front;
mod invoker;
mod kind;
mod life;
mod resource;
mod runner;
mod settings;
mod show;
mod tags;
mod target;
#[cfg(test)]
#[cfg(all(feature = "sqs", feature = "kafka", feature = "kinesis", feature = "dynamodb"))]
mod tests;

use std::sync::Arc;

use axum::{Router, routing::get};

use super::Api;
pub use invoker::Local;
pub use life::{Mappings, end, run};
pub use resource::{Mapping, State};
pub use runner::{Function, Refused, Runner};
pub(super) use tags::{tag, tags};

/// The paths of this area.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/2015-03-31/event-source-mappings", get(show::list).post(change::create)).route(
        "/2015-03-31/event-source-mappings/{uuid}",
        get(show::get).put(change::update).delete(change::delete),
    )
}
