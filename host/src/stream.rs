//! A reply on its way while the function still makes it.

use bytes::Bytes;
use http::HeaderValue;
use tokio::sync::mpsc;

/// Parts under way. A part is as large as what the function wrote at once, so few are enough, and few bound the memory.
const PARTS: usize = 2;

/// A part of a streamed reply.
#[derive(Debug)]
pub(crate) enum Part {
    /// The first: the function streams, and calls it this.
    Head(Option<HeaderValue>),
    /// Some of it.
    Data(Bytes),
}

/// The function's end. It waits while the caller reads no further.
pub(crate) type Sender = mpsc::Sender<Part>;
/// The caller's end.
pub(crate) type Receiver = mpsc::Receiver<Part>;

/// Both ends.
pub(crate) fn channel() -> (Sender, Receiver) {
    mpsc::channel(PARTS)
}
