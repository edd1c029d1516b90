//! What waits to be sent to one subscriber. Pure: the time is handed in.

use std::mem;

use tokio::time::Instant;

use super::subscription::Buffering;

/// Events that are sent together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// JSON objects.
    pub(crate) events: Vec<Vec<u8>>,
    pub(crate) bytes: usize,
}

/// How much was thrown away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

impl Dropped {
    pub(crate) fn add(&mut self, records: usize, bytes: usize) {
        self.records += records as u64;
        self.bytes += bytes as u64;
    }
}

/// An open batch, and at most one that is full. With the one being sent that bounds what a slow subscriber can cost.
#[derive(Debug)]
pub(crate) struct Buffer {
    limits: Buffering,
    open: Batch,
    /// When the open batch is due; it is there when something is in it.
    due: Option<Instant>,
    full: Option<Batch>,
    dropped: Dropped,
}

impl Buffer {
    pub(crate) fn new(limits: Buffering) -> Self {
        Self { limits, open: Batch::default(), due: None, full: None, dropped: Dropped::default() }
    }

    /// Takes an event, or drops it where there is no room. Whether the sender has to look.
    pub(crate) fn push(&mut self, event: Vec<u8>, now: Instant) -> bool {
        let fits = self.open.events.len() < self.limits.max_items
            && (self.open.events.is_empty() || self.open.bytes + event.len() <= self.limits.max_bytes);
        if !fits {
            if self.full.is_some() {
                self.dropped.add(1, event.len());
                return false;
            }
            self.full = Some(mem::take(&mut self.open));
        }
        let first = self.open.events.is_empty();
        self.open.bytes += event.len();
        self.open.events.push(event);
        if first {
            self.due = Some(now + self.limits.timeout);
        }
        // The batch before is full, or there is a time to wait for.
        first || self.is_full()
    }

    fn is_full(&self) -> bool {
        self.open.events.len() >= self.limits.max_items || self.open.bytes >= self.limits.max_bytes
    }

    /// What is to be sent by now.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Batch> {
        if let Some(full) = self.full.take() {
            return Some(full);
        }
        let due = self.due.is_some_and(|due| due <= now);
        if due || self.is_full() { self.take_all() } else { None }
    }

    /// What there is, due or not.
    pub(crate) fn take_all(&mut self) -> Option<Batch> {
        if let Some(full) = self.full.take() {
            return Some(full);
        }
        self.due = None;
        let batch = mem::take(&mut self.open);
        (!batch.events.is_empty()).then_some(batch)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.events.is_empty() && self.full.is_none()
    }

    /// When the open batch is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Counts a batch that could not be sent.
    pub(crate) fn lose(&mut self, batch: &Batch) {
        self.dropped.add(batch.events.len(), batch.bytes);
    }

    /// What was thrown away since it was last asked.
    pub(crate) fn take_dropped(&mut self) -> Option<Dropped> {
        let dropped = mem::take(&mut self.dropped);
        (dropped.records > 0).then_some(dropped)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn buffer(max_items: usize, max_bytes: usize) -> Buffer {
        Buffer::new(Buffering { max_items, max_bytes, timeout: Duration::from_secs(1) })
    }

    fn event(length: usize) -> Vec<u8> {
        vec![b'x'; length]
    }

    #[test]
    fn a_batch_is_due_by_count_by_size_or_by_time() {
        let now = Instant::now();
        let mut buffer = buffer(3, 100);
        assert!(buffer.push(event(10), now), "there is a time to wait for");
        assert!(!buffer.push(event(10), now));
        assert_eq!(buffer.take(now), None);
        assert_eq!(buffer.due(), Some(now + Duration::from_secs(1)));
        assert!(buffer.push(event(10), now));
        assert_eq!(buffer.take(now).unwrap().events.len(), 3);

        buffer.push(event(60), now);
        assert!(buffer.push(event(40), now), "it is full");
        assert_eq!(buffer.take(now).unwrap().bytes, 100);
        buffer.push(event(60), now);
        buffer.push(event(41), now);
        assert_eq!(buffer.take(now).unwrap().bytes, 60, "what does not fit opens the next");
        assert_eq!(buffer.take(now), None);
        assert_eq!(buffer.take(now + Duration::from_secs(1)).unwrap().bytes, 41);
        assert_eq!(buffer.due(), None);
        assert_eq!(buffer.take(now + Duration::from_secs(9)), None);
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let now = Instant::now();
        let mut buffer = buffer(2, 1000);
        for _ in 0..7 {
            buffer.push(event(5), now);
        }
        assert_eq!(buffer.take_dropped(), Some(Dropped { records: 3, bytes: 15 }));
        assert_eq!(buffer.take_dropped(), None);
        assert_eq!(buffer.take(now).unwrap().events.len(), 2);
        assert_eq!(buffer.take_all().unwrap().events.len(), 2);
        assert_eq!(buffer.take_all(), None);
        let larger_than_any = event(5000);
        buffer.push(larger_than_any, now);
        assert_eq!(buffer.take(now).unwrap().bytes, 5000, "alone, rather than never");
    }
}
