//! What an environment does, told to whoever listens: the end of the log so far.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    exchange::Answer,
    flight::Flight,
    invocation::{Invocation, VERSION},
    logs::Tail,
};

/// How long a line may be on its way from the function's pipe, when the caller wants the log's end.
const LOG_LAG: Duration = Duration::from_millis(20);

/// How something ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    Success,
    /// The function reported an error; its type, in Lambda's terms.
    Error(String),
    /// The process was lost; an error type.
    Failure(String),
    Timeout,
}

/// Whether an environment starts by itself, or within an invocation (after a start that failed).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Init,
    Invoke,
}

/// How the runtime dealt with an invocation.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) id: String,
    pub(crate) status: Status,
    pub(crate) begun: Instant,
    /// When its answer began to come.
    pub(crate) answering: Option<Instant>,
    /// When its answer was there.
    pub(crate) answered: Instant,
    pub(crate) produced: usize,
}

impl Ended {
    /// By an answer of the runtime's.
    pub(crate) fn of(flight: &Flight, answering: Option<Instant>, answer: &Answer) -> Self {
        let (status, produced) = match answer {
            Answer::Response(reply) => (Status::Success, reply.len()),
            Answer::Streamed(bytes) => (Status::Success, *bytes),
            Answer::Error(kind, document) => (Status::Error(kind.clone()), document.len()),
        };
        let answered = Instant::now();
        let id = flight.invocation.id.clone();
        Self { id, status, begun: flight.begun.unwrap_or(answered), answering, answered, produced }
    }

    /// Without an answer.
    pub(crate) fn lost(flight: &Flight, status: Status) -> Self {
        let answered = Instant::now();
        let (id, begun) = (flight.invocation.id.clone(), flight.begun.unwrap_or(answered));
        Self { id, status, begun, answering: None, answered, produced: 0 }
    }
}

/// What happens in an environment, in its order.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// Its process is about to be started.
    InitStart(Phase),
    /// The runtime asked for work, or failed to.
    InitDone { phase: Phase, took: Duration, status: Status },
    /// An invocation is handed to the runtime.
    Start(&'a Invocation),
    /// The runtime is done with an invocation: it asked for the next one, or is lost. (The answer went out before.)
    RuntimeDone(Ended),
}

/// Who is told what happens in one environment, from a process's start to its end.
#[derive(Debug)]
pub(crate) struct Observer {
    pub(crate) tail: Tail,
    memory_mb: u32,
}

impl Observer {
    pub(crate) fn new(memory_mb: u32) -> Self {
        Self { tail: Tail::default(), memory_mb }
    }

    /// Cheap, and never waits: it is called between a runtime's calls.
    pub(crate) fn see(&self, event: &Event<'_>) {
        match event {
            Event::InitStart(phase) => tracing::debug!(?phase, "the function starts"),
            Event::InitDone { phase, took, status } => {
                tracing::debug!(?phase, ?took, ?status, "the function's start is over");
            }
            Event::Start(invocation) => {
                if invocation.tail {
                    drop(self.tail.take());
                }
            }
            Event::RuntimeDone(Ended { id, status, begun, answering, answered, produced }) => {
                let latency = answering.map(|answering| answering.duration_since(*begun));
                let took = answered.duration_since(*begun);
                tracing::trace!(request = id, ?status, ?took, ?latency, produced, "the runtime is done");
            }
        }
    }

    /// The end of the log with the platform's own lines around it.
    pub(crate) async fn log_tail(&self, id: &str, took: Duration) -> Vec<u8> {
        tokio::time::sleep(LOG_LAG).await;
        let function = self.tail.take();
        let lines = Tail::default();
        lines.push(format!("START RequestId: {id} Version: {VERSION}\n").as_bytes());
        lines.push(&function);
        let millis = took.as_secs_f64() * 1000.0;
        let (billed, memory) = (millis.ceil(), self.memory_mb);
        let report = format!(
            "END RequestId: {id}\nREPORT RequestId: {id}\tDuration: {millis:.2} ms\tBilled Duration: {billed} ms\t\
             Memory Size: {memory} MB\t\n"
        );
        lines.push(report.as_bytes());
        lines.take()
    }
}
