//! `klr host`, and the whole of `klr-host`.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZero,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow};
use tokio::{
    net::{TcpListener, TcpSocket},
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Host, Inherit, Mount, Reply, Settings, admin, children,
    host::{self, Door},
};

/// Bad usage or input, as all verbs answer it.
const USAGE: u8 = 2;
/// The host's part of an invocation takes about as long as the shortest function's: a thread is enough for as many as keep it
/// and one core more busy.
const INVOCATIONS_A_THREAD: usize = 2;

/// Runs a Lambda function as it is, and takes CloudEvents and Invoke API calls for it over HTTP.
#[derive(clap::Args)]
pub struct Args {
    /// Where callers are served [default: 0.0.0.0:$PORT where PORT is set, else 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where /healthz, /readyz and /metrics are served
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9091")]
    admin: SocketAddr,
    /// Accept callers before the function has initialised
    #[arg(long)]
    lazy: bool,
    /// What a CloudEvent is answered with: auto (the function's reply; nothing to a request with `Prefer: reply`),
    /// always, event (the reply as a CloudEvent), never
    #[arg(long, value_name = "WHAT", default_value = "auto")]
    reply: Reply,
    /// Take HTTP requests that are neither CloudEvents nor Invoke API calls to the function, as a Lambda Function URL does
    #[arg(long, value_name = "VERSION", value_parser = ["2.0"])]
    http_events: Option<String>,
    /// The function's name
    #[arg(long, default_value = "function")]
    name: String,
    /// python3.N, nodejsN.x, javaN, rubyN.N, go1.x or provided*, where no command is given
    #[arg(long)]
    runtime: Option<String>,
    /// The handler [default: the command's last argument]
    #[arg(long)]
    handler: Option<String>,
    /// The function's code: where it runs [default: here]
    #[arg(long, value_name = "DIR")]
    code: Option<PathBuf>,
    /// How long an invocation may take, as in 3s, 500ms or 15m
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    timeout: Duration,
    /// The memory the function is told it has, in MB; the limit of each process where control groups are writable
    #[arg(long, value_name = "MB", default_value_t = 128, value_parser = clap::value_parser!(u32).range(128..=10_240))]
    memory: u32,
    /// How many processes of the function there may be at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    concurrency: usize,
    /// How many invocations one process may have at once, of a function written for it [default: one, or
    /// $AWS_LAMBDA_MAX_CONCURRENCY]
    #[arg(long, value_name = "N", env = "AWS_LAMBDA_MAX_CONCURRENCY", hide_env = true)]
    max_concurrency: Option<usize>,
    /// Tell the function that it is restored from a snapshot, so that its hooks run
    #[arg(long)]
    snap_start: bool,
    /// An unpacked layer; several in order, a later one wins, file by file
    #[arg(long = "layer", value_name = "DIR")]
    layers: Vec<PathBuf>,
    /// What the function sees where Lambda has it, where this machine allows mount namespaces: layers (at /opt), all (its
    /// code at /var/task, too), none. What it does not see so, variables and search paths name where it lies
    #[arg(long, value_name = "WHAT", default_value = "layers")]
    mount: Mount,
    /// A variable for the function: NAME=VALUE, or NAME alone for the host's own value. The host's environment is the
    /// function's as well, but for PORT, K_*, KLR_*, Kubernetes' service variables and what Lambda reserves
    #[arg(long = "env", value_name = "K=V")]
    environment: Vec<String>,
    /// Hand a CloudEvent's attributes to the function, as `custom` of its client context
    #[arg(long)]
    cloudevent_context: bool,
    /// How long what is running may take to finish after SIGTERM
    #[arg(long, value_name = "TIME", default_value = "25s", value_parser = duration)]
    drain_timeout: Duration,
    /// The function's own runtime client and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Args {
    /// Threads that serve it best.
    fn threads(&self) -> usize {
        let at_once = self.concurrency.saturating_mul(self.max_concurrency.unwrap_or(1));
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        at_once.div_ceil(INVOCATIONS_A_THREAD).clamp(1, cores)
    }

    fn settings(self) -> Settings {
        let threads = self.threads();
        Settings {
            name: self.name,
            command: self.command,
            runtime: self.runtime,
            handler: self.handler,
            directory: self.code,
            timeout: self.timeout,
            concurrency: self.concurrency,
            max_concurrency: self.max_concurrency,
            threads,
            snap_start: self.snap_start,
            memory_mb: self.memory,
            enforce_memory: true,
            environment: self.environment.iter().filter_map(|given| variable(given)).collect(),
            inherit: Inherit::Image,
            layers: self.layers,
            mount: self.mount,
            reply: self.reply,
            lazy: self.lazy,
            http_events: self.http_events.is_some(),
            cloudevent_context: self.cloudevent_context,
            ..Settings::default()
        }
    }
}

/// Runs the host until SIGTERM or Ctrl-C, and ends what it started. A second signal does not wait.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match serve(args).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("error: {error:#}");
            Ok(ExitCode::from(USAGE))
        }
    }
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (address, drain) = (listen(args.listen)?, args.drain_timeout);
    // Bound now, so that a port in use is told at once; listened on when the function is there, or at once if that is asked
    // for: callers wait in the backlog then.
    let socket = bind(address).map_err(unbound("--listen", address))?;
    let door = Door::of(socket, args.lazy).map_err(unbound("--listen", address))?;
    let admin = TcpListener::bind(args.admin).await.map_err(unbound("--admin", args.admin))?;
    let (draining, closed) = (CancellationToken::new(), CancellationToken::new());
    let _closed = closed.clone().drop_guard();
    let (settings, told) = (args.settings(), draining.clone());
    let starting = async {
        let function = host::prepare(settings).await?;
        warn_of_tmp(function.plan.variables.temporary());
        tokio::spawn(children::reap());
        tokio::spawn(admin::serve(admin, Arc::clone(&function), told, closed));
        Host::open(function, door).await
    };
    let host = tokio::select! {
        host = starting => host?,
        // The process that was starting goes with what is dropped here.
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    tracing::info!(address = %host.address(), "the function is served");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    draining.cancel();
    tokio::select! {
        () = host.stop(drain) => {}
        // Dropped unfinished, the host kills the function's processes.
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Where to listen: by flag, by Knative's `PORT`, or by default.
pub fn listen(given: Option<SocketAddr>) -> anyhow::Result<SocketAddr> {
    if let Some(address) = given {
        return Ok(address);
    }
    match std::env::var("PORT") {
        Ok(port) => {
            let port = port.parse().with_context(|| format!("PORT: expected a port number, got {port:?}"))?;
            Ok((IpAddr::V4(Ipv4Addr::UNSPECIFIED), port).into())
        }
        Err(_) => Ok((IpAddr::V4(Ipv4Addr::LOCALHOST), 8080).into()),
    }
}

/// What a command says whose `option` named an address that cannot be listened at.
pub fn unbound(option: &str, address: SocketAddr) -> impl FnOnce(io::Error) -> anyhow::Error {
    move |error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => ": end what listens there, or choose another port",
            io::ErrorKind::AddrNotAvailable => ": expected an address of this machine",
            io::ErrorKind::PermissionDenied => ": choose a port from 1024 on, which any user may listen at",
            _ => "",
        };
        anyhow!("{option} {address}: {error}{remedy}")
    }
}

/// Not every function writes there, so it is not the host's end; but those that do fail in ways that are hard to read.
fn warn_of_tmp(folder: &Path) {
    // Tried: root may do anything by what the modes say, and yet nothing in /proc.
    let probe = folder.join(format!(".klr-host-{}", std::process::id()));
    match std::fs::File::options().write(true).create_new(true).open(&probe) {
        Ok(_) => drop(std::fs::remove_file(probe)),
        Err(error) => tracing::warn!(
            folder = %folder.display(),
            %error,
            "the function cannot write to its temporary folder: mount a volume there (an emptyDir on Kubernetes), or set TMPDIR"
        ),
    }
}

/// `NAME=VALUE`, or the host's own value of `NAME`.
fn variable(given: &str) -> Option<(String, String)> {
    match given.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((given.to_owned(), std::env::var(given).ok()?)),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("expected a number with ms, s or m, as in 3s; got {text:?}");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" | "" => number,
        "m" => number * 60.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        assert_eq!(duration("3s"), Ok(Duration::from_secs(3)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("3"), Ok(Duration::from_secs(3)));
        for wrong in ["", "s", "3h", "-1s", "3 s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
