//! `klr run`: everything in the files, until told to stop.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures::future::BoxFuture;
use klr_host::cli::unbound;
use serde_json::json;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

#[cfg(feature = "lambda-api")]
use super::lambda_api;
use super::{
    live, units,
    wire::{self, Wiring},
};
use crate::{
    config::{self, Resources},
    mapping::{Ending, Entry, Mapping, Status},
    web,
};

/// What to run, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// YAML or JSON files; `-` is stdin
    #[cfg_attr(feature = "lambda-api", arg(required_unless_present = "lambda_api"))]
    #[cfg_attr(not(feature = "lambda-api"), arg(required = true))]
    #[arg(short, long = "file", value_name = "FILE", num_args = 1..)]
    file: Vec<PathBuf>,
    /// Where push triggers receive [default: 0.0.0.0:$PORT where PORT is set, else 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where /healthz, /readyz and /metrics are served
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    admin: SocketAddr,
    /// How long what is in flight may take to finish after SIGTERM
    #[arg(long, value_name = "TIME", default_value = "25s", value_parser = units::duration)]
    drain_timeout: Duration,
    /// Bytes of records the process may hold
    #[arg(long, value_name = "BYTES", default_value = "256MiB", value_parser = units::bytes)]
    buffer: usize,
    #[cfg(feature = "state")]
    #[command(flatten)]
    state: wire::Place,
    /// Drain what is there now, then exit
    #[arg(long)]
    once: bool,
    #[cfg(feature = "lambda-api")]
    #[command(flatten)]
    lambda: lambda_api::Args,
}

/// Everything, wired and not yet running.
pub(super) struct Parts {
    pub mappings: Vec<Mapping>,
    pub statuses: Vec<Arc<Status>>,
    /// Push triggers, and the port they receive on.
    pub receivers: Option<(TcpListener, axum::Router)>,
    /// What else runs until it is told to stop.
    pub others: Vec<BoxFuture<'static, (String, Ending)>>,
    /// Ends by itself, when everything that is there was drained.
    pub once: bool,
}

impl Parts {
    /// Where push triggers receive.
    #[cfg(all(feature = "kafka", feature = "s3"))]
    pub fn receiver(&self) -> Option<SocketAddr> {
        self.receivers.as_ref()?.0.local_addr().ok()
    }
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let mut resources = config::load(&args.file)?;
    resources.resolve(&wire::environment())?;
    let admin = TcpListener::bind(args.admin).await.map_err(unbound("--admin", args.admin))?;
    #[cfg_attr(not(feature = "state"), allow(unused_mut))]
    let mut wiring = Wiring::new(args.buffer, args.drain_timeout, args.once)?;
    #[cfg(feature = "lambda-api")]
    let plane = args.lambda.open(&args.state, &wiring.metrics).await?;
    #[cfg(feature = "lambda-api")]
    let runs_functions = plane.is_some() || !resources.functions.is_empty();
    #[cfg(not(feature = "lambda-api"))]
    let runs_functions = !resources.functions.is_empty();
    if runs_functions {
        tokio::spawn(klr_host::reap());
    }
    #[cfg(feature = "state")]
    wiring.keep_state_in(args.state).await?;
    for function in &resources.functions {
        tokio::select! {
            started = wiring.function(function) => started?,
            () = signals.next() => return Ok(ExitCode::SUCCESS),
        }
    }
    let wiring = Arc::new(wiring);
    #[cfg_attr(not(feature = "lambda-api"), allow(unused_mut))]
    let mut parts = wire(&wiring, &resources, args.listen).await?;
    let stop = CancellationToken::new();
    #[cfg_attr(not(feature = "lambda-api"), allow(unused_mut))]
    let mut more = axum::Router::new();
    #[cfg_attr(not(feature = "lambda-api"), allow(unused_mut))]
    let mut functions = listed(&resources.functions);
    #[cfg(feature = "lambda-api")]
    let plane = match plane {
        Some(plane) => {
            more = plane.admin();
            let (files, made) = (functions, plane.functions());
            functions = Box::new(move || [files(), made()].concat());
            let (plane, serving) = plane.start(&wiring, &stop, args.drain_timeout)?;
            parts.others.push(serving);
            Some(plane)
        }
        None => None,
    };
    serve_admin(admin, &wiring, functions, more, &stop)?;
    let Some(code) = go(parts, &stop, &mut signals, args.drain_timeout).await else {
        // Dropped, the hosts take their processes with them.
        return Ok(ExitCode::from(1));
    };
    #[cfg(feature = "lambda-api")]
    let left = signals.left_of(args.drain_timeout);
    let last = async {
        #[cfg(feature = "lambda-api")]
        if let Some(plane) = plane {
            plane.stop(left).await;
        }
        wiring.leave_state().await;
        wiring.stop_functions().await;
    };
    tokio::select! {
        () = last => {}
        () = signals.next() => {}
    }
    Ok(ExitCode::from(code))
}

/// Makes parts of resources; opens the receivers' port, if there is a push trigger.
pub(super) async fn wire(
    wiring: &Wiring,
    resources: &Resources,
    listen: Option<SocketAddr>,
) -> anyhow::Result<Parts> {
    let mut parts = Parts {
        mappings: Vec::new(),
        statuses: Vec::new(),
        receivers: None,
        others: Vec::new(),
        once: wiring.once,
    };
    for mapping in &resources.mappings {
        let status = if mapping.enabled {
            let wired = wiring.mapping(mapping).await.with_context(|| format!("mapping {}", mapping.name))?;
            parts.statuses.push(Arc::clone(&wired.means.status));
            let status = Arc::clone(&wired.means.status);
            parts.mappings.push(wired);
            status
        } else {
            Arc::new(Status::disabled(&mapping.name))
        };
        let (origin, written) = (mapping.place.to_string(), Some(Arc::clone(&mapping.written)));
        wiring.board.show(Entry { status, awaited: true, origin, written });
    }
    #[cfg(feature = "s3")]
    super::receive::notifications(wiring, resources, listen, &mut parts).await?;
    #[cfg(not(feature = "s3"))]
    let _ = listen;
    Ok(parts)
}

/// Functions out of files, as the admin port tells of them: they are there before it is.
fn listed(functions: &[config::Function]) -> web::Functions {
    let told = |function: &config::Function| {
        json!({
            "name": function.name,
            "origin": function.place.to_string(),
            "runtime": function.runtime,
            "handler": function.handler,
            "memorySize": function.memory_size,
            "timeout": function.timeout.as_secs(),
            "state": "Active",
        })
    };
    let all: Vec<_> = functions.iter().map(told).collect();
    Box::new(move || all.clone())
}

fn serve_admin(
    listener: TcpListener,
    wiring: &Wiring,
    functions: web::Functions,
    more: axum::Router,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    let (mappings, metrics) = (Arc::clone(&wiring.board), Arc::clone(&wiring.metrics));
    let admin = web::Admin { mappings, functions, metrics, stop: stop.clone() };
    // Served to the very end: a probe during the drain is told that we are draining.
    tokio::spawn(axum::serve(listener, web::router(admin, more, address)).into_future());
    tracing::info!(%address, "health, readiness and metrics");
    Ok(())
}

/// Runs until told to stop, or until nothing is left to run. The first signal drains, the second leaves at once: `None`.
pub(super) async fn go(
    parts: Parts,
    stop: &CancellationToken,
    signals: &mut Signals,
    drain: Duration,
) -> Option<u8> {
    let mut running = JoinSet::new();
    for mapping in parts.mappings {
        let (status, stop) = (Arc::clone(&mapping.means.status), stop.clone());
        running.spawn(async move {
            let ending = match tokio::spawn(async move { mapping.run(stop).await }).await {
                Ok(ending) => ending,
                Err(error) => {
                    let why = format!("the mapping panicked; this is a bug: {error}");
                    status.halted(&why);
                    Ending::Halted(why)
                }
            };
            (status.name.clone(), ending)
        });
    }
    // `--once`: a webhook has nothing that is there already, and would be waited for.
    if let Some((listener, router)) = parts.receivers.filter(|_| !parts.once) {
        let serve = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        running.spawn(serving("receivers", serve, stop.clone(), drain));
    }
    for other in parts.others {
        running.spawn(other);
    }
    if running.is_empty() && !parts.once {
        tracing::warn!("nothing is enabled: waiting to be told to stop");
        signals.next().await;
        return Some(0);
    }
    let mut live = std::pin::pin!(live::show(parts.statuses));
    let mut code = 0;
    loop {
        tokio::select! {
            ended = running.join_next() => match ended {
                None => return Some(code),
                Some(ended) => code = code.max(report(ended)),
            },
            () = signals.next() => {
                if stop.is_cancelled() {
                    tracing::warn!("second signal: leaving at once; what is in flight will be delivered again");
                    return None;
                }
                tracing::info!("draining");
                stop.cancel();
            }
            () = &mut live => {}
        }
    }
}

/// Serves callers; those who are still being answered when told to stop have as long as everything else to finish.
pub(super) async fn serving(
    name: &str,
    serve: impl IntoFuture<Output = std::io::Result<()>>,
    stop: CancellationToken,
    drain: Duration,
) -> (String, Ending) {
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(drain).await;
    };
    let ending = tokio::select! {
        served = serve.into_future() => match served {
            Ok(()) => Ending::Settled,
            Err(error) => Ending::Halted(error.to_string()),
        },
        () = late => {
            tracing::warn!("drain timeout: somebody still waited for an answer of the {name}");
            Ending::Settled
        }
    };
    (name.to_owned(), ending)
}

/// The exit code of one mapping's end.
fn report(ended: Result<(String, Ending), tokio::task::JoinError>) -> u8 {
    match ended {
        Ok((_, Ending::Settled)) => 0,
        Ok((mapping, Ending::LeftBehind(what))) => {
            tracing::warn!(mapping, "{what}");
            1
        }
        Ok((mapping, Ending::Halted(why))) => {
            tracing::error!(mapping, "stopped: {why}");
            2
        }
        Err(error) => {
            tracing::error!("a mapping panicked: {error}");
            2
        }
    }
}

/// SIGTERM and Ctrl-C.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// When the first came.
    first: Option<Instant>,
}

impl Signals {
    pub fn new() -> std::io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, first: None })
    }

    /// The next of either.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        self.first.get_or_insert_with(Instant::now);
    }

    /// What is left of a time that began with the first signal: one after the other ends, and all of them within it.
    #[cfg(feature = "lambda-api")]
    fn left_of(&self, drain: Duration) -> Duration {
        drain.saturating_sub(self.first.map(|first| first.elapsed()).unwrap_or_default())
    }
}
