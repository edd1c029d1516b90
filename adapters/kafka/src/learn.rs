//! The consumer's thread, where a schema registry decodes: what is not known yet is asked for, and waited for.
//!
//! Meanwhile nothing is handed over, so that order stays. A registry that answers in time costs a pause; of one that does
//! not the engine is told, everything is paused, and the group goes on hearing of us.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use klr_contract::Partition;
use rdkafka::message::BorrowedMessage;

use crate::error;
use crate::registry::{Answer, Not};
use crate::thread::{Polled, Reader, is_of_a_position};

/// How long an answer is waited for before everything is paused. (A pause throws the prefetched away.)
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two questions, at first and at most.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// The longest single wait, and so how soon the end is noticed.
const STEP: Duration = Duration::from_millis(100);

impl<'a> Reader<'a> {
    /// Decodes a message and adds it to the pull.
    pub(crate) fn take_decoded(&mut self, partition: Partition, message: &BorrowedMessage<'_>) {
        while let Some(decoder) = &self.decoder {
            match decoder.decode(message, Instant::now()) {
                Ok(decoded) => return self.enter(partition, message, Some(Ok(decoded))),
                Err(Not::Readable(reason)) => return self.enter(partition, message, Some(Err(reason))),
                // At the end it is left where it is: nothing of it was committed.
                Err(Not::Known(id)) if !self.learn(id) => return,
                Err(Not::Known(_)) => {}
            }
        }
    }

    /// Asks until the registry has answered; false: this is the end.
    fn learn(&mut self, id: u32) -> bool {
        let (since, mut pause, mut paused) = (Instant::now(), PAUSE, false);
        // Who stalls for the engine's sake goes on doing so.
        let stalled = self.shared.ledger.stalled();
        let learned = loop {
            let Some(answers) = self.decoder.as_ref().map(|decoder| decoder.ask(id)) else { break false };
            let Some(answer) = self.answer(&answers, since, &mut paused) else { break false };
            match answer {
                Ok(text) => {
                    if let Some(decoder) = &mut self.decoder {
                        decoder.learn(id, text.as_ref(), Instant::now());
                    }
                    break true;
                }
                Err(why) => self.shared.tell(error::registry(&why, id)),
            }
            let until = Instant::now() + pause;
            while Instant::now() < until && !self.shared.ledger.stopping() {
                self.wait(since, &mut paused);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        if paused && !stalled {
            self.shared.ledger.stall(false, |open| self.shared.pause(self.consumer, open, false));
        }
        learned
    }

    /// One answer; `None`: this is the end.
    fn answer(&mut self, answers: &Receiver<Answer>, since: Instant, paused: &mut bool) -> Option<Answer> {
        while !self.shared.ledger.stopping() {
            let answer = if *paused {
                self.wait(since, paused);
                answers.try_recv().map_err(|none| none == TryRecvError::Disconnected)
            } else {
                answers.recv_timeout(STEP).map_err(|none| none == RecvTimeoutError::Disconnected)
            };
            match answer {
                Ok(answer) => return Some(answer),
                // The runtime that asked is gone.
                Err(true) => return None,
                Err(false) => self.pause_when_late(since, paused),
            }
        }
        None
    }

    /// Lets time pass; once paused, within `poll`, where the group sees that we live. What comes is kept for later.
    fn wait(&mut self, since: Instant, paused: &mut bool) {
        if !*paused {
            std::thread::sleep(STEP);
            return self.pause_when_late(since, paused);
        }
        match self.ask_librdkafka(STEP) {
            Some(Polled::Error(error)) if !is_of_a_position(&error) => self.fail(&error),
            Some(polled) => self.later.push_back(polled),
            None => {}
        }
    }

    fn pause_when_late(&mut self, since: Instant, paused: &mut bool) {
        if *paused || since.elapsed() < PATIENCE {
            return;
        }
        *paused = true;
        tracing::debug!(topic = self.shared.config.topic, "the schema registry is waited for: paused");
        self.shared.ledger.stall(true, |open| self.shared.pause(self.consumer, open, true));
        // What came before what is waited for need not wait.
        let mut chunk = self.pull.seal();
        while !chunk.is_empty() && !self.shared.ledger.stopping() {
            match self.shared.inbox.push(chunk, Duration::ZERO) {
                Ok(()) => break,
                Err(back) => chunk = back,
            }
            self.wait(since, paused);
        }
    }
}
