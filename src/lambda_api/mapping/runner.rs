//! Who runs mappings: what this API asks of whoever has the sources' clients, and what it gives for the asking.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::body::Body;
use bytes::Bytes;
use http::Response;
use uuid::Uuid;

use crate::{config, mapping::Status};

/// Why a source cannot be read, in AWS's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Runs mappings. What it runs goes on by itself, through a source that is not there as well, until it is stopped.
#[async_trait]
pub trait Runner: Send + Sync + 'static {
    /// Whether the source is there and fits a function that may take so long. Asked before a mapping is made or changed.
    async fn check(&self, mapping: &config::Mapping, timeout: Duration) -> Result<(), Refused>;

    /// Begins to run a mapping that does not run. Its batches go to `function`, whatever it has as its target.
    fn start(&self, mapping: config::Mapping, function: Arc<dyn Function>) -> Arc<Status>;

    /// Stops a mapping, if it runs; returns when all it holds is settled or given back.
    async fn stop(&self, uuid: Uuid);

    /// Shows a mapping that is not to run.
    fn rest(&self, mapping: &config::Mapping);

    /// Forgets a mapping that is stopped: shows it no more, and where it was in its source.
    async fn forget(&self, mapping: &config::Mapping);
}

/// The function of a mapping, looked up anew for each batch: an alias may point elsewhere by then.
#[async_trait]
pub trait Function: Send + Sync + 'static {
    /// How long it may take; `None`: there is no such function.
    fn timeout(&self) -> Option<Duration>;

    /// How often it may run at once here; `None`: nobody can say.
    fn places(&self) -> Option<usize>;

    /// Invokes it, and answers as the Invoke API does.
    async fn invoke(&self, event: Bytes) -> Response<Body>;
}
