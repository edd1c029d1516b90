//! One invocation's place: counted from its acceptance to the end of its answer.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use klr_host::Cut;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{answer::Refusal, instance::Instance};

/// A place. Dropped, it is given up.
pub(super) struct Seat {
    instance: Arc<Instance>,
    /// The instance does not end meanwhile.
    _call: TaskTrackerToken,
    running: Arc<AtomicUsize>,
}

impl Seat {
    /// To be called where nothing else raises `running` at the same time.
    pub(super) fn new(instance: Arc<Instance>, running: Arc<AtomicUsize>) -> Self {
        running.fetch_add(1, SeqCst);
        Self { _call: instance.enter(), instance, running }
    }

    /// Invokes. The place is taken until the answer's body is read, where that is made while it is read.
    pub(super) async fn call(self, request: Request<Bytes>) -> Result<Response<Body>, Refusal> {
        let answer = self.instance.call(request).await?;
        let (head, body) = answer.into_parts();
        let body = match body {
            klr_host::Body::Whole(bytes) => Body::from(bytes),
            body @ klr_host::Body::Parts(_) => Body::new(Held { body, _seat: self }),
        };
        Ok(Response::from_parts(head, body))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.instance.touch();
        self.running.fetch_sub(1, SeqCst);
    }
}

/// A body that holds a place.
struct Held {
    body: klr_host::Body,
    _seat: Seat,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
