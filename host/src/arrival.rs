//! A caller's event on its way in: it is read first, and then takes its place among those that run and wait. Who sends slowly
//! holds nothing but the bytes that have come.

use std::{
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::{
    flight::Place,
    function::Function,
    serve::{Unread, discard, read},
};

/// How long an event may be on its way.
const WITHIN: Duration = Duration::from_secs(60);

/// Why an event did not get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Unread(Unread),
    /// There is no place for it, or none for so much that is still on its way.
    Saturated,
}

/// Reads an event of at most `limit` bytes, in good time, and takes a place for it.
pub(crate) async fn receive(
    function: &Function,
    mut body: impl Body<Data = Bytes> + Unpin,
    limit: usize,
) -> Result<(Place, Bytes), Refused> {
    if function.full() {
        return Err(turned_away(function, body).await);
    }
    let mut arriving = Arriving { body: &mut body, room: &function.room, taken: 0, refused: false };
    let received = tokio::time::timeout(WITHIN, read(&mut arriving, limit)).await;
    let refused = arriving.refused;
    drop(arriving);
    match received {
        Ok(Ok((event, _))) => match function.admit() {
            Ok(place) => Ok((place, event)),
            Err(_) => Err(Refused::Saturated),
        },
        Ok(Err(_)) if refused => Err(turned_away(function, body).await),
        Ok(Err(unread)) => Err(Refused::Unread(unread)),
        Err(_) => Err(Refused::Unread(Unread::TooSlow)),
    }
}

async fn turned_away(function: &Function, rest: impl Body<Data = Bytes> + Unpin) -> Refused {
    discard(rest).await;
    function.throttle();
    Refused::Saturated
}

/// Bytes that there is room for, of all events together that have come in part.
#[derive(Debug)]
pub(crate) struct Room(AtomicUsize);

impl Room {
    pub(crate) fn of(bytes: usize) -> Self {
        Self(AtomicUsize::new(bytes))
    }

    fn take(&self, bytes: usize) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |free| free.checked_sub(bytes)).is_ok()
    }
}

/// An event that takes room as it comes, and gives it back with this value.
struct Arriving<'a, B> {
    body: B,
    room: &'a Room,
    taken: usize,
    /// There was no room.
    refused: bool,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Arriving<'_, B> {
    type Data = Bytes;
    type Error = ();

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ()>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        let Ok(frame) = frame else { return Poll::Ready(Some(Err(()))) };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        // With its last bytes an event is about to take a place, or to go. Most have no others.
        if !self.body.is_end_stream() {
            if !self.room.take(bytes) {
                self.refused = true;
                return Poll::Ready(Some(Err(())));
            }
            self.taken += bytes;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Arriving<'_, B> {
    fn drop(&mut self) {
        self.room.0.fetch_add(self.taken, Relaxed);
    }
}
