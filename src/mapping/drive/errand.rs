//! What is done beside the loop: invocations, failure records on their way, partitions let go. Each is a task that answers.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use klr_contract::{Error, Partition, Place, Position, Record};

use super::Drive;
use crate::{
    deliver::{Delivered, Outcome, tumbling},
    mapping::{
        failure::Failure,
        log::{Call, Heard, Input},
        next::{Judged, judge},
    },
};

/// AWS's function timeout where neither sink nor function sets one.
const TIMEOUT: Duration = Duration::from_secs(300);

/// What a task answers.
pub(super) enum Answer {
    /// The flight, and how it went.
    Invoked(u64, Arc<Vec<Record>>, Heard),
    /// The flight, how many records.
    Discarded(u64, usize, Result<(), Error>),
    Released(Partition, Result<(), Error>),
}

/// What a flight waits for.
#[derive(Clone, Copy)]
pub(super) enum Errand {
    Invocation,
    Discard,
}

impl Drive {
    pub(super) fn answered(&mut self, answer: Result<(tokio::task::Id, Answer), tokio::task::JoinError>) {
        match answer {
            Ok((id, Answer::Invoked(flight, records, heard))) => {
                self.flights.retain(|(task, ..)| *task != id);
                self.invoked(flight, &records, heard);
            }
            Ok((id, Answer::Discarded(flight, records, result))) => {
                self.flights.retain(|(task, ..)| *task != id);
                self.discarded(flight, records, result);
            }
            Ok((_, Answer::Released(partition, result))) => {
                if let Err(error) = result {
                    self.status.figures.commit_errors.inc();
                    tracing::warn!(mapping = self.status.name, partition = partition.index, %error, "not let go in order");
                }
            }
            // A panic while invoking: a bug of ours, and no reason to lose or to settle the batch.
            // (What a drain timeout aborted is no panic, and not in the list any more.)
            Err(error) if error.is_cancelled() => {}
            Err(error) => {
                tracing::error!(mapping = self.status.name, "panic: {error}");
                if let Some(at) = self.flights.iter().position(|(id, ..)| *id == error.id()) {
                    let (_, _, flight, errand) = self.flights.swap_remove(at);
                    self.forget(flight, errand, Judged::Broken);
                }
            }
        }
    }

    /// Nobody will answer for it any more.
    pub(super) fn forget(&mut self, flight: u64, errand: Errand, judged: Judged) {
        match errand {
            Errand::Invocation => self.invoked(flight, &[], judged.into()),
            Errand::Discard => self.step(Input::Discarded(flight, Err("not asked to the end".to_owned()))),
        }
    }

    fn invoked(&mut self, flight: u64, records: &[Record], heard: Heard) {
        let figures = &self.status.figures;
        figures.in_flight.dec();
        // However it went: of a shard that is held up the age has to grow.
        if let Some(last) = records.last() {
            let age = Timestamp::now().as_millisecond() - last.at.as_millisecond();
            figures.iterator_age.set(age.max(0));
        }
        match &heard.judged {
            Judged::Failed(_) | Judged::Misreported(_) | Judged::Broken | Judged::Rejected => {
                figures.invoke_errors.inc();
                figures.failed.inc_by(records.len() as u64);
            }
            Judged::Partial(failed) => {
                figures.failed.inc_by(failed.len() as u64);
            }
            Judged::Throttled(_) => {
                figures.throttles.inc();
            }
            Judged::Unreachable(_) => {
                figures.unreachable.inc();
            }
            Judged::Done => self.status.ended(false),
            Judged::TooLarge | Judged::Unanswered => {}
        }
        self.step(Input::Answered(flight, heard));
    }

    fn discarded(&mut self, flight: u64, records: usize, result: Result<(), Error>) {
        match &result {
            Ok(()) => {
                self.status.ended(true);
                self.given_up += records as u64;
                self.status.figures.discarded.inc_by(records as u64);
            }
            Err(_) => {
                self.status.figures.destination_errors.inc();
            }
        }
        self.step(Input::Discarded(flight, result.map_err(|error| error.to_string())));
    }

    pub(super) fn invoke(&mut self, flight: u64, call: Call) {
        self.status.figures.invoked.inc_by(call.records.len() as u64);
        self.status.figures.in_flight.inc();
        let (invoker, shape) = (Arc::clone(&self.invoker), Arc::clone(&self.shape));
        let policy = self.settings.policy.clone();
        let timeout = self.settings.timeout.unwrap_or(TIMEOUT);
        let name = call.window.as_ref().and_then(|_| self.source.name(call.partition));
        let task = self.tasks.spawn(async move {
            let Call { records, window, .. } = call;
            let window = window.as_ref().map(|window| (window, name.as_deref().unwrap_or_default()));
            let Delivered { outcome, request } = invoker.invoke(&records, window, timeout).await;
            let (outcome, state) = if window.is_some() { keep_state(outcome) } else { (outcome, None) };
            let judged = match judge(&policy, outcome, &records, &*shape) {
                Judged::Done if window.is_some() && state.is_none() => Judged::Unanswered,
                judged => judged,
            };
            Answer::Invoked(flight, records, Heard { judged, state, request })
        });
        self.flights.push((task.id(), task, flight, Errand::Invocation));
    }

    pub(super) fn discard(&mut self, flight: u64, failure: Failure) {
        let Some(destination) = self.destination.clone() else {
            tracing::error!(
                mapping = self.status.name,
                "records are to be discarded, and there is no destination"
            );
            return self.halted = Some("records are to be discarded, and there is no destination".to_owned());
        };
        let first = failure.records.first().map(|record| &record.place);
        let name = match first {
            Some(Place::At { partition, .. }) => self.source.name(*partition),
            _ => None,
        };
        let task = self.tasks.spawn(async move {
            let result = destination.send(&failure, name.as_deref().unwrap_or_default()).await;
            Answer::Discarded(flight, failure.records.len(), result)
        });
        self.flights.push((task.id(), task, flight, Errand::Discard));
    }

    pub(super) fn release(&mut self, partition: Partition, through: Option<Position>) {
        let source = Arc::clone(&self.source);
        self.tasks
            .spawn(async move { Answer::Released(partition, source.release(partition, through).await) });
    }
}

/// The state in a tumbling window's answer. AWS: an answer without one is a failed invocation.
fn keep_state(outcome: Outcome) -> (Outcome, Option<Bytes>) {
    match outcome {
        Outcome::Done(body) => match tumbling::state(&body) {
            Some(state) => (Outcome::Done(body), Some(state)),
            None => (Outcome::FunctionError, None),
        },
        other => (other, None),
    }
}
