//! Answers that are cut off.
//!
//! The process ended within them, or it gave them up and goes on. The connection does not tell which, and its end is seen
//! before that of the process.

use std::{sync::Arc, time::Duration};

use super::{Answer, Exchange, Refusal, work::Poll};

/// How long the end of a process may be behind that of its connection. On a machine with much to do that is longer than one
/// would think.
const BEHIND: Duration = Duration::from_millis(300);

impl Exchange {
    /// An answer was cut off: `instead` is what it counts for, unless the process turns out to have ended. That is told by who
    /// watches it.
    pub(crate) async fn cut_off(
        self: &Arc<Self>,
        id: &str,
        attempt: Option<&str>,
        instead: Answer,
    ) -> Result<(), Refusal> {
        {
            let mut state = self.lock();
            let place = state.find(id, attempt)?;
            state.running[place].instead = Some(instead);
        }
        self.heard.notify_waiters();
        if tokio::time::timeout(BEHIND, self.ending.cancelled()).await.is_err() {
            self.go_on(|running| running == id);
        }
        Ok(())
    }

    /// Whether the process has work in hand.
    pub(super) fn busy(&self) -> bool {
        !self.lock().running.is_empty()
    }

    /// The process asks for work while it has some. Its answer may be on another connection, given up even before we have heard
    /// of it.
    pub(super) async fn ask_again(self: &Arc<Self>) -> Result<Poll, Refusal> {
        let mut heard = std::pin::pin!(self.heard.notified());
        heard.as_mut().enable();
        if let asked @ Ok(_) = self.ask() {
            return asked;
        }
        let _ = tokio::time::timeout(BEHIND, heard).await;
        self.ask()
    }

    /// The process goes on: what it gave up of these invocations is over.
    pub(super) fn go_on(self: &Arc<Self>, of: impl Fn(&str) -> bool) {
        let mut state = self.lock();
        let running = state.running.iter_mut().filter(|running| of(&running.flight.invocation.id));
        let over: Vec<_> = running
            .filter_map(|running| Some((Arc::clone(&running.flight.invocation.id), running.instead.take()?)))
            .collect();
        drop(state);
        for (id, instead) in over {
            // Refused where it was told otherwise a moment ago.
            let _ = self.answer(&id, None, instead);
        }
    }
}
