//! A tumbling window of one lane: its state, and when it is over. Pure.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use klr_contract::Record;
use tokio::time::Instant;

use super::Now;

/// AWS: without new data the service waits up to two minutes before it declares a window over. No less here: a record that
/// is still to be read must not find its window closed.
const QUIET: Duration = Duration::from_secs(120);
/// AWS: a state above 1 MB ends the window early.
const LARGEST_STATE: usize = 1 << 20;

/// How a window ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    /// Its time is over.
    Over,
    /// Its state has grown too large.
    Early,
}

/// A window some of whose records were handed out.
#[derive(Debug)]
pub(super) struct Window {
    start: Timestamp,
    end: Timestamp,
    /// What the function answered last; `{}` at first.
    pub state: Bytes,
    /// Arrival numbers of the records that are done. They count as done when the window closes: until then a restart has to
    /// replay them, because the state is stored nowhere.
    pub settled: Vec<u64>,
    /// When it is over if nothing comes.
    pub closes: Instant,
    /// Something of a later window came, and was none of the function's.
    passed: bool,
}

impl Window {
    /// The window of a record. AWS: aligned to the epoch.
    pub fn of(record: &Record, length: Duration, now: Now) -> Box<Self> {
        let length = i64::try_from(length.as_secs()).unwrap_or(i64::MAX).max(1);
        let start = record.at.as_second().div_euclid(length) * length;
        let at = |second| Timestamp::from_second(second).unwrap_or(record.at);
        let mut window = Self {
            start: at(start),
            end: at(start.saturating_add(length)),
            state: Bytes::from_static(b"{}"),
            settled: Vec::new(),
            closes: now.instant,
            passed: false,
        };
        window.heard(now);
        Box::new(window)
    }

    /// Something came for its lane.
    pub fn heard(&mut self, now: Now) {
        let left = self.end.duration_since(now.wall).unsigned_abs();
        let left = if self.end > now.wall { left } else { Duration::ZERO };
        self.closes = now.instant + left.max(QUIET);
    }

    /// Something came that the function is not to see.
    pub fn passed(&mut self, at: Timestamp, now: Now) {
        self.passed |= at >= self.end;
        self.heard(now);
    }

    /// A record of an earlier window that comes late is this one's: that window is closed.
    pub fn takes(&self, record: &Record) -> bool {
        record.at < self.end
    }

    /// Whether to close it although nothing of a later window came.
    pub fn is_over(&self, ended: bool, now: Instant) -> Option<Close> {
        if self.state.len() > LARGEST_STATE {
            return Some(Close::Early);
        }
        (ended || self.passed || self.closes <= now).then_some(Close::Over)
    }

    /// As the function sees it.
    pub fn frame(&self, close: Option<Close>) -> crate::deliver::Window {
        crate::deliver::Window {
            start: self.start,
            end: self.end,
            state: self.state.clone(),
            is_final: close.is_some(),
            terminated_early: close == Some(Close::Early),
        }
    }
}

#[cfg(test)]
mod tests {
    use klr_contract::{Partition, Place, Position};

    use super::*;

    fn record(second: i64) -> Record {
        let partition = Partition { index: 0, epoch: 0 };
        let place = Place::At { partition, position: Position::Offset(0), key: 0 };
        Record { json: Ok("".into()), place, at: Timestamp::from_second(second).unwrap(), trace: None }
    }

    #[tokio::test]
    async fn windows_are_aligned_to_the_epoch_and_closed_by_silence_or_size() {
        let now = Now { instant: Instant::now(), wall: Timestamp::from_second(1_000).unwrap() };
        let mut window = Window::of(&record(1_009), Duration::from_secs(10), now);
        let frame = window.frame(None);
        assert_eq!((frame.start.as_second(), frame.end.as_second()), (1_000, 1_010));
        assert!(window.takes(&record(1_009)) && window.takes(&record(900)) && !window.takes(&record(1_010)));
        assert_eq!(window.is_over(false, now.instant + QUIET - Duration::from_secs(1)), None);
        assert_eq!(window.is_over(false, now.instant + QUIET), Some(Close::Over));
        assert_eq!(window.is_over(true, now.instant), Some(Close::Over));
        window.passed(Timestamp::from_second(1_009).unwrap(), now);
        assert_eq!(window.is_over(false, now.instant), None);
        window.passed(Timestamp::from_second(1_010).unwrap(), now);
        assert_eq!(window.is_over(false, now.instant), Some(Close::Over));
        window.state = Bytes::from(vec![b'x'; LARGEST_STATE + 1]);
        assert_eq!(window.is_over(false, now.instant), Some(Close::Early));
        // A window that is far from over is not closed by silence.
        let long = Window::of(&record(1_009), Duration::from_secs(900), now);
        assert_eq!(long.is_over(false, now.instant + Duration::from_secs(800)), Some(Close::Over));
        assert_eq!(long.is_over(false, now.instant + Duration::from_secs(799)), None);
    }
}
