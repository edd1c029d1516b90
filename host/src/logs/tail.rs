//! The end of a log, for a caller who asks for it.
//!
//! As on Lambda it has what was written since the invocation before was reported: what comes between two belongs to the
//! second, and the initialisation to the first.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What the Invoke API gives of a log.
const LENGTH: usize = 4096;

/// The last 4 KB; nothing is kept of an invocation whose caller does not ask. `None`: nobody's log is his alone.
#[derive(Debug, Default)]
pub(crate) struct Tail(Option<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    text: Vec<u8>,
    whose: Whose,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Whose {
    /// That of an invocation to come, if its caller asks.
    #[default]
    Next,
    /// That of the invocation that runs, whose caller has asked.
    Asked,
    /// The same, with the invocation's report in it.
    Reported,
    Nobody,
}

impl Tail {
    /// Of an environment that begins, or goes on after what [`left`](Self::left) that much.
    pub(crate) fn after(left: Vec<u8>) -> Self {
        Self(Some(Mutex::new(Kept { text: left, whose: Whose::Next })))
    }

    /// An invocation begins.
    pub(crate) fn begin(&self, asked: bool) {
        let Some(mut kept) = self.lock() else { return };
        if !asked {
            *kept = Kept { text: Vec::new(), whose: Whose::Nobody };
        } else if mem::replace(&mut kept.whose, Whose::Asked) != Whose::Next {
            kept.text.clear();
        }
    }

    /// Whether anything is kept.
    pub(crate) fn wanted(&self) -> bool {
        self.lock().is_some_and(|kept| kept.whose != Whose::Nobody)
    }

    /// Adds a record.
    pub(crate) fn push(&self, record: &[u8]) {
        let Some(mut kept) = self.lock().filter(|kept| kept.whose != Whose::Nobody) else { return };
        let text = &mut kept.text;
        text.extend_from_slice(&record[record.len().saturating_sub(LENGTH)..]);
        text.push(b'\n');
        // Twice the length, so that a chatty function's is not moved about with every line.
        if text.len() > 2 * LENGTH {
            text.drain(..text.len() - LENGTH);
        }
    }

    /// What was added ends with the invocation's report.
    pub(crate) fn reported(&self) {
        let Some(mut kept) = self.lock() else { return };
        match kept.whose {
            Whose::Asked => kept.whose = Whose::Reported,
            Whose::Nobody => kept.whose = Whose::Next,
            Whose::Next | Whose::Reported => {}
        }
    }

    /// What there is for who asked, with `report` at its end if the invocation's own has not come yet.
    pub(crate) fn end(&self, report: impl FnOnce() -> String) -> Vec<u8> {
        let (mut text, reported) = self.take();
        if !reported {
            text.extend_from_slice(report().as_bytes());
        }
        text.drain(..text.len().saturating_sub(LENGTH));
        text
    }

    fn take(&self) -> (Vec<u8>, bool) {
        let Some(mut kept) = self.lock() else { return (Vec::new(), false) };
        let reported = kept.whose == Whose::Reported;
        let whose = if reported { Whose::Next } else { Whose::Nobody };
        (mem::replace(&mut *kept, Kept { text: Vec::new(), whose }).text, reported)
    }

    /// What there is for an invocation to come.
    pub(crate) fn left(&self) -> Vec<u8> {
        let kept = self.lock().filter(|kept| kept.whose == Whose::Next);
        kept.map(|mut kept| mem::take(&mut kept.text)).unwrap_or_default()
    }

    fn lock(&self) -> Option<MutexGuard<'_, Kept>> {
        self.0.as_ref().map(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(tail: &Tail) -> String {
        String::from_utf8(tail.end(|| "report\n".to_owned())).unwrap()
    }

    #[test]
    fn it_is_the_last_four_kilobytes() {
        let tail = Tail::after(Vec::new());
        tail.begin(true);
        for _ in 0..20 {
            tail.push(&[b'a'; 999]);
        }
        tail.push(&[b'b'; 199]);
        tail.reported();
        let kept = tail.end(|| unreachable!("it is there"));
        assert_eq!(kept.len(), LENGTH);
        assert_eq!(&kept[LENGTH - 200..LENGTH - 1], &[b'b'; 199]);
        assert_eq!(kept[LENGTH - 1], b'\n');
        tail.begin(true);
        tail.push(&[b'c'; 5000]);
        let kept = tail.end(|| "END\n".to_owned());
        assert_eq!((kept.len(), &kept[LENGTH - 6..]), (LENGTH, &b"c\nEND\n"[..]));
        assert!(!tail.wanted(), "its report is still to come, and is nobody's");
    }

    #[test]
    fn what_comes_between_two_invocations_is_the_seconds() {
        let tail = Tail::after(b"of a start that failed\n".to_vec());
        tail.push(b"start");
        tail.begin(true);
        tail.push(b"one");
        assert_eq!(text(&tail), "of a start that failed\nstart\none\nreport\n");
        tail.push(b"its report, late");
        tail.reported();
        tail.push(b"between");
        tail.begin(true);
        tail.push(b"two, and its report");
        tail.reported();
        assert_eq!(text(&tail), "between\ntwo, and its report\n");
    }

    #[test]
    fn nothing_is_kept_for_nobody() {
        let tail = Tail::after(Vec::new());
        tail.push(b"start");
        tail.begin(false);
        assert!(!tail.wanted());
        tail.push(b"one");
        tail.reported();
        tail.push(b"last words");
        assert_eq!(tail.left(), b"last words\n");
        let tail = Tail::default();
        tail.push(b"anybody's");
        tail.begin(true);
        assert_eq!((tail.wanted(), text(&tail)), (false, "report\n".to_owned()));
        tail.reported();
        assert!(!tail.wanted() && tail.left().is_empty());
    }
}
