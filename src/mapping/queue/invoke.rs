//! A batch in hand: attempts, settling, and an unreachable sink.
//!
//! Nothing here gives a message up. What is not deleted comes back when its visibility timeout ends, and the queue's redrive
//! policy counts how often (AWS: the pollers never shorten visibility on failure).

use std::{sync::Arc, time::Duration};

use klr_contract::{Kind, Place};
use tokio::{sync::MutexGuard, time::Instant};

use super::{Engine, piece::Piece};
use crate::{
    deliver::Outcome,
    mapping::next::{Judged, PROBE, Tries, backoff, judge, throttled},
};

/// While the sink is unreachable a batch is kept hidden at least this long at a time.
const HOLD: Duration = Duration::from_secs(30);
/// So long before it would be visible again a batch that is still in flight is hidden anew.
const SHORTLY: Duration = Duration::from_secs(2);
/// Handing messages back at shutdown is a courtesy, and waits no longer than this.
const HAND_BACK: Duration = Duration::from_secs(3);

/// What became of a piece.
enum Fate {
    /// All but the listed ones succeeded.
    Settled(Vec<usize>),
    /// Left to its visibility timeout.
    LetGo,
    /// More than the target takes.
    Split,
    /// Not tried to the end because we are stopping.
    HandBack,
}

/// What to do after waiting.
enum Then {
    Again,
    Give(Fate),
}

impl Engine {
    /// Delivers a batch and settles it. `false` if any of it was left to the queue.
    pub(super) async fn invoke(self: &Arc<Self>, batch: Piece) -> bool {
        let mut stack = vec![batch];
        let mut complete = true;
        while let Some(mut piece) = stack.pop() {
            // FIFO: the second half would overtake what failed in the first.
            if !complete && self.source.fifo() {
                self.let_go(&piece, &[]);
                continue;
            }
            match self.attempts(&mut piece).await {
                Fate::Settled(failed) => {
                    complete &= failed.is_empty();
                    self.settle(&piece, &failed).await;
                }
                Fate::LetGo => {
                    complete = false;
                    self.let_go(&piece, &[]);
                }
                Fate::HandBack => {
                    complete = false;
                    self.hand_back(&piece).await;
                }
                Fate::Split => {
                    let second = piece.split();
                    stack.extend([second, piece]);
                }
            }
        }
        complete
    }

    async fn attempts(&self, piece: &mut Piece) -> Fate {
        let mut tries = Tries::default();
        let mut probing = None;
        loop {
            if self.expired(piece, Duration::ZERO) {
                return Fate::LetGo;
            }
            let then = match self.attempt(piece).await {
                Judged::Done => Then::Give(Fate::Settled(Vec::new())),
                Judged::Partial(failed) => Then::Give(Fate::Settled(failed)),
                Judged::TooLarge if piece.len() > 1 => Then::Give(Fate::Split),
                Judged::TooLarge => {
                    self.status.problem(
                        "a message is more than the target takes; it is left to the queue's redrive policy",
                    );
                    Then::Give(Fate::LetGo)
                }
                Judged::Failed(why) | Judged::Misreported(why) => self.failed(why),
                Judged::Broken if tries.broken => self.failed("the connection was lost twice in a row"),
                Judged::Broken => {
                    tries.broken = true;
                    self.wait(piece, backoff(tries.streak, 0.5)).await
                }
                Judged::Throttled(after) => {
                    self.lanes().limit.throttled();
                    self.status.figures.throttles.inc();
                    self.wait(piece, throttled(after, tries.streak, 0.5)).await
                }
                Judged::Unreachable(why) => self.ride_out(piece, tries.streak, &why, &mut probing).await,
                Judged::Rejected => self.failed("nobody can take the batch"),
                Judged::Unanswered => {
                    self.halt("ReportBatchItemFailures needs the function's answer, and the sink sends it elsewhere");
                    Then::Give(Fate::LetGo)
                }
            };
            match then {
                Then::Give(fate) => return fate,
                Then::Again => tries.streak += 1,
            }
        }
    }

    async fn attempt(&self, piece: &mut Piece) -> Judged {
        if self.oversize(piece) {
            return Judged::TooLarge;
        }
        if piece.records.iter().any(|record| record.json.is_err()) {
            self.status.problem("a message cannot be read; it is left to the queue's redrive policy");
            return Judged::Rejected;
        }
        let figures = &self.status.figures;
        figures.invoked.inc_by(piece.len() as u64);
        figures.in_flight.inc();
        let _flight = Flight(self);
        let (outcome, held) = self.invoked(piece).await;
        if let Some(until) = held {
            piece.held_until(until);
        }
        if !matches!(outcome, Outcome::Unreachable(_)) {
            self.answered();
        }
        judge(&self.settings.policy, outcome, &piece.records, &*self.shape)
    }

    /// Invokes. What waits for its turn first stays hidden meanwhile: it would be received, and run, a second time. Until when
    /// it was hidden anew.
    async fn invoked(&self, piece: &Piece) -> (Outcome, Option<Instant>) {
        let mut invocation = self.invoker.invoke(&piece.records, None, self.timeout());
        let (mut keeps, mut held) = (self.invoker.waits(), None);
        let shortly = |span: Duration| SHORTLY.min(span / 4);
        let until = piece.invisible_until().unwrap_or_else(Instant::now);
        let mut due = until - shortly(self.lanes().visibility);
        loop {
            // A queue may have none by now: what is in flight is hidden as long as it may run.
            let timeout = self.timeout();
            let span = self.lanes().visibility.max(timeout).max(SHORTLY);
            tokio::select! {
                delivered = invocation.as_mut() => return (delivered.outcome, held),
                () = tokio::time::sleep_until(due), if keeps => match self.hide_again(piece, span).await {
                    Ok((until, refused)) => {
                        // Who is refused is visible already, or gone; the others are ours still.
                        due = until - shortly(span);
                        keeps = refused < piece.len();
                        held = (refused == 0).then_some(until);
                    }
                    Err(kind) => {
                        due = Instant::now() + SHORTLY / 4;
                        keeps = matches!(kind, Kind::Retry { .. });
                    }
                },
            }
        }
    }

    fn oversize(&self, piece: &Piece) -> bool {
        let [record] = &piece.records[..] else { return false };
        self.shape.frame() + self.shape.opening(record) + self.shape.cost(record) > self.settings.budget
    }

    /// The sink answers: an outage, if there was one, is over.
    fn answered(&self) {
        if self.lanes().outage.take().is_some() {
            tracing::info!(mapping = self.status.name, "the sink answers again");
            self.recovered.notify_waiters();
        }
        self.status.fine();
    }

    fn failed(&self, why: &'static str) -> Then {
        self.lanes().limit.failed();
        self.status.figures.invoke_errors.inc();
        tracing::debug!(mapping = self.status.name, why, "batch failed");
        Then::Give(Fate::LetGo)
    }

    /// Waits before the next attempt, unless it would come too late.
    async fn wait(&self, piece: &Piece, wait: Duration) -> Then {
        if self.expired(piece, wait) {
            return Then::Give(Fate::LetGo);
        }
        self.lanes().waiting += 1;
        self.pause(wait).await;
        self.lanes().waiting -= 1;
        if self.stop.is_cancelled() { Then::Give(Fate::HandBack) } else { Then::Again }
    }

    fn expired(&self, piece: &Piece, wait: Duration) -> bool {
        piece.invisible_until().is_none_or(|until| Instant::now() + wait >= until)
    }

    /// The sink is unreachable: one lane probes, the others wait, and all keep what they hold hidden, so that an outage
    /// does not eat `maxReceiveCount`. Nobody receives meanwhile.
    async fn ride_out<'a>(
        &'a self,
        piece: &mut Piece,
        streak: u32,
        why: &str,
        probing: &mut Option<MutexGuard<'a, ()>>,
    ) -> Then {
        self.status.figures.unreachable.inc();
        self.status.problem(why);
        self.lanes().outage = Some(streak);
        if probing.is_none() {
            *probing = self.probe.try_lock().ok();
        }
        let probe_after = backoff(streak, 0.5).min(PROBE);
        loop {
            let recovered = self.recovered.notified();
            if self.expired(piece, probe_after + HOLD / 3) && !self.hold(piece).await {
                return Then::Give(Fate::LetGo);
            }
            tokio::select! {
                () = self.stop.cancelled() => return Then::Give(Fate::HandBack),
                () = tokio::time::sleep(probe_after) => if probing.is_some() { return Then::Again },
                () = recovered, if probing.is_none() => return Then::Again,
                guard = self.probe.lock(), if probing.is_none() => {
                    *probing = Some(guard);
                    return Then::Again;
                }
            }
        }
    }

    /// Keeps a batch hidden through an outage. `false`: the queue would not.
    async fn hold(&self, piece: &mut Piece) -> bool {
        let span = self.lanes().visibility.clamp(HOLD, Duration::from_secs(3600));
        match self.hide_again(piece, span).await {
            Ok((until, 0)) => {
                piece.held_until(until);
                true
            }
            Ok(_) => false,
            // A passing fault: the batch may still be hidden by its own timeout.
            Err(kind) => matches!(kind, Kind::Retry { .. }) && !self.expired(piece, PROBE),
        }
    }

    /// Hides a batch from now on. Until when, and how many of it the queue refused to.
    async fn hide_again(&self, piece: &Piece, span: Duration) -> Result<(Instant, usize), Kind> {
        let begun = Instant::now();
        let warn = |error: &klr_contract::Error| {
            tracing::warn!(mapping = self.status.name, %error, "the queue does not keep messages hidden");
        };
        match self.source.hold(&piece.places(), span).await {
            Ok(refused) => {
                refused.first().into_iter().for_each(|first| warn(&first.error));
                Ok((begun + span, refused.len()))
            }
            Err(error) => {
                warn(&error);
                Err(error.kind())
            }
        }
    }

    /// Deletes what succeeded; the rest is left to its visibility timeout.
    async fn settle(&self, piece: &Piece, failed: &[usize]) {
        if !failed.is_empty() {
            self.let_go(piece, failed);
        }
        let rest = piece.places_except(failed);
        if self.settings.once {
            let mut lanes = self.lanes();
            rest.iter().filter_map(id).for_each(|id| {
                lanes.left.remove(id);
            });
        }
        tokio::select! {
            () = self.deleted(piece, rest) => {}
            () = self.late() => tracing::warn!(mapping = self.status.name, "not deleted in time: will come again"),
        }
    }

    /// Who is told to stop does not wait for a queue for ever.
    async fn late(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep(self.settings.drain).await;
    }

    /// Deletes, until it is done or too late.
    async fn deleted(&self, piece: &Piece, mut rest: Vec<Place>) {
        let mut streak = 0;
        while !rest.is_empty() {
            rest = self.delete(rest).await;
            let wait = backoff(streak, 0.5);
            if !rest.is_empty() && self.expired(piece, wait) {
                return tracing::warn!(
                    mapping = self.status.name,
                    left = rest.len(),
                    "not deleted in time: will come again"
                );
            }
            if !rest.is_empty() {
                tokio::time::sleep(wait).await;
            }
            streak += 1;
        }
    }

    /// One round of deleting; answers what is worth another.
    async fn delete(&self, places: Vec<Place>) -> Vec<Place> {
        let figures = &self.status.figures;
        let refused = match self.source.delete(&places).await {
            Ok(refused) => refused,
            Err(error) => {
                figures.commit_errors.inc();
                self.status.problem(&error);
                return if error.kind() == Kind::Stop { Vec::new() } else { places };
            }
        };
        figures.deleted.inc_by((places.len() - refused.len()) as u64);
        let mut again = Vec::new();
        for entry in refused {
            figures.commit_errors.inc();
            tracing::warn!(mapping = self.status.name, error = %entry.error, "a message was not deleted");
            if let Kind::Retry { .. } = entry.error.kind() {
                again.push(places[entry.index].clone());
            }
        }
        again
    }

    /// Nothing is deleted and nothing called. `failed` lists the records it is about; none: all.
    fn let_go(&self, piece: &Piece, failed: &[usize]) {
        let count = if failed.is_empty() { piece.len() } else { failed.len() };
        self.status.figures.failed.inc_by(count as u64);
        if self.settings.once {
            let gone = piece.records.iter().enumerate();
            let gone = gone.filter(|(index, _)| failed.is_empty() || failed.binary_search(index).is_ok());
            let ids = gone.filter_map(|(_, record)| id(&record.place).cloned());
            self.lanes().left.extend(ids);
        }
    }

    /// Visible again at once, for whoever is there next. Only at shutdown.
    pub(super) async fn hand_back(&self, piece: &Piece) {
        if piece.is_empty() {
            return;
        }
        let places = piece.places();
        let handed = tokio::time::timeout(HAND_BACK, self.source.hold(&places, Duration::ZERO)).await;
        if !matches!(handed, Ok(Ok(ref refused)) if refused.is_empty()) {
            tracing::info!(
                mapping = self.status.name,
                messages = places.len(),
                "not handed back: they come again when their visibility timeout ends"
            );
        }
    }
}

fn id(place: &Place) -> Option<&bytes::Bytes> {
    match place {
        Place::Item { id, .. } => Some(id),
        Place::At { .. } => None,
    }
}

/// An invocation in flight, uncounted however it ends.
struct Flight<'a>(&'a Engine);

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.status.figures.in_flight.dec();
    }
}
