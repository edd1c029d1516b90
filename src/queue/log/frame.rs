//! One frame: `length u32 | CRC-32 u32 | body`, little-endian. The body is of one of two kinds:
//!
//! * put: `1 | replaces u64 | head length u32 | head | payload`: an event, and how far it has come. It stands in for the
//!   frame at `replaces`, if that is one.
//! * done: `2 | place u64`: the event at that place is settled.
//!
//! Where the system has lost or never written a frame there are zeros, or what does not fit its sum.

use crc32fast::Hasher;

/// Length and sum.
pub(super) const PREFIX: usize = 8;
const PUT: u8 = 1;
const DONE: u8 = 2;
/// Kind, place, length of the head.
const PUT_PREFIX: usize = 1 + 8 + 4;
/// A frame of one that is settled.
pub(super) const DONE_SIZE: usize = PREFIX + 1 + 8;
/// The largest body there is: an event of 1 MB and an answer of 6 MB, each of its bytes escaped to six. What claims to be
/// longer is no frame.
pub(super) const LONGEST: usize = 64 << 20;

/// Where a frame is: the segment's number, and how many puts stand before it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place(pub u64);

impl Place {
    /// Nowhere.
    pub const NONE: Self = Self(u64::MAX);

    pub fn new(segment: u32, index: u32) -> Self {
        Self(u64::from(segment) << 32 | u64::from(index))
    }

    pub fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[allow(clippy::cast_possible_truncation, reason = "the lower half")]
    pub fn index(self) -> u32 {
        self.0 as u32
    }
}

/// What a body says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    Put { replaces: Place, head: &'a [u8], payload: &'a [u8] },
    Done(Place),
}

pub(super) fn put_size(head: &[u8], payload: &[u8]) -> usize {
    PREFIX + PUT_PREFIX + head.len() + payload.len()
}

/// Appends the frame of an event.
pub(super) fn put(out: &mut Vec<u8>, replaces: Place, head: &[u8], payload: &[u8]) {
    let length = u32::try_from(head.len()).expect("a head is a few megabytes at most");
    frame(out, |out| {
        out.push(PUT);
        out.extend(replaces.0.to_le_bytes());
        out.extend(length.to_le_bytes());
        out.extend(head);
        out.extend(payload);
    });
}

/// Appends the frame of one that is settled.
pub(super) fn done(out: &mut Vec<u8>, place: Place) {
    frame(out, |out| {
        out.push(DONE);
        out.extend(place.0.to_le_bytes());
    });
}

fn frame(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; PREFIX]);
    body(out);
    let length = u32::try_from(out.len() - start - PREFIX).expect("a frame is a few megabytes at most");
    let length = length.to_le_bytes();
    out[start..start + 4].copy_from_slice(&length);
    let sum = sum(length, &out[start + PREFIX..]).to_le_bytes();
    out[start + 4..start + PREFIX].copy_from_slice(&sum);
}

/// Length and sum of the body that follows. `None`: no frame begins here.
pub(super) fn prefix(bytes: [u8; PREFIX]) -> Option<(usize, u32)> {
    let [a, b, c, d, e, f, g, h] = bytes;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    let plausible = length > 0 && length <= LONGEST;
    plausible.then_some((length, u32::from_le_bytes([e, f, g, h])))
}

/// What the body says, if it is the one its prefix spoke of.
pub(super) fn body(bytes: &[u8], expected: u32) -> Option<Frame<'_>> {
    let length = u32::try_from(bytes.len()).ok()?;
    if sum(length.to_le_bytes(), bytes) != expected {
        return None;
    }
    let (kind, rest) = bytes.split_first()?;
    let (place, rest) = rest.split_first_chunk()?;
    let place = Place(u64::from_le_bytes(*place));
    match *kind {
        DONE => rest.is_empty().then_some(Frame::Done(place)),
        PUT => {
            let (length, rest) = rest.split_first_chunk()?;
            let (head, payload) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            Some(Frame::Put { replaces: place, head, payload })
        }
        _ => None,
    }
}

/// Over the length as well: zeros of any length would otherwise be right.
fn sum(length: [u8; 4], body: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&length);
    hasher.update(body);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Option<Frame<'_>> {
        let (first, rest) = bytes.split_first_chunk()?;
        let (length, sum) = prefix(*first)?;
        body(rest.get(..length)?, sum)
    }

    #[test]
    fn what_is_written_is_read_and_nothing_less() {
        let mut put_frame = Vec::new();
        put(&mut put_frame, Place::new(3, 4), b"{\"head\":1}", b"payload");
        assert_eq!(put_frame.len(), put_size(b"{\"head\":1}", b"payload"));
        let mut done_frame = Vec::new();
        done(&mut done_frame, Place::new(3, 4));
        assert_eq!(done_frame.len(), DONE_SIZE);
        assert_eq!(
            read(&put_frame),
            Some(Frame::Put { replaces: Place::new(3, 4), head: b"{\"head\":1}", payload: b"payload" })
        );
        assert_eq!(read(&done_frame), Some(Frame::Done(Place::new(3, 4))));
        for whole in [put_frame, done_frame] {
            for at in 0..whole.len() {
                assert_eq!(read(&whole[..at]), None, "cut off at {at}");
                let mut other = whole.clone();
                other[at] ^= 1;
                assert_eq!(read(&other), None, "another byte at {at}");
                let mut zeros = whole.clone();
                zeros[at..].fill(0);
                assert!(zeros == whole || read(&zeros).is_none(), "zeros from {at}");
            }
        }
        assert_eq!(read(&[0; 64]), None);
    }
}
