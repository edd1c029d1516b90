//! Who is free, who waits, and how many environments there ought to be.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
};

use tokio::sync::Notify;

use crate::{Metrics, exchange::Exchange, flight::Flight};

/// Environments that start at the same time: on a small machine more would only make each other miss the limit.
const STARTING: usize = 8;

/// The environments of a function, and the queue in front of them.
pub(crate) struct Pool {
    line: Mutex<Line<Arc<Exchange>, Flight>>,
    /// More environments are wanted than there are.
    pub(crate) short: Notify,
    /// Somebody waits, and no environment works.
    pub(crate) demand: Notify,
    metrics: Arc<Metrics>,
}

impl Pool {
    pub(crate) fn new(concurrency: usize, ahead: bool, metrics: Arc<Metrics>) -> Self {
        let line = Mutex::new(Line { ahead, ..Line::new(concurrency) });
        Self { line, short: Notify::new(), demand: Notify::new(), metrics }
    }

    /// With so many environments at all times.
    pub(crate) fn keeping(self, least: usize) -> Self {
        self.lock().least = least;
        self
    }

    /// Hands an invocation to whoever is free, or queues it: then its ticket is answered, to [`withdraw`](Self::withdraw)
    /// it with.
    pub(crate) fn submit(&self, mut flight: Flight) -> Option<u64> {
        let ticket = self.lock().ticket();
        flight.ticket = ticket;
        self.resubmit(flight).then_some(ticket)
    }

    /// The same for one that an environment did not get to: with its ticket it comes before all that wait. Whether it had to
    /// be queued.
    pub(crate) fn resubmit(&self, mut flight: Flight) -> bool {
        loop {
            let matched = {
                let mut line = self.lock();
                let matched = line.arrive(flight.ticket, flight);
                self.look(&line);
                matched
            };
            let Some((exchange, taken)) = matched else { return true };
            match exchange.offer(taken) {
                Ok(()) => return false,
                // Its process ended, or hung up, a moment ago.
                Err(refused) => flight = refused,
            }
        }
    }

    /// An environment asks for work. It is listed until it gets some.
    pub(crate) fn free(&self, exchange: &Arc<Exchange>) {
        let free = |exchange| {
            let mut line = self.lock();
            let matched = line.free(exchange);
            self.look(&line);
            matched
        };
        let mut matched = free(Arc::clone(exchange));
        while let Some((exchange, flight)) = matched.take() {
            if flight.abandoned() {
                matched = free(exchange);
            } else if let Err(refused) = exchange.offer(flight) {
                self.resubmit(refused);
            }
        }
    }

    /// Takes back what is still queued.
    pub(crate) fn withdraw(&self, ticket: u64) -> Option<Flight> {
        let mut line = self.lock();
        let withdrawn = line.withdraw(ticket);
        self.look(&line);
        withdrawn
    }

    /// Takes all that is queued.
    pub(crate) fn drain(&self) -> Vec<Flight> {
        let mut line = self.lock();
        let waiting = std::mem::take(&mut line.waiting);
        self.look(&line);
        waiting.into_iter().map(|(_, flight)| flight).collect()
    }

    /// The numbers of the environments to start now; they count as starting from here on.
    pub(crate) fn hire(&self) -> Range<usize> {
        let mut line = self.lock();
        let (there, wanted) = (line.all, line.shortfall());
        line.all += wanted;
        line.starting += wanted;
        there..there + wanted
    }

    /// One that was starting has initialised.
    pub(crate) fn started(&self) {
        let mut line = self.lock();
        line.starting -= 1;
        self.look(&line);
    }

    /// One that was starting has failed to.
    pub(crate) fn failed(&self) {
        let mut line = self.lock();
        line.starting -= 1;
        line.failed += 1;
        self.look(&line);
    }

    /// One that worked has ended. It counts as failed until it starts again.
    pub(crate) fn ended(&self, exchange: &Arc<Exchange>) {
        let mut line = self.lock();
        line.failed += 1;
        line.free.retain(|listed| !Arc::ptr_eq(listed, exchange));
        self.look(&line);
    }

    /// One that failed starts again.
    pub(crate) fn restart(&self) {
        let mut line = self.lock();
        line.failed -= 1;
        line.starting += 1;
    }

    /// One that failed starts again for the sake of who waits longest, if somebody does and no other would serve him.
    pub(crate) fn restart_for(&self) -> Option<Flight> {
        let mut line = self.lock();
        while line.working() == 0 {
            let (_, flight) = line.waiting.pop_front()?;
            if !flight.abandoned() {
                line.failed -= 1;
                line.starting += 1;
                self.look(&line);
                return Some(flight);
            }
        }
        None
    }

    /// Whether any environment is starting.
    pub(crate) fn starting(&self) -> bool {
        self.lock().starting > 0
    }

    /// Whether any environment works.
    pub(crate) fn works(&self) -> bool {
        self.lock().working() > 0
    }

    /// Whether anybody waits.
    pub(crate) fn wanted(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// After each change: what follows from it.
    fn look(&self, line: &Line<Arc<Exchange>, Flight>) {
        self.metrics.queued.store(line.waiting.len() as u64, Relaxed);
        self.metrics.sandboxes.store(line.working() as u64, Relaxed);
        if line.shortfall() > 0 {
            self.short.notify_one();
        }
        if line.failed > 0 && line.working() == 0 && !line.waiting.is_empty() {
            self.demand.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line<Arc<Exchange>, Flight>> {
        // Nothing in here calls anything that could panic half-way.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The line, and nothing but: `S` are the seats, `W` who waits.
#[derive(Debug)]
struct Line<S, W> {
    /// Seats that are free; the one used last is taken first, and stays warm.
    free: Vec<S>,
    /// In the order they came, which is the order of their tickets.
    waiting: VecDeque<(u64, W)>,
    next: u64,
    most: usize,
    /// Environments there are to be at all times.
    least: usize,
    /// Whether one is started ahead of the next who comes.
    ahead: bool,
    /// Environments there are: `starting`, `failed` (between two attempts), the others work.
    all: usize,
    starting: usize,
    failed: usize,
}

impl<S, W> Line<S, W> {
    fn new(most: usize) -> Self {
        let (free, waiting) = (Vec::new(), VecDeque::new());
        Self { free, waiting, next: 0, most, least: 0, ahead: true, all: 0, starting: 0, failed: 0 }
    }

    fn ticket(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Somebody comes, or comes back because the seat was none. While anybody waits no seat is free, so nobody overtakes.
    fn arrive(&mut self, ticket: u64, who: W) -> Option<(S, W)> {
        match self.free.pop() {
            Some(seat) => Some((seat, who)),
            None => {
                let place = self.waiting.partition_point(|(theirs, _)| *theirs < ticket);
                self.waiting.insert(place, (ticket, who));
                None
            }
        }
    }

    /// A seat is free.
    fn free(&mut self, seat: S) -> Option<(S, W)> {
        match self.waiting.pop_front() {
            Some((_, who)) => Some((seat, who)),
            None => {
                self.free.push(seat);
                None
            }
        }
    }

    fn withdraw(&mut self, ticket: u64) -> Option<W> {
        let place = self.waiting.binary_search_by_key(&ticket, |(theirs, _)| *theirs).ok()?;
        self.waiting.remove(place).map(|(_, who)| who)
    }

    fn working(&self) -> usize {
        self.all - self.starting - self.failed
    }

    /// How many more to start: one for each who waits, and one ahead of the next who comes, where that is wanted; those that
    /// are to be there at all times. Where starts fail, those that failed try again by themselves and no more are added.
    fn shortfall(&self) -> usize {
        if self.failed > 0 && self.working() == 0 {
            return 0;
        }
        let ahead = usize::from(self.free.is_empty() && (self.ahead || self.all == 0));
        let wanted = (self.waiting.len() + ahead).saturating_sub(self.starting + self.failed);
        let wanted = wanted.max(self.least.saturating_sub(self.all));
        let room = (self.most - self.all).min(STARTING.saturating_sub(self.starting));
        wanted.min(room)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_seat_used_last_is_taken_first_and_who_waits_longest_is_served_first() {
        let mut line = Line::new(2);
        assert!(line.free('a').is_none());
        assert!(line.free('b').is_none());
        assert_eq!(line.arrive(1, 1), Some(('b', 1)));
        assert_eq!(line.arrive(2, 2), Some(('a', 2)));
        assert_eq!(line.arrive(3, 3), None);
        assert_eq!(line.arrive(4, 4), None);
        // One comes back: its environment had just gone.
        assert_eq!(line.arrive(2, 2), None);
        assert_eq!(line.withdraw(3), Some(3));
        assert_eq!(line.withdraw(3), None);
        assert_eq!(line.free('b'), Some(('b', 2)));
        assert_eq!(line.free('a'), Some(('a', 4)));
    }

    #[test]
    fn one_is_started_ahead_and_one_for_each_who_waits() {
        let mut line = Line::<char, u8>::new(4);
        assert_eq!(line.shortfall(), 1);
        (line.all, line.starting) = (1, 1);
        assert_eq!(line.shortfall(), 0);
        line.arrive(1, 1);
        line.arrive(2, 2);
        assert_eq!(line.shortfall(), 2);
        (line.all, line.starting) = (1, 0);
        line.free('a');
        line.free('a');
        assert_eq!(line.shortfall(), 1, "all that exist are busy");
        line.free('a');
        assert_eq!(line.shortfall(), 0, "one is idle");
        (line.all, line.failed) = (1, 1);
        line.free.clear();
        assert_eq!(line.shortfall(), 0, "what fails is not multiplied");
    }

    #[test]
    fn some_are_there_at_all_times() {
        let mut line = Line::<char, u8> { least: 3, ahead: false, ..Line::new(4) };
        assert_eq!(line.shortfall(), 3, "nobody has to come");
        (line.all, line.starting) = (2, 1);
        line.free('a');
        assert_eq!(line.shortfall(), 1);
        (line.all, line.starting) = (3, 0);
        assert_eq!(line.shortfall(), 0);
        line.arrive(1, 1);
        line.arrive(2, 2);
        assert_eq!(line.shortfall(), 1, "more than those are started on demand");
    }

    #[derive(Debug, Clone)]
    enum Step {
        Arrive,
        Free,
        Withdraw(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Arrive),
            3 => Just(Step::Free),
            1 => (1..40_u64).prop_map(Step::Withdraw),
        ]
    }

    proptest! {
        /// Nobody waits while a seat is free, nobody is served twice, and all are served in the order they came.
        #[test]
        fn nobody_overtakes(steps in proptest::collection::vec(step(), 1..200)) {
            let mut line = Line::new(100);
            let mut served = Vec::new();
            for step in steps {
                let matched = match step {
                    Step::Arrive => {
                        let ticket = line.ticket();
                        line.arrive(ticket, ticket)
                    }
                    Step::Free => line.free(()),
                    Step::Withdraw(ticket) => {
                        let gone = line.withdraw(ticket);
                        prop_assert!(gone.is_none_or(|gone| gone == ticket && !served.contains(&gone)));
                        None
                    }
                };
                served.extend(matched.map(|((), who)| who));
                prop_assert!(line.free.is_empty() || line.waiting.is_empty());
            }
            prop_assert!(served.is_sorted());
            served.dedup();
            prop_assert!(line.waiting.iter().all(|(ticket, _)| !served.contains(ticket)));
        }
    }
}
