//! A record's JSON, and an event put together from it without a copy.

use std::fmt;
use std::ops::{Deref, Range};

use bytes::{Buf, Bytes, BytesMut};

/// The JSON of one record as it stands in the event: a part of the one buffer its pull (of its partition) came in, so
/// cloning it copies nothing.
#[derive(Clone)]
pub struct Fragment {
    buffer: Bytes,
    start: u32,
    end: u32,
}

impl Fragment {
    /// A part of a buffer. Fragments that lie side by side with a comma between them go into an event as one piece.
    pub fn of(buffer: &Bytes, range: Range<usize>) -> Self {
        let place = |at: usize| u32::try_from(at).expect("no pull is four gigabytes");
        assert!(range.end <= buffer.len(), "a fragment is a part of its buffer");
        Self { buffer: buffer.clone(), start: place(range.start), end: place(range.end) }
    }

    /// Its bytes, which keep the whole buffer.
    pub fn into_bytes(self) -> Bytes {
        let Range { start, end } = self.range();
        let mut bytes = self.buffer;
        bytes.truncate(end);
        bytes.advance(start);
        bytes
    }

    fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Whether nothing lies between `before` and this but a comma.
    fn follows(&self, before: &Self) -> bool {
        std::ptr::eq(self.buffer.as_ptr(), before.buffer.as_ptr())
            && self.start == before.end + 1
            && before.buffer.get(before.end as usize) == Some(&b',')
    }
}

impl Deref for Fragment {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[self.range()]
    }
}

impl<T: Into<Bytes>> From<T> for Fragment {
    fn from(whole: T) -> Self {
        let buffer = whole.into();
        let range = 0..buffer.len();
        Self::of(&buffer, range)
    }
}

impl PartialEq for Fragment {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Fragment {}

impl fmt::Debug for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.clone().into_bytes().fmt(f)
    }
}

/// An event in the pieces its bytes lie in: what is written here, and runs of fragments.
#[derive(Debug, Default)]
pub struct Pieces {
    done: Vec<Bytes>,
    /// Fragments side by side, the first and the last of them.
    run: Option<(Fragment, Fragment)>,
    /// What comes after the run.
    text: Vec<u8>,
    len: usize,
}

impl Pieces {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where to write what is no fragment.
    pub fn text(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.text.len();
        write(&mut self.text);
        self.len += self.text.len() - before;
    }

    /// Adds a record's fragment.
    pub fn fragment(&mut self, fragment: &Fragment) {
        self.len += fragment.len();
        match &mut self.run {
            Some((_, last)) if self.text == b"," && fragment.follows(last) => {
                *last = fragment.clone();
                self.text.clear();
            }
            _ => {
                self.cut();
                self.run = Some((fragment.clone(), fragment.clone()));
            }
        }
    }

    /// Bytes of the event.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces, in order.
    pub fn into_vec(mut self) -> Vec<Bytes> {
        self.cut();
        self.done
    }

    /// One piece: copied, unless it is one already.
    pub fn into_bytes(self) -> Bytes {
        let len = self.len;
        let mut pieces = self.into_vec();
        if let [_] = pieces[..] {
            return pieces.remove(0);
        }
        let mut whole = BytesMut::with_capacity(len);
        pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
        whole.freeze()
    }

    fn cut(&mut self) {
        if let Some((first, last)) = self.run.take() {
            self.done.push(first.buffer.slice(first.range().start..last.range().end));
        }
        if !self.text.is_empty() {
            self.done.push(std::mem::take(&mut self.text).into());
        }
    }
}

impl From<Bytes> for Pieces {
    fn from(whole: Bytes) -> Self {
        Self { len: whole.len(), done: vec![whole], ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(fragments: &[Fragment]) -> Vec<Bytes> {
        let mut pieces = Pieces::new();
        pieces.text(|out| out.push(b'['));
        for (number, fragment) in fragments.iter().enumerate() {
            if number > 0 {
                pieces.text(|out| out.push(b','));
            }
            pieces.fragment(fragment);
        }
        pieces.text(|out| out.push(b']'));
        let len = pieces.len();
        let pieces = pieces.into_vec();
        assert_eq!(len, pieces.iter().map(Bytes::len).sum::<usize>());
        pieces
    }

    #[test]
    fn fragments_side_by_side_are_one_piece() {
        let buffer = Bytes::from_static(b"{1},{2},{3}.{4},");
        let at = |start: usize| Fragment::of(&buffer, start..start + 3);
        assert_eq!(pieces(&[at(0), at(4), at(8)]), ["[", "{1},{2},{3}", "]"]);
        assert_eq!(pieces(&[at(0), at(8)]), ["[", "{1}", ",", "{3}", "]"], "one is left out");
        assert_eq!(pieces(&[at(4), at(0)]), ["[", "{2}", ",", "{1}", "]"], "out of order");
        assert_eq!(pieces(&[at(8), at(12)]), ["[", "{3}", ",", "{4}", "]"], "something else lies between");
        let other = Fragment::from(buffer.slice(4..7));
        assert_eq!(pieces(&[at(0), other]), ["[", "{1}", ",", "{2}", "]"], "of another pull");
        assert_eq!(pieces(&[]), ["[]"]);
    }

    #[test]
    fn a_fragment_is_what_it_shows() {
        let buffer = Bytes::from_static(b"abc");
        assert_eq!(Fragment::of(&buffer, 1..2), Fragment::from("b"));
        assert_eq!(&*Fragment::of(&buffer, 1..2).into_bytes(), b"b");
        assert_eq!(Pieces::from(buffer.clone()).into_bytes().as_ptr(), buffer.as_ptr(), "not copied");
    }
}
