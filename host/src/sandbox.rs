//! One execution environment: a process and its endpoint, from their start to their end.

mod failure;

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::failure::Failure;
use crate::{
    Source,
    ending::Ending,
    environment::{Environment, Environments, ON_DEMAND},
    exchange::{Due, Exchange},
    exit::Exit,
    extension::{
        self, Processes,
        shutdown::{self, Reason},
    },
    flight::Flight,
    invocation::{SHUTTING_DOWN, cut_off, lost, platform_failure, timed_out},
    launch::Launch,
    logs::Writer,
    observer::{Facts, Observer},
    pool::Pool,
    process::{Output, Process, Program},
    runtime_api::Endpoint,
    telemetry::event::Phase,
    threads::Threads,
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
/// The error type of a function whose program cannot be started.
const INVALID_ENTRYPOINT: &str = "Runtime.InvalidEntrypoint";

/// What every environment of a function is started by.
pub(crate) struct Plan {
    pub(crate) launch: Launch,
    pub(crate) environments: Environments,
    pub(crate) variables: Variables,
    pub(crate) timeout: Duration,
    pub(crate) max_concurrency: Option<usize>,
    pub(crate) snap_start: bool,
    /// A limit to enforce.
    pub(crate) memory_mb: Option<u32>,
    pub(crate) facts: Arc<Facts>,
    pub(crate) logs: Writer,
    /// Where the processes are served.
    pub(crate) threads: Threads,
    /// External extensions: files to start beside each process.
    pub(crate) extensions: Vec<PathBuf>,
    /// Every environment ends in good order when this is cancelled, and none is started after.
    pub(crate) end: CancellationToken,
    /// Every process dies when this is cancelled.
    pub(crate) kill: CancellationToken,
}

impl Plan {
    /// What a start may take that an invocation waits for.
    pub(crate) fn init_limit(&self) -> Duration {
        self.init_limit_of(self.max_concurrency.is_some() || self.snap_start)
    }

    fn init_limit_of(&self, ahead: bool) -> Duration {
        if ahead { self.timeout.clamp(SHORTEST_LONG_INIT, LONGEST_INIT) } else { INIT_LIMIT }
    }
}

/// An execution environment.
pub(crate) struct Sandbox {
    plan: Arc<Plan>,
    environment: Arc<Environment>,
    /// None before the extensions have registered.
    process: Option<Process>,
    extensions: Processes,
    // After the processes: a client must not see its endpoint go before it is killed.
    endpoint: Endpoint,
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
    /// Starts the processes and waits until they ask for work. `first` is the invocation they are started for, if they are
    /// started within one: it has its time from then on, and the failure is its outcome.
    pub(crate) async fn start(
        plan: &Arc<Plan>,
        environment: &Arc<Environment>,
        pool: &Arc<Pool>,
        first: Option<Flight>,
    ) -> Result<Self, ()> {
        let begin = Instant::now();
        // AWS: what an environment is initialised by again is a part of the next invocation.
        let phase = if environment.begin() { Phase::Init } else { Phase::Invoke };
        // AWS: what is tried again within an invocation is one start.
        let again = first.is_some() && environment.failed();
        let limit = match first.as_ref().and_then(|first| first.deadline) {
            Some(deadline) => deadline.saturating_duration_since(begin),
            None => plan.init_limit_of(environment.kind != ON_DEMAND),
        };
        let (facts, stream) = (Arc::clone(&plan.facts), environment.stream.clone());
        let left = environment.left();
        let observer = Observer::new(facts, environment.kind, stream, plan.logs.clone(), left);
        let observer = Arc::new(observer);
        let exchange =
            Exchange::new(Arc::clone(pool), Arc::clone(&observer), plan.timeout, plan.max_concurrency, first);
        let exchange = Arc::new(exchange);
        observer.init_start(phase, again);
        let (sandbox, started) = match Self::bind(plan, environment, &exchange) {
            Ok(mut sandbox) => {
                let started = tokio::time::timeout(limit, sandbox.initialise()).await;
                (Some(sandbox), started.unwrap_or(Err(Failure::TimedOut)))
            }
            Err(failure) => (None, Err(failure)),
        };
        let ending = started.as_ref().map_or_else(Failure::ending, |()| Ending::success());
        observer.init_done(phase, begin.elapsed(), &ending);
        environment.settle(started.is_err());
        match (sandbox, started) {
            (Some(sandbox), Ok(())) => {
                tracing::debug!(took = ?begin.elapsed(), "the function initialised");
                exchange.release();
                Ok(sandbox)
            }
            (sandbox, started) => {
                if let Err(failure) = &started {
                    tracing::warn!(%failure, took = ?begin.elapsed(), "the function did not initialise");
                    Self::give_up(plan, &exchange, failure, sandbox).await;
                }
                Err(())
            }
        }
    }

    /// Answers whom it was started for, and ends what was started.
    async fn give_up(plan: &Plan, exchange: &Arc<Exchange>, failure: &Failure, sandbox: Option<Self>) {
        let (mut unfetched, running) = exchange.close();
        if matches!(failure, Failure::Ended) || plan.kill.is_cancelled() {
            unfetched.drain(..).for_each(Flight::turn_away);
        }
        for flight in unfetched.into_iter().chain(running) {
            let outcome = failure.outcome(&flight.invocation.id, plan.timeout);
            exchange.lose(flight, failure.ending(), Some(failure.why()), outcome);
        }
        if let Some(sandbox) = sandbox {
            if let (Failure::Reported(_), Some(process)) = (failure, &sandbox.process) {
                let _ = tokio::time::timeout(PARTING, process.exited()).await;
            }
            sandbox.end(failure.reason()).await;
        }
    }

    /// The endpoint listens before any process exists: a client whose first call is refused gives up for good.
    fn bind(
        plan: &Arc<Plan>,
        environment: &Arc<Environment>,
        exchange: &Arc<Exchange>,
    ) -> Result<Self, Failure> {
        if plan.kill.is_cancelled() {
            return Err(Failure::Ended);
        }
        let thread = plan.threads.least();
        let endpoint = Endpoint::bind(thread, Arc::clone(exchange), plan.snap_start).map_err(|error| {
            Failure::NotStarted("Sandbox.Failure", format!("no port for the Runtime API: {error}"))
        })?;
        let (plan, environment) = (Arc::clone(plan), Arc::clone(environment));
        Ok(Self { plan, environment, process: None, extensions: Processes::default(), endpoint })
    }

    /// The extensions first, and the runtime when they have registered; it is over when all of them ask for what comes next.
    async fn initialise(&mut self) -> Result<(), Failure> {
        let exchange = Arc::clone(&self.endpoint.exchange);
        let (plan, observer) = (Arc::clone(&self.plan), Arc::clone(&exchange.observer));
        let environment = Arc::clone(&self.environment);
        let extensions = observer.extensions();
        let address = self.endpoint.address.to_string();
        let variables = plan.variables.for_process(&address, observer.name(), &environment);
        let ready = async {
            self.extensions = Processes::start(
                &plan.extensions,
                environment.mounts.as_ref(),
                &variables,
                &observer,
                &plan.kill,
            );
            extensions.registered().await.map_err(Failure::Extension)?;
            let process = self.process.insert(Self::spawn(&plan, &environment, &observer, variables)?);
            let asked = async {
                exchange.ready().await.map_err(Failure::Reported)?;
                extensions.close();
                extensions.idle().await.map_err(Failure::Extension)
            };
            tokio::select! {
                biased;
                asked = asked => asked?,
                exit = process.exited() => {
                    self.endpoint.drained().await;
                    return Err(exchange.failure().map_or(Failure::Exited(exit), Failure::Reported));
                }
                failure = extensions.failed() => return Err(Failure::Extension(failure)),
            }
            observer.log().telemetry().close();
            Ok(())
        };
        tokio::select! {
            biased;
            ready = ready => ready,
            () = plan.end.cancelled() => Err(Failure::Ended),
        }
    }

    fn spawn(
        plan: &Plan,
        environment: &Environment,
        observer: &Observer,
        variables: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
    ) -> Result<Process, Failure> {
        let launch = &plan.launch;
        if let Some(fault) = &launch.fault {
            return Err(Failure::NotStarted(INVALID_ENTRYPOINT, fault.clone()));
        }
        let mark = format!("AWS_LAMBDA_LOG_STREAM_NAME={}", observer.name());
        let program = Program {
            path: &launch.program,
            arguments: &launch.arguments,
            directory: &launch.directory,
            mounts: environment.mounts.as_ref(),
            source: Source::Function,
            output: if plan.max_concurrency.is_some() { Output::Workers } else { Output::Framed },
            mark: &mark,
            memory_mb: plan.memory_mb,
        };
        let process = Process::start(&program, variables, observer.log(), &plan.kill).map_err(|error| {
            let program = launch.program.to_string_lossy();
            Failure::NotStarted(INVALID_ENTRYPOINT, format!("fork/exec {program}: {error}"))
        })?;
        observer.memory().watch(process.id());
        Ok(process)
    }

    /// Watches it to its end. Invocations come and go without this task; it wakes when one is overdue.
    pub(crate) async fn watch(self) -> End {
        let exchange = Arc::clone(&self.endpoint.exchange);
        let process = self.process.as_ref().expect("it has initialised");
        loop {
            let Due::At(look) = exchange.overdue(Instant::now()) else { return self.stuck().await };
            tokio::select! {
                biased;
                exit = process.exited() => return self.exited(exit).await,
                failure = exchange.observer.extensions().failed() => return self.failed(failure).await,
                () = self.plan.end.cancelled() => return self.spin_down().await,
                () = tokio::time::sleep_until(look) => {}
            }
        }
    }

    /// It is not needed any more, or the host ends. What is told of its last invocation is told now.
    async fn spin_down(self) -> End {
        let exchange = Arc::clone(&self.endpoint.exchange);
        let (unfetched, running) = exchange.close();
        unfetched.into_iter().for_each(Flight::turn_away);
        for flight in running {
            let outcome = cut_off(&flight.invocation.id);
            exchange.lose(
                flight,
                Ending::failure("Sandbox.Failure"),
                Some(SHUTTING_DOWN.to_owned()),
                outcome,
            );
        }
        exchange.observer.settle();
        self.end(Reason::Spindown).await;
        End::Shutdown
    }

    /// It took too long over an invocation, or over asking for the next one.
    async fn stuck(self) -> End {
        let exchange = Arc::clone(&self.endpoint.exchange);
        let (unfetched, running) = exchange.close();
        if running.is_empty() && unfetched.is_empty() {
            tracing::warn!(timeout = ?self.plan.timeout, "the function's process, or an extension, does not ask for more work");
        }
        for flight in unfetched.into_iter().chain(running) {
            let outcome = timed_out(&flight.invocation.id, self.plan.timeout);
            exchange.lose(flight, Ending::timeout(), None, outcome);
        }
        exchange.observer.abandon(Ending::timeout(), None);
        self.end(Reason::Timeout).await;
        End::Used
    }

    async fn exited(self, exit: Exit) -> End {
        let exchange = Arc::clone(&self.endpoint.exchange);
        // What it said before the end counts, read by us or not: a client may report an error and exit.
        exchange.end();
        self.endpoint.drained().await;
        if self.plan.kill.is_cancelled() {
            // By us.
            return self.spin_down().await;
        }
        let proven = exchange.proven();
        let (unfetched, running) = exchange.close();
        if running.is_empty() {
            tracing::warn!(%exit, "the function's process ended between invocations");
        }
        let useful = proven || !running.is_empty();
        let ending = Ending::failure(exit.error_type());
        for flight in running {
            let outcome = lost(&flight.invocation.id, exit);
            exchange.lose(flight, ending.clone(), Some(exit.to_string()), outcome);
        }
        exchange.observer.abandon(ending.clone(), Some(exit.to_string()));
        for flight in unfetched.into_iter().filter_map(|flight| exchange.again(flight)) {
            let outcome = lost(&flight.invocation.id, exit);
            exchange.lose(flight, ending.clone(), Some(exit.to_string()), outcome);
        }
        self.end(Reason::Failure).await;
        if useful { End::Used } else { End::Useless }
    }

    /// An extension failed, and the environment with it.
    async fn failed(self, failure: extension::Failure) -> End {
        let exchange = Arc::clone(&self.endpoint.exchange);
        tracing::warn!(kind = failure.kind, why = failure.message, "an extension failed");
        let proven = exchange.proven();
        let (unfetched, running) = exchange.close();
        let useful = proven || !running.is_empty();
        let (ending, why) = (Ending::failure(failure.kind), Some(failure.message.clone()));
        let unfetched = unfetched.into_iter().filter_map(|flight| exchange.again(flight));
        for flight in unfetched.chain(running) {
            let outcome = platform_failure(&flight.invocation.id, failure.kind, &failure.message);
            exchange.lose(flight, ending.clone(), why.clone(), outcome);
        }
        exchange.observer.abandon(ending, why);
        self.end(Reason::Failure).await;
        if useful { End::Used } else { End::Useless }
    }

    async fn end(self, reason: Reason) {
        // The endpoint is there to the last: extensions ask it what comes next.
        let Self { process, extensions, endpoint, environment, .. } = self;
        let observer = &endpoint.exchange.observer;
        shutdown::end(process, extensions, observer, reason).await;
        environment.leave(observer.log().tail().left());
    }

    /// Where its process is served.
    pub(crate) fn exchange(&self) -> &Arc<Exchange> {
        &self.endpoint.exchange
    }
}
