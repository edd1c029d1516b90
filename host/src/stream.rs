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

/// What a function begins to stream, if it streams, and what is to come of the invocation. That may be known already: a short
/// stream may all be on its way when its end is told.
pub(crate) async fn first<D, F: Future<Output = D> + Unpin>(
    parts: &mut Receiver,
    mut invoking: F,
) -> (Option<Part>, impl Future<Output = D> + use<D, F>) {
    let (part, done) = tokio::select! {
        part = parts.recv() => (part, None),
        done = &mut invoking => (parts.try_recv().ok(), Some(done)),
    };
    let told = async move {
        match done {
            Some(done) => done,
            None => invoking.await,
        }
    };
    (part, told)
}

/// Both ends.
pub(crate) fn channel() -> (Sender, Receiver) {
    mpsc::channel(PARTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_short_stream_is_one_also_when_its_end_is_told_already() {
        for _ in 0..64 {
            let (sender, mut parts) = channel();
            sender.send(Part::Head(None)).await.unwrap();
            drop(sender);
            let (first, _) = super::first(&mut parts, std::future::ready(())).await;
            assert!(matches!(first, Some(Part::Head(None))));
        }
        let (_sender, mut parts) = channel();
        let (none, told) = super::first(&mut parts, std::future::ready(1)).await;
        assert!(none.is_none());
        assert_eq!(told.await, 1);
    }
}
