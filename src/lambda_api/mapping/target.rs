//! The function a mapping's batches go to, as the API itself would invoke it.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use axum::body::Body;
use bytes::Bytes;
use http::{Response, StatusCode};
use uuid::Uuid;

use super::{
    super::{
        Api,
        function::{self, Version},
        name::{Form, Name},
    },
    runner::Function,
};

/// A function by its ARN.
pub(super) struct Target {
    /// Weak: the API holds who runs the mapping, and so this.
    api: Weak<Api>,
    arn: String,
}

impl Target {
    pub fn new(api: &Arc<Api>, arn: String) -> Self {
        Self { api: Arc::downgrade(api), arn }
    }

    /// What its name means now, if anything.
    fn version(&self) -> Option<Arc<Version>> {
        let api = self.api.upgrade()?;
        let name = Name::parse(&self.arn, None, Form::Plain, "InvokeFunction", api.identity()).ok()?;
        Some(function::resolve(&api, &name).ok()?.version)
    }

    /// Its execution role.
    pub fn role(&self) -> Option<String> {
        Some(self.version()?.config.role.clone())
    }
}

#[async_trait]
impl Function for Target {
    fn timeout(&self) -> Option<Duration> {
        Some(Duration::from_secs(self.version()?.config.timeout.into()))
    }

    fn places(&self) -> Option<usize> {
        Some(self.api.upgrade()?.fleet.get()?.places())
    }

    async fn invoke(&self, event: Bytes) -> Response<Body> {
        let Some(api) = self.api.upgrade() else {
            // Only while the process ends.
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return answer;
        };
        api.invoke(&self.arn, Uuid::new_v4(), None, event).await
    }
}
