//! What is owned, how far it is done and how far that is committed. Every decision about an epoch is made under its lock.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use klr_contract::{Partition, Position};

/// The ledger. Offsets in it are Kafka's "next to read": one more than the last that is done.
#[derive(Default)]
pub(crate) struct Ledger {
    inner: Mutex<Inner>,
    /// Something was released, or a commit ended.
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    epochs: u32,
    owned: BTreeMap<u32, Owned>,
    /// The thread has paused everything until the inbox is drained.
    stalled: bool,
    stopping: bool,
}

struct Owned {
    epoch: u32,
    start: i64,
    until: Option<i64>,
    done: i64,
    committed: i64,
    /// Commits on their way that name it.
    in_flight: usize,
    open: bool,
    released: bool,
    high: i64,
}

/// A partition to be read: where from and, under `--once`, to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) index: u32,
    pub(crate) start: i64,
    pub(crate) until: Option<i64>,
    pub(crate) high: i64,
}

/// What to commit: offsets by partition.
pub(crate) type Due = Vec<(Partition, i64)>;

impl Ledger {
    /// A new epoch. Everything before `span.start` is committed.
    pub(crate) fn gain(&self, span: Span) -> Partition {
        let mut inner = self.lock();
        inner.epochs += 1;
        let epoch = inner.epochs;
        let Span { index, start, until, high } = span;
        let owned = Owned {
            epoch,
            start,
            until,
            done: start,
            committed: start,
            in_flight: 0,
            open: true,
            released: false,
            high,
        };
        inner.owned.insert(index, owned);
        Partition { index, epoch }
    }

    /// Every partition that is owned now.
    pub(crate) fn owned(&self) -> Vec<(Partition, i64, Option<i64>)> {
        let of = |(index, o): (&u32, &Owned)| (Partition { index: *index, epoch: o.epoch }, o.start, o.until);
        self.lock().owned.iter().map(of).collect()
    }

    /// Whether nothing is owned.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().owned.is_empty()
    }

    /// Those of `indexes` that are owned.
    pub(crate) fn owned_of(&self, indexes: &[u32]) -> Vec<Partition> {
        let owned = self.owned().into_iter().map(|(partition, ..)| partition);
        owned.filter(|partition| indexes.contains(&partition.index)).collect()
    }

    /// Notes what is done and answers what of it still has to be committed. Old epochs drop out. Each call is followed by
    /// [`finish`](Self::finish) with the same list.
    pub(crate) fn begin(&self, through: &[(Partition, Position)]) -> Due {
        let mut inner = self.lock();
        let mut due = Due::new();
        for (partition, position) in through {
            let (Some(owned), Position::Offset(last)) = (inner.current(*partition), position) else {
                continue;
            };
            owned.done = owned.done.max(last + 1);
            if owned.done > owned.committed {
                owned.in_flight += 1;
                due.push((*partition, owned.done));
            }
        }
        due
    }

    /// A commit ended.
    pub(crate) fn finish(&self, due: &[(Partition, i64)], committed: bool) {
        let mut inner = self.lock();
        for (partition, offset) in due {
            let Some(owned) = inner.current(*partition) else { continue };
            owned.in_flight -= 1;
            if committed {
                owned.committed = owned.committed.max(*offset);
            }
        }
        self.changed.notify_all();
    }

    /// The engine let it go.
    pub(crate) fn release(&self, partition: Partition) {
        if let Some(owned) = self.lock().current(partition) {
            owned.released = true;
        }
        self.changed.notify_all();
    }

    /// Whether the engine has let it go.
    pub(crate) fn is_released(&self, partition: Partition) -> bool {
        self.lock().current(partition).is_none_or(|owned| owned.released)
    }

    /// Waits until each is released and no commit names one any more, or until it has waited long enough.
    pub(crate) fn wait_released(&self, partitions: &[Partition], longest: Duration) {
        let held = |inner: &mut Inner| {
            let waits =
                |p: &Partition| inner.current(*p).is_some_and(|owned| !owned.released || owned.in_flight > 0);
            // `any` has to borrow mutably through `current`.
            partitions.iter().map(waits).fold(false, |any, one| any | one) && !inner.stopping
        };
        drop(self.changed.wait_timeout_while(self.lock(), longest, held));
    }

    /// The epochs are over. Answers which were released, and what is done but not committed.
    pub(crate) fn end(&self, partitions: &[Partition]) -> Vec<Ended> {
        let mut inner = self.lock();
        let mut ended = Vec::new();
        for partition in partitions {
            if inner.current(*partition).is_none() {
                continue;
            }
            let Some(owned) = inner.owned.remove(&partition.index) else { continue };
            let due = (owned.done > owned.committed).then_some(owned.done);
            ended.push(Ended { partition: *partition, released: owned.released, due });
        }
        self.changed.notify_all();
        ended
    }

    /// Opens or closes a partition; `act` is called, with the lock held, if that changes what the consumer has to do.
    pub(crate) fn flow(&self, partition: Partition, open: bool, act: impl FnOnce()) {
        let mut inner = self.lock();
        let stalled = inner.stalled;
        let Some(owned) = inner.current(partition) else { return };
        if std::mem::replace(&mut owned.open, open) != open && !stalled && !owned.released {
            act();
        }
    }

    /// Begins or ends a stall; `act` gets the partitions to pause or resume, with the lock held.
    pub(crate) fn stall(&self, stalled: bool, act: impl FnOnce(&[u32])) {
        let mut inner = self.lock();
        inner.stalled = stalled;
        let open: Vec<_> =
            inner.owned.iter().filter(|(_, o)| o.open && !o.released).map(|(index, _)| *index).collect();
        act(&open);
    }

    /// Whether the thread has paused everything.
    pub(crate) fn stalled(&self) -> bool {
        self.lock().stalled
    }

    /// No one waits for the engine any more.
    pub(crate) fn stop(&self) {
        self.lock().stopping = true;
        self.changed.notify_all();
    }

    /// Whether it is time to go.
    pub(crate) fn stopping(&self) -> bool {
        self.lock().stopping
    }

    /// The ends of the partitions, as the statistics saw them.
    pub(crate) fn ends(&self, ends: impl Iterator<Item = (u32, i64)>) {
        let mut inner = self.lock();
        for (index, high) in ends {
            if let Some(owned) = inner.owned.get_mut(&index) {
                owned.high = high;
            }
        }
    }

    /// See `Log::lag`.
    pub(crate) fn lag(&self) -> Vec<(Partition, u64)> {
        let of = |(index, o): (&u32, &Owned)| {
            let behind = u64::try_from(o.high - o.committed).unwrap_or(0);
            (Partition { index: *index, epoch: o.epoch }, behind)
        };
        self.lock().owned.iter().map(of).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is left of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) partition: Partition,
    pub(crate) released: bool,
    pub(crate) due: Option<i64>,
}

impl Inner {
    fn current(&mut self, partition: Partition) -> Option<&mut Owned> {
        self.owned.get_mut(&partition.index).filter(|owned| owned.epoch == partition.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span { index: 3, start: 10, until: None, high: 20 };

    fn done(partition: Partition, last: i64) -> [(Partition, Position); 1] {
        [(partition, Position::Offset(last))]
    }

    #[test]
    fn only_what_is_new_and_owned_is_due() {
        let ledger = Ledger::default();
        let old = ledger.gain(SPAN);
        let new = ledger.gain(SPAN);
        assert_ne!(old.epoch, new.epoch);
        assert!(ledger.begin(&done(old, 15)).is_empty(), "an old epoch");
        assert!(ledger.begin(&done(new, 9)).is_empty(), "committed before it was gained");
        let due = ledger.begin(&done(new, 15));
        assert_eq!(due, [(new, 16)]);
        ledger.finish(&due, false);
        let due = ledger.begin(&done(new, 12));
        assert_eq!(due, [(new, 16)], "a commit that failed carries on, and none goes back");
        ledger.finish(&due, true);
        assert_eq!(ledger.lag(), [(new, 4)]);
        assert!(ledger.begin(&done(new, 15)).is_empty());
    }

    #[test]
    fn what_is_left_of_an_epoch() {
        let ledger = Ledger::default();
        let partition = ledger.gain(SPAN);
        let due = ledger.begin(&done(partition, 15));
        ledger.finish(&due, false);
        ledger.release(partition);
        let ended = ledger.end(&[partition]);
        assert_eq!(ended, [Ended { partition, released: true, due: Some(16) }]);
        assert!(ledger.end(&[partition]).is_empty(), "it ends once");
    }

    #[test]
    fn waits_for_release_and_for_commits_under_way() {
        let ledger = Ledger::default();
        let partition = ledger.gain(SPAN);
        let due = ledger.begin(&done(partition, 15));
        let waited = |longest| {
            let start = std::time::Instant::now();
            ledger.wait_released(&[partition], Duration::from_millis(longest));
            start.elapsed() >= Duration::from_millis(longest)
        };
        assert!(waited(30), "held");
        ledger.release(partition);
        assert!(waited(30), "a commit names it");
        ledger.finish(&due, true);
        assert!(!waited(5_000));
    }

    #[test]
    fn flow_acts_on_changes_of_the_current_epoch_only() {
        let ledger = Ledger::default();
        let (old, new) = (ledger.gain(SPAN), ledger.gain(SPAN));
        let acts = |partition, open| {
            let mut acted = false;
            ledger.flow(partition, open, || acted = true);
            acted
        };
        assert!(!acts(old, false));
        assert!(!acts(new, true), "it is open");
        assert!(acts(new, false));
        ledger.stall(true, |open| assert!(open.is_empty(), "what is closed is paused already"));
        assert!(!acts(new, true), "everything is paused");
        ledger.stall(false, |open| assert_eq!(open, [3]));
    }
}
