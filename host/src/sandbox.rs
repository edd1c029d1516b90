//! One execution environment: a process and its endpoint, started, invoked, and started again.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Logs,
    exchange::{Answer, Offer},
    exit::Exit,
    invocation::{Done, Invocation, Outcome, VERSION, document},
    launch::Launch,
    logs::Tail,
    process::Process,
    runtime_api::Endpoint,
    variables::Variables,
};

/// What Lambda gives an initialisation of its own.
pub(crate) const INIT_LIMIT: Duration = Duration::from_secs(10);
/// How long a client that has told us why it cannot start may take to go.
const PARTING: Duration = Duration::from_millis(500);
/// How long a line may be on its way from the function's pipe, when the caller wants the log's end.
const LOG_LAG: Duration = Duration::from_millis(20);

/// What every process of a function is started by.
pub(crate) struct Plan {
    pub(crate) launch: Launch,
    pub(crate) variables: Variables,
    pub(crate) timeout: Duration,
    pub(crate) memory_mb: u32,
    pub(crate) logs: Logs,
    /// Every process dies when this is cancelled, and none is started after.
    pub(crate) kill: CancellationToken,
}

/// An execution environment. There may be no process in it: the next invocation starts one.
pub(crate) struct Sandbox {
    plan: Arc<Plan>,
    live: Option<Live>,
    tail: Tail,
}

struct Live {
    process: Process,
    // After the process: a client must not see its endpoint go before it is killed.
    endpoint: Endpoint,
}

/// Why a process did not initialise.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It said why.
    Reported(Bytes),
    /// It ended.
    Exited(Exit),
    /// It took too long.
    TimedOut,
    /// It could not be started: an error type, and what the system said.
    NotStarted(&'static str, String),
}

impl Failure {
    fn outcome(self, id: &str, timeout: Duration) -> Outcome {
        match self {
            Self::Reported(document) => Outcome::Failed(document),
            Self::Exited(exit) => lost(id, exit),
            Self::TimedOut => timed_out(id, timeout),
            Self::NotStarted(kind, why) => {
                Outcome::Lost(document(kind, &format!("RequestId: {id} Error: {why}")))
            }
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // The document is the caller's to read; it may quote what the function was given.
            Self::Reported(_) => f.write_str("the runtime client reported an error"),
            Self::Exited(exit) => exit.fmt(f),
            Self::TimedOut => f.write_str("no call of `next` within the limit"),
            Self::NotStarted(_, why) => f.write_str(why),
        }
    }
}

impl Sandbox {
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        Self { plan, live: None, tail: Tail::default() }
    }

    /// Whether there is a process that can be handed an invocation.
    pub(crate) fn alive(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.process.exit().is_none())
    }

    /// Starts a process, in place of any that is there, and waits until it asks for work.
    pub(crate) async fn initialise(&mut self, limit: Duration) -> Result<(), Failure> {
        if let Some(old) = self.live.take() {
            old.process.kill().await;
        }
        let begin = Instant::now();
        let live = self.start().await?;
        let exchange = Arc::clone(&live.endpoint.exchange);
        let ready = tokio::select! {
            biased;
            ready = exchange.ready() => ready.map_err(Failure::Reported),
            exit = live.process.exited() => Err(match exchange.failure() {
                Some(document) => Failure::Reported(document),
                None => Failure::Exited(exit),
            }),
            () = tokio::time::sleep(limit) => Err(Failure::TimedOut),
        };
        match &ready {
            Ok(()) => {
                tracing::debug!(took = ?begin.elapsed(), "the function initialised");
                self.live = Some(live);
            }
            Err(failure) => {
                tracing::warn!(%failure, took = ?begin.elapsed(), "the function did not initialise");
                if let Failure::Reported(_) = failure {
                    let _ = tokio::time::timeout(PARTING, live.process.exited()).await;
                }
                live.process.kill().await;
            }
        }
        ready
    }

    async fn start(&self) -> Result<Live, Failure> {
        if self.plan.kill.is_cancelled() {
            return Err(Failure::NotStarted("Sandbox.Failure", "the host is shutting down".to_owned()));
        }
        // The endpoint listens before the process exists: a client whose first call is refused gives up for good.
        let endpoint = Endpoint::bind().await.map_err(|error| {
            Failure::NotStarted("Sandbox.Failure", format!("no port for the Runtime API: {error}"))
        })?;
        let launch = &self.plan.launch;
        let variables =
            self.plan.variables.for_process(&endpoint.address.to_string(), &Variables::log_stream());
        let process = Process::start(launch, variables, &self.plan.logs, &self.tail, &self.plan.kill)
            .map_err(|error| {
                let program = launch.program.to_string_lossy();
                Failure::NotStarted("Runtime.InvalidEntrypoint", format!("fork/exec {program}: {error}"))
            })?;
        Ok(Live { process, endpoint })
    }

    /// Invokes the function, tells the outcome as soon as it is known, and returns when the next invocation may come.
    pub(crate) async fn invoke(&mut self, invocation: Invocation, tell: impl FnOnce(Done)) {
        let begin = Instant::now();
        let deadline = begin + self.plan.timeout;
        let (id, wants_tail) = (invocation.id.clone(), invocation.tail);
        let _ = self.tail.take();
        let outcome = self.attempt(invocation, deadline).await;
        let next = Next::after(&outcome);
        let tail = if wants_tail { Some(self.log_tail(&id, begin.elapsed()).await) } else { None };
        tell(Done { outcome, tail });
        self.settle(next, deadline).await;
    }

    async fn attempt(&mut self, mut invocation: Invocation, deadline: Instant) -> Outcome {
        let id = invocation.id.clone();
        loop {
            // A process that ended between invocations, or never initialised: one more try, on the function's own time.
            let renewed = !self.alive();
            if let Some(exit) = self.live.as_ref().and_then(|live| live.process.exit()) {
                tracing::warn!(%exit, "the function's process ended between invocations");
            }
            if renewed
                && let Err(failure) =
                    self.initialise(deadline.saturating_duration_since(Instant::now())).await
            {
                return failure.outcome(&id, self.plan.timeout);
            }
            let live = self.live.as_ref().expect("it was alive or has just been initialised");
            let left = deadline.saturating_duration_since(Instant::now());
            let offer =
                Offer { invocation, attempt: Uuid::new_v4().to_string(), deadline: SystemTime::now() + left };
            let answered = live.endpoint.exchange.offer(offer);
            let exit = tokio::select! {
                // What was posted before the end counts: a client may report an error and exit.
                biased;
                Ok(answer) = answered => return match answer {
                    Answer::Response(reply) => Outcome::Replied(reply),
                    Answer::Error(document) => Outcome::Failed(document),
                },
                exit = live.process.exited() => exit,
                () = tokio::time::sleep_until(deadline) => return timed_out(&id, self.plan.timeout),
            };
            match live.endpoint.exchange.withdraw() {
                // It ended before it fetched this one, so it is no fault of this one's.
                Some(unfetched) if !renewed => invocation = unfetched,
                _ => return lost(&id, exit),
            }
        }
    }

    /// Waits until the process asks for more, or replaces it.
    async fn settle(&mut self, next: Next, deadline: Instant) {
        if let (Next::Keep, Some(live)) = (next, &self.live) {
            let ready = tokio::select! {
                biased;
                ready = live.endpoint.exchange.ready() => ready.is_ok(),
                _ = live.process.exited() => false,
                () = tokio::time::sleep_until(deadline) => false,
            };
            if ready {
                return;
            }
        } else if self.live.is_none() && next != Next::RenewInFull {
            // Its start failed, and starting it again is the next invocation's business.
            return;
        }
        if !self.plan.kill.is_cancelled() {
            tracing::info!("the function's process is replaced");
            // A failure was logged; the next invocation tries again.
            let _ = self.initialise(INIT_LIMIT).await;
        }
    }

    /// The end of the log with the platform's own lines around it.
    async fn log_tail(&self, id: &str, took: Duration) -> Vec<u8> {
        tokio::time::sleep(LOG_LAG).await;
        let function = self.tail.take();
        let lines = Tail::default();
        lines.push(format!("START RequestId: {id} Version: {VERSION}\n").as_bytes());
        lines.push(&function);
        let millis = took.as_secs_f64() * 1000.0;
        let (billed, memory) = (millis.ceil(), self.plan.memory_mb);
        let report = format!(
            "END RequestId: {id}\nREPORT RequestId: {id}\tDuration: {millis:.2} ms\tBilled Duration: {billed} ms\t\
             Memory Size: {memory} MB\t\n"
        );
        lines.push(report.as_bytes());
        lines.take()
    }

    /// Ends the process: asked first, killed after `grace`.
    pub(crate) async fn terminate(&mut self, grace: Duration) {
        if let Some(live) = self.live.take() {
            live.process.terminate(grace).await;
        }
    }
}

/// What an outcome means for the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// It goes on.
    Keep,
    /// It is lost.
    Renew,
    /// It is lost, or had too little time to start: one that starts slower than the function's timeout would never
    /// come back if only invocations started it.
    RenewInFull,
}

impl Next {
    fn after(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Replied(_) | Outcome::Failed(_) => Self::Keep,
            Outcome::Lost(_) => Self::Renew,
            Outcome::TimedOut(_) => Self::RenewInFull,
        }
    }
}

fn timed_out(id: &str, timeout: Duration) -> Outcome {
    let seconds = timeout.as_secs_f64();
    let message = format!("RequestId: {id} Error: Task timed out after {seconds:.2} seconds");
    Outcome::TimedOut(document("Sandbox.Timedout", &message))
}

fn lost(id: &str, exit: Exit) -> Outcome {
    Outcome::Lost(document("Runtime.ExitError", &format!("RequestId: {id} Error: {exit}")))
}
