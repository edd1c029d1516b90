//! Memory for the events that are attended to, shared so that one function cannot have all of it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::schedule::LaneId;

/// Bytes that are held, by function.
#[derive(Debug)]
pub(super) struct Held {
    most: usize,
    used: Mutex<Used>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Used {
    sum: usize,
    lanes: HashMap<LaneId, usize>,
}

/// Gives them back when dropped.
#[derive(Debug)]
pub(super) struct Hold<'a> {
    held: &'a Held,
    lane: LaneId,
    size: usize,
}

impl Held {
    pub fn new(most: usize) -> Self {
        Self { most, used: Mutex::default(), freed: Notify::new() }
    }

    /// Waits until there is room for so many bytes of this function.
    pub async fn hold(&self, lane: LaneId, size: usize) -> Hold<'_> {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if self.used().take(lane, size, self.most) {
                return Hold { held: self, lane, size };
            }
            freed.await;
        }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Used {
    /// A function gets half of what the others leave it, so some is always left; one event it may have anyway.
    fn take(&mut self, lane: LaneId, size: usize, most: usize) -> bool {
        let of = self.lanes.get(&lane).copied().unwrap_or_default();
        let others = self.sum - of;
        let share = of + size <= most.saturating_sub(others) / 2;
        let first = of == 0 && self.sum + size <= most;
        // Larger than all there is: alone.
        if !(share || first || self.sum == 0) {
            return false;
        }
        self.sum += size;
        *self.lanes.entry(lane).or_default() += size;
        true
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut used = self.held.used();
        used.sum -= self.size;
        if let Some(of) = used.lanes.get_mut(&self.lane) {
            *of -= self.size;
            if *of == 0 {
                used.lanes.remove(&self.lane);
            }
        }
        drop(used);
        self.held.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_function_cannot_have_it_all() {
        let held = Held::new(100);
        let [stuck, other, third] = [0, 1, 2].map(LaneId);
        let mut kept = Vec::new();
        while held.used().take(stuck, 10, 100) {
            kept.push(Hold { held: &held, lane: stuck, size: 10 });
        }
        assert_eq!(kept.len(), 5);
        let _other = held.hold(other, 25).await;
        // As much as there is, if it is its only one.
        let last = held.hold(third, 25).await;
        assert!(!held.used().take(stuck, 1, 100));
        assert!(!held.used().take(LaneId(3), 1, 100));
        drop(last);
        let large = Held::new(10);
        let one = large.hold(stuck, 1000).await;
        assert!(!large.used().take(other, 1, 10));
        drop(one);
        drop(large.hold(other, 1).await);
        assert_eq!(large.used().sum, 0);
    }
}
