//! The end of a log, for a caller who asks for it.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the Invoke API gives of a log.
const LENGTH: usize = 4096;

/// The last 4 KB written since it was asked for; nothing is kept for nobody.
#[derive(Debug, Default)]
pub(crate) struct Tail(Mutex<Option<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    text: Vec<u8>,
    /// The invocation's report is in it.
    reported: bool,
}

impl Tail {
    /// Begins, with nothing in it.
    pub(crate) fn begin(&self) {
        *self.lock() = Some(Kept::default());
    }

    /// Whether anything is kept.
    pub(crate) fn wanted(&self) -> bool {
        self.lock().is_some()
    }

    /// Adds a record.
    pub(crate) fn push(&self, record: &[u8]) {
        let mut kept = self.lock();
        let Some(Kept { text, .. }) = &mut *kept else { return };
        text.extend_from_slice(&record[record.len().saturating_sub(LENGTH)..]);
        text.push(b'\n');
        // Twice the length, so that a chatty function's is not moved about with every line.
        if text.len() > 2 * LENGTH {
            text.drain(..text.len() - LENGTH);
        }
    }

    /// What was added ends with the invocation's report.
    pub(crate) fn reported(&self) {
        if let Some(kept) = &mut *self.lock() {
            kept.reported = true;
        }
    }

    /// What there is, with `report` at its end if its own has not come yet. No more is kept.
    pub(crate) fn end(&self, report: impl FnOnce() -> String) -> Vec<u8> {
        let Kept { mut text, reported } = self.lock().take().unwrap_or_default();
        if !reported {
            text.extend_from_slice(report().as_bytes());
        }
        text.drain(..text.len().saturating_sub(LENGTH));
        text
    }

    fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_last_four_kilobytes() {
        let tail = Tail::default();
        tail.push(b"for nobody");
        tail.begin();
        for _ in 0..20 {
            tail.push(&[b'a'; 999]);
        }
        tail.push(&[b'b'; 199]);
        tail.reported();
        let kept = tail.end(|| unreachable!("it is there"));
        assert_eq!(kept.len(), LENGTH);
        assert_eq!(&kept[LENGTH - 200..LENGTH - 1], &[b'b'; 199]);
        assert_eq!(kept[LENGTH - 1], b'\n');
        tail.begin();
        tail.push(&[b'c'; 5000]);
        let kept = tail.end(|| "END\n".to_owned());
        assert_eq!((kept.len(), &kept[LENGTH - 6..]), (LENGTH, &b"c\nEND\n"[..]));
        assert!(!tail.wanted());
    }
}
