use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::HeaderValue;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    Error, Metrics, Settings, environment::Environments, extension, front, function::Function,
    launch::Launch, logs::Writer, observer::Facts, sandbox::Plan, serve, threads::Threads,
    variables::Variables,
};

/// What the end of an environment takes at most, with all that waits in it.
const ENDING: Duration = Duration::from_secs(3);
/// How long it may take to tell the callers, and to reap, once everything was killed.
const LAST: Duration = Duration::from_secs(1);
/// Connections the system may hold while we are about to accept.
const BACKLOG: u32 = 1024;

/// A function that is being served. Dropping it kills the function's process; [`stop`](Self::stop) ends it properly.
pub struct Host {
    function: Arc<Function>,
    address: SocketAddr,
    connections: TaskTracker,
    stop: CancellationToken,
    _stop: DropGuard,
    _kill: DropGuard,
}

impl Host {
    /// Starts the function and serves it on `listener`. A caller that connects before the first process has initialised
    /// (or failed to) waits; with [`Settings::lazy`] it waits in our queue.
    pub async fn start(settings: Settings, listener: TcpListener) -> Result<Self, Error> {
        let function = prepare(settings).await?;
        // Dropped half-way (nobody waits for the host any more), it takes the process with it.
        let kill = function.plan.kill.clone().drop_guard();
        start_first(&function).await;
        Self::serve(function, kill, listener)
    }

    /// Starts the function, and only then listens on `socket` (bound already): a probe of the port tells whether the
    /// function is there.
    pub async fn start_on(settings: Settings, socket: TcpSocket) -> Result<Self, Error> {
        let lazy = settings.lazy;
        let door = Door::of(socket, lazy).map_err(Error::Listen)?;
        Self::open(prepare(settings).await?, door).await
    }

    /// [`start_on`](Self::start_on) for what is prepared.
    pub(crate) async fn open(function: Arc<Function>, door: Door) -> Result<Self, Error> {
        let kill = function.plan.kill.clone().drop_guard();
        start_first(&function).await;
        let listener = match door {
            Door::Open(listener) => listener,
            Door::Closed(socket) => socket.listen(BACKLOG).map_err(Error::Listen)?,
        };
        Self::serve(function, kill, listener)
    }

    fn serve(function: Arc<Function>, kill: DropGuard, listener: TcpListener) -> Result<Self, Error> {
        let address = listener.local_addr().map_err(Error::Listen)?;
        let stop = CancellationToken::new();
        let connections = TaskTracker::new();
        let (served, ending, tracker) = (Arc::clone(&function), stop.clone(), connections.clone());
        connections.spawn(serve::accept(listener, stop.clone(), move |stream| {
            // Counted by connection: one count for all would pass from thread to thread with each request.
            let function = Arc::new(Arc::clone(&served));
            let peer = stream.peer_addr().ok();
            serve::callers(stream, served.threads.least(), ending.clone(), &tracker, move |request| {
                let function = Arc::clone(&function);
                async move { Ok(front::handle(&function, peer, request).await) }
            });
        }));
        Ok(Self { function, address, connections, _stop: stop.clone().drop_guard(), stop, _kill: kill })
    }

    /// Where callers are served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many invocations run at once, at most.
    pub fn places(&self) -> usize {
        let settings = &self.function.settings;
        settings.concurrency * settings.max_concurrency.unwrap_or(1)
    }

    /// What was done so far.
    pub fn metrics(&self) -> &Metrics {
        &self.function.metrics
    }

    /// Whether the process is there and initialised, and callers are accepted.
    pub fn ready(&self) -> bool {
        self.function.initialised() && !self.stop.is_cancelled()
    }

    /// Accepts no more, finishes what was accepted for at most `within`, then ends the process: SIGTERM, and SIGKILL to
    /// its whole group. Nothing of it is left on return.
    pub async fn stop(self, within: Duration) {
        self.stop.cancel();
        self.connections.close();
        finish(&self.function, self.connections.wait(), within).await;
    }
}

/// Waits until the callers are gone and nothing runs, for at most `within`; then ends the processes.
pub(crate) async fn finish(function: &Function, callers: impl Future<Output = ()>, within: Duration) {
    let mut callers = std::pin::pin!(callers);
    let mut gone = false;
    let finished = async {
        callers.as_mut().await;
        gone = true;
        function.idle().await;
    };
    if tokio::time::timeout(within, finished).await.is_err() {
        match function.busy() {
            true => tracing::warn!(?within, "invocations were still running and are cut off"),
            false => tracing::warn!(?within, "callers that have not sent their requests are cut off"),
        }
        function.close();
    }
    if tokio::time::timeout(ENDING, function.terminate()).await.is_err() {
        function.plan.kill.cancel();
        if tokio::time::timeout(LAST, function.terminate()).await.is_err() {
            tracing::error!("the function's process could not be ended");
        }
    }
    if !gone {
        let _ = tokio::time::timeout(LAST, callers).await;
    }
    // Bounded: nobody may be reading what we write.
    let _ = tokio::time::timeout(LAST, function.plan.logs.flush()).await;
}

/// The invocation port: bound, and open to callers or not yet.
pub(crate) enum Door {
    Open(TcpListener),
    Closed(TcpSocket),
}

impl Door {
    /// A lazy one is open before anything is known of the function.
    pub(crate) fn of(socket: TcpSocket, lazy: bool) -> std::io::Result<Self> {
        Ok(if lazy { Self::Open(socket.listen(BACKLOG)?) } else { Self::Closed(socket) })
    }
}

/// Finds the command; nothing is started yet.
pub(crate) async fn prepare(settings: Settings) -> Result<Arc<Function>, Error> {
    let settings = settings.with_max_concurrency()?;
    settings.check()?;
    let launch = Launch::find(&settings).await?;
    let variables = Variables::new(&settings, &launch, std::env::vars_os());
    let plan = Plan {
        facts: Arc::new(Facts::new(&settings, &launch, &variables)),
        environments: Environments::new(&settings, launch.mounts.as_ref()),
        logs: Writer::new(&settings.logs, settings.system_log_level.as_deref(), |name| variables.get(name)),
        extensions: extension::find(&launch.layers),
        threads: Threads::start(settings.threads).map_err(Error::Thread)?,
        launch,
        variables,
        timeout: settings.timeout,
        max_concurrency: settings.max_concurrency,
        snap_start: settings.snap_start,
        memory_mb: settings.enforce_memory.then_some(settings.memory_mb),
        end: CancellationToken::new(),
        kill: CancellationToken::new(),
    };
    let arn = HeaderValue::from_str(plan.variables.arn()).map_err(|_| Error::Setting {
        field: "AWS_REGION",
        expected: "a region's name",
        got: plan.variables.arn().escape_debug().to_string(),
    })?;
    Ok(Arc::new(Function::new(settings, plan, arn)))
}

/// Starts the first process, and waits for it unless told otherwise.
pub(crate) async fn start_first(function: &Arc<Function>) {
    function.open();
    if !function.settings.lazy {
        function.settled().await;
    }
}
