use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use tokio_util::sync::DropGuard;

use crate::{Body, Error, Metrics, Settings, front, function::Function, host};

/// A function without a port: it is called from within this program, as Lambda's Invoke API would be. Dropping it kills the
/// function's process; [`stop`](Self::stop) ends it properly.
pub struct Embedded {
    function: Arc<Function>,
    _kill: DropGuard,
}

impl Embedded {
    /// Starts the function. Waits for its first process, unless it is [`lazy`](Settings::lazy).
    pub async fn start(settings: Settings) -> Result<Self, Error> {
        let function = host::prepare(settings).await?;
        let kill = function.plan.kill.clone().drop_guard();
        host::start_first(&function).await;
        Ok(Self { function, _kill: kill })
    }

    /// Answers a request of the Invoke API's: Invoke or InvokeWithResponseStream, by its path. What it is known by may be
    /// given as a [`RequestId`](crate::RequestId). A request with a [`Visit`](crate::Visit) is one to the function's URL.
    /// Dropped, it does not start any more; once started it is finished.
    pub async fn call(&self, request: Request<Bytes>) -> Response<Body> {
        front::call(&self.function, request).await
    }

    /// What was done so far.
    pub fn metrics(&self) -> &Metrics {
        &self.function.metrics
    }

    /// Finishes what was accepted for at most `within`, then ends the process. Nothing of it is left on return. Nothing is to
    /// be called after.
    pub async fn stop(&self, within: Duration) {
        host::finish(&self.function, std::future::ready(()), within).await;
    }
}
