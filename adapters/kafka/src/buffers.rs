//! Buffers that come back when the last fragment in them is gone.
//!
//! Fragments are written here and freed where their batch ended, on another thread. Left to the allocator, that memory goes
//! back to the system and comes anew, page by page, cleared by the kernel each time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// They never grow, since growing copies. (One that a longer fragment needs is as long as that, and does not come back.)
const LENGTH: usize = 64 << 10;
/// At most so many lie ready, 8 MiB: twice what the inbox holds.
const READY: usize = 128;

/// Where they lie.
#[derive(Clone, Default)]
pub(crate) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// An empty one with so much room, or more.
    pub(crate) fn take(&self, room: usize) -> Vec<u8> {
        let known = if room > LENGTH { None } else { self.ready().pop() };
        known.unwrap_or_else(|| Vec::with_capacity(room.max(LENGTH)))
    }

    /// What was written, to be shared. What a buffer has left is held as long as its fragments and counted nowhere: a
    /// quarter of it is; what fills less is copied into a place of its own.
    pub(crate) fn seal(&self, buffer: Vec<u8>) -> Bytes {
        if buffer.capacity() != LENGTH {
            return buffer.into();
        }
        let lent = Lent { buffer, home: self.clone() };
        if lent.buffer.len() < LENGTH / 4 * 3 {
            return Bytes::copy_from_slice(&lent.buffer);
        }
        Bytes::from_owner(lent)
    }

    fn ready(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer that is out.
struct Lent {
    buffer: Vec<u8>,
    home: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let mut ready = self.home.ready();
        if ready.len() < READY {
            ready.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(buffers: &Buffers, bytes: usize) -> Bytes {
        let mut buffer = buffers.take(bytes);
        buffer.resize(bytes, b'x');
        buffers.seal(buffer)
    }

    #[test]
    fn a_buffer_comes_back_with_its_last_slice() {
        let buffers = Buffers::default();
        let sealed = filled(&buffers, LENGTH);
        let slice = sealed.slice(5..10);
        drop(sealed);
        assert_eq!(buffers.ready().len(), 0);
        assert_eq!(slice, "xxxxx");
        drop(slice);
        assert_eq!(buffers.ready().len(), 1);
        assert!(buffers.take(1).is_empty());
        assert_eq!(buffers.ready().len(), 0);
    }

    #[test]
    fn what_fills_little_of_a_buffer_does_not_hold_it() {
        let buffers = Buffers::default();
        let sealed = filled(&buffers, 100);
        assert_eq!((sealed.len(), buffers.ready().len()), (100, 1));
    }

    #[test]
    fn longer_ones_do_not_come_back() {
        let buffers = Buffers::default();
        drop(filled(&buffers, LENGTH + 1));
        assert_eq!(buffers.ready().len(), 0);
    }
}
