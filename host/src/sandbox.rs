//! One execution environment: a process and its endpoint, from their start to their end.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    Logs,
    exchange::{Due, Exchange},
    exit::Exit,
    flight::Flight,
    invocation::{Outcome, lost, platform_failure, timed_out},
    launch::Launch,
    observer::{Ended, Event, Observer, Phase, Status},
    pool::Pool,
    process::Process,
    runtime_api::Endpoint,
    variables::Variables,
};

/// What Lambda gives an initialisation of its own.
const INIT_LIMIT: Duration = Duration::from_secs(10);
/// What it gives those that start long before their first invocation, at most.
const LONGEST_INIT: Duration = Duration::from_secs(900);
/// And at least.
const SHORTEST_LONG_INIT: Duration = Duration::from_secs(130);
/// How long a client that has told us why it cannot start may take to go.
const PARTING: Duration = Duration::from_millis(500);
/// How long a process may take over SIGTERM.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// What every environment of a function is started by.
pub(crate) struct Plan {
    pub(crate) launch: Launch,
    pub(crate) variables: Variables,
    pub(crate) timeout: Duration,
    pub(crate) max_concurrency: Option<usize>,
    pub(crate) snap_start: bool,
    pub(crate) memory_mb: u32,
    pub(crate) enforce_memory: bool,
    pub(crate) logs: Logs,
    /// Every environment ends in good order when this is cancelled, and none is started after.
    pub(crate) end: CancellationToken,
    /// Every process dies when this is cancelled.
    pub(crate) kill: CancellationToken,
}

impl Plan {
    fn init_limit(&self) -> Duration {
        if self.max_concurrency.is_some() || self.snap_start {
            return self.timeout.clamp(SHORTEST_LONG_INIT, LONGEST_INIT);
        }
        INIT_LIMIT
    }
}

/// An execution environment that has initialised.
pub(crate) struct Sandbox {
    plan: Arc<Plan>,
    process: Process,
    // After the process: a client must not see its endpoint go before it is killed.
    endpoint: Endpoint,
}

/// Why a process did not initialise.
#[derive(Debug)]
enum Failure {
    /// It said why.
    Reported(Bytes),
    /// It ended.
    Exited(Exit),
    /// It took too long.
    TimedOut,
    /// It could not be started: an error type, and what the system said.
    NotStarted(&'static str, String),
    /// The host is shutting down.
    Ended,
}

impl Failure {
    /// What it is for the invocation whose time the start was on.
    fn outcome(&self, id: &str, timeout: Duration) -> Outcome {
        match self {
            Self::Reported(document) => Outcome::Failed(document.clone()),
            Self::Exited(exit) => lost(id, *exit),
            Self::TimedOut => timed_out(id, timeout),
            Self::NotStarted(kind, why) => platform_failure(id, kind, why),
            Self::Ended => platform_failure(id, "Sandbox.Failure", "the host is shutting down"),
        }
    }

    fn status(&self) -> Status {
        match self {
            Self::Reported(_) => Status::Error("Runtime.InitError".to_owned()),
            Self::Exited(exit) => Status::Failure(exit.error_type().to_owned()),
            Self::TimedOut => Status::Timeout,
            Self::NotStarted(kind, _) => Status::Failure((*kind).to_owned()),
            Self::Ended => Status::Failure("Sandbox.Failure".to_owned()),
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
            Self::Ended => f.write_str("the host is shutting down"),
        }
    }
}

/// How an environment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With the host.
    Shutdown,
    /// With an invocation in hand, or after at least one: starting another is worth while.
    Used,
    /// Before it was of any use.
    Useless,
}

impl Sandbox {
    /// Starts a process and waits until it asks for work. `first` is the invocation it is started for, if it is started
    /// within one: it has its time from then on, and the failure is its outcome.
    pub(crate) async fn start(plan: &Arc<Plan>, pool: &Arc<Pool>, first: Option<Flight>) -> Result<Self, ()> {
        let begin = Instant::now();
        let (phase, limit) = match first.as_ref().and_then(|first| first.deadline) {
            Some(deadline) => (Phase::Invoke, deadline.saturating_duration_since(begin)),
            None => (Phase::Init, plan.init_limit()),
        };
        let observer = Arc::new(Observer::new(plan.memory_mb));
        let exchange = Exchange::new(Arc::clone(pool), observer, plan.timeout, plan.max_concurrency, first);
        let exchange = Arc::new(exchange);
        exchange.observer.see(&Event::InitStart(phase));
        let started = tokio::time::timeout(limit, Self::initialise(plan, &exchange)).await;
        let started = started.unwrap_or(Err(Failure::TimedOut));
        let status = started.as_ref().map_or_else(Failure::status, |_| Status::Success);
        exchange.observer.see(&Event::InitDone { phase, took: begin.elapsed(), status });
        started.map_err(|failure| {
            tracing::warn!(%failure, took = ?begin.elapsed(), "the function did not initialise");
            let (unfetched, running) = exchange.close();
            for flight in unfetched.into_iter().chain(running) {
                let outcome = failure.outcome(&flight.invocation.id, plan.timeout);
                exchange.fail(flight, outcome);
            }
        })
    }

    /// Dropped half-way, it kills the process.
    async fn initialise(plan: &Arc<Plan>, exchange: &Arc<Exchange>) -> Result<Self, Failure> {
        let sandbox = Self::spawn(plan, exchange).await?;
        let ready = tokio::select! {
            biased;
            ready = exchange.ready() => ready.map_err(Failure::Reported),
            exit = sandbox.process.exited() => Err(match exchange.failure() {
                Some(document) => Failure::Reported(document),
                None => Failure::Exited(exit),
            }),
            () = plan.end.cancelled() => Err(Failure::Ended),
        };
        if let Err(failure) = ready {
            if let Failure::Reported(_) = failure {
                let _ = tokio::time::timeout(PARTING, sandbox.process.exited()).await;
            }
            sandbox.process.kill().await;
            return Err(failure);
        }
        Ok(sandbox)
    }

    async fn spawn(plan: &Arc<Plan>, exchange: &Arc<Exchange>) -> Result<Self, Failure> {
        if plan.kill.is_cancelled() {
            return Err(Failure::Ended);
        }
        // The endpoint listens before the process exists: a client whose first call is refused gives up for good.
        let endpoint = Endpoint::bind(Arc::clone(exchange), plan.snap_start).await.map_err(|error| {
            Failure::NotStarted("Sandbox.Failure", format!("no port for the Runtime API: {error}"))
        })?;
        let launch = &plan.launch;
        let stream = Variables::log_stream();
        let variables = plan.variables.for_process(&endpoint.address.to_string(), &stream);
        let tail = &exchange.observer.tail;
        let memory_mb = plan.enforce_memory.then_some(plan.memory_mb);
        let process = Process::start(launch, variables, &stream, memory_mb, &plan.logs, tail, &plan.kill)
            .map_err(|error| {
                let program = launch.program.to_string_lossy();
                Failure::NotStarted("Runtime.InvalidEntrypoint", format!("fork/exec {program}: {error}"))
            })?;
        Ok(Self { plan: Arc::clone(plan), process, endpoint })
    }

    /// Watches it to its end. Invocations come and go without this task; it wakes when one is overdue.
    pub(crate) async fn watch(self) -> End {
        let exchange = Arc::clone(&self.endpoint.exchange);
        loop {
            let Due::At(look) = exchange.overdue(Instant::now()) else { return self.stuck().await };
            tokio::select! {
                biased;
                exit = self.process.exited() => return self.exited(exit).await,
                () = self.plan.end.cancelled() => {
                    self.process.terminate(GRACE).await;
                    return End::Shutdown;
                }
                () = tokio::time::sleep_until(look) => {}
            }
        }
    }

    /// It took too long over an invocation, or over asking for the next one.
    async fn stuck(self) -> End {
        let exchange = Arc::clone(&self.endpoint.exchange);
        let (unfetched, running) = exchange.close();
        if running.is_empty() && unfetched.is_empty() {
            tracing::warn!(timeout = ?self.plan.timeout, "the function's process does not ask for more work");
        }
        for flight in unfetched.into_iter().chain(running) {
            exchange.observer.see(&Event::RuntimeDone(Ended::lost(&flight, Status::Timeout)));
            let outcome = timed_out(&flight.invocation.id, self.plan.timeout);
            exchange.fail(flight, outcome);
        }
        self.process.kill().await;
        End::Used
    }

    async fn exited(self, exit: Exit) -> End {
        let exchange = Arc::clone(&self.endpoint.exchange);
        // What it said before the end counts, read by us or not: a client may report an error and exit.
        self.endpoint.drained().await;
        let proven = exchange.proven();
        let (unfetched, running) = exchange.close();
        if running.is_empty() {
            tracing::warn!(%exit, "the function's process ended between invocations");
        }
        let useful = proven || !running.is_empty();
        for flight in running {
            let status = Status::Failure(exit.error_type().to_owned());
            exchange.observer.see(&Event::RuntimeDone(Ended::lost(&flight, status)));
            let outcome = lost(&flight.invocation.id, exit);
            exchange.fail(flight, outcome);
        }
        for flight in unfetched {
            exchange.again(flight, exit);
        }
        self.process.kill().await;
        if useful { End::Used } else { End::Useless }
    }

    /// Where its process is served.
    pub(crate) fn exchange(&self) -> &Arc<Exchange> {
        &self.endpoint.exchange
    }
}
