//! The bytes of records a process may hold (design.md §4.3).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// No mapping holds more than this, however few there are.
const LARGEST_SHARE: usize = 32 << 20;

/// What all mappings of a process may hold together (`--buffer`).
#[derive(Debug)]
pub struct Buffer {
    total: usize,
    /// Mappings that hold any.
    holding: AtomicUsize,
}

impl Buffer {
    /// A buffer of `total` bytes.
    pub fn new(total: usize) -> Arc<Self> {
        Arc::new(Self { total, holding: AtomicUsize::new(0) })
    }

    /// An account for one mapping.
    pub fn usage(self: &Arc<Self>) -> Usage {
        Usage(Arc::new(Account { buffer: Arc::clone(self), used: AtomicUsize::new(0) }))
    }
}

#[derive(Debug)]
struct Account {
    buffer: Arc<Buffer>,
    used: AtomicUsize,
}

impl Drop for Account {
    /// A mapping that ended in the middle of something holds nothing any more.
    fn drop(&mut self) {
        if *self.used.get_mut() > 0 {
            self.buffer.holding.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What one mapping holds: fragments buffered and in flight.
#[derive(Debug, Clone)]
pub struct Usage(Arc<Account>);

impl Usage {
    /// Bytes held.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// What this mapping may hold: the buffer over the mappings that hold any, at most 32 MiB.
    pub fn share(&self) -> usize {
        let holding = self.0.buffer.holding.load(Ordering::Relaxed).max(1);
        (self.0.buffer.total / holding).min(LARGEST_SHARE)
    }

    /// The share is used up: cut open batches, take no more.
    pub fn spent(&self) -> bool {
        self.used() >= self.share()
    }

    /// States what is held now.
    pub fn set(&self, bytes: usize) {
        let before = self.0.used.swap(bytes, Ordering::Relaxed);
        self.moved(before, bytes);
    }

    /// Holds `bytes` until the charge is dropped.
    pub fn charge(&self, bytes: usize) -> Charge {
        let before = self.0.used.fetch_add(bytes, Ordering::Relaxed);
        self.moved(before, before + bytes);
        Charge { usage: self.clone(), bytes }
    }

    fn moved(&self, before: usize, after: usize) {
        match (before, after) {
            (0, 1..) => self.0.buffer.holding.fetch_add(1, Ordering::Relaxed),
            (1.., 0) => self.0.buffer.holding.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}

/// Bytes held by a queue lane.
#[derive(Debug)]
pub struct Charge {
    usage: Usage,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        let before = self.usage.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.usage.moved(before, before - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_is_shared_by_those_who_hold_any() {
        let buffer = Buffer::new(40 << 20);
        let (a, b) = (buffer.usage(), buffer.usage());
        assert_eq!(a.share(), 32 << 20);
        let charge = a.charge(1);
        b.set(5);
        assert_eq!(a.share(), 20 << 20);
        drop(charge);
        assert_eq!((a.used(), b.share()), (0, 32 << 20));
        let full = b.charge(40 << 20);
        assert!(b.spent());
        drop(full);
        assert_eq!(b.used(), 5);
        a.set(1);
        drop(b);
        assert_eq!(a.share(), 32 << 20, "who is gone holds nothing");
    }
}
