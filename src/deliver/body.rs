//! An event as a request's body, in the pieces it lies in.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use klr_contract::Pieces;

/// The body: one piece whole, several one after the other. Its length is told either way.
pub(super) fn of(event: Pieces) -> reqwest::Body {
    let length = event.len() as u64;
    let mut pieces = event.into_vec();
    match pieces.len() {
        1 => pieces.remove(0).into(),
        _ => reqwest::Body::wrap(Several { pieces: pieces.into_iter(), length }),
    }
}

struct Several {
    pieces: std::vec::IntoIter<Bytes>,
    /// What is still to come.
    length: u64,
}

impl Body for Several {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.next();
        self.length -= piece.as_ref().map_or(0, Bytes::len) as u64;
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.length == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}
