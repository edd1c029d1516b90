//! External extensions as processes.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    Source,
    mount::Mounts,
    observer::Observer,
    process::{Output, Process, Program},
};

/// What only the runtime is told. Names that begin with `_` are its own too.
const RUNTIMES: [&str; 6] = [
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_EXECUTION_ENV",
    "AWS_XRAY_CONTEXT_MISSING",
];

/// A variable of ours, by which what an extension leaves behind is found: it does not get the name of the log stream, by which
/// what the runtime leaves is.
const MARK: &str = "KLR_EXTENSION";

/// The external extensions of one environment, with their names. Dropped, they are killed.
#[derive(Debug, Default)]
pub(crate) struct Processes(Vec<(String, Process)>);

impl Processes {
    /// Starts them all; what becomes of each is the registry's to know.
    pub(crate) fn start(
        files: &[PathBuf],
        mounts: Option<&Mounts>,
        runtimes: &BTreeMap<OsString, OsString>,
        observer: &Arc<Observer>,
        kill: &CancellationToken,
    ) -> Self {
        let registry = observer.extensions();
        let named = |file: &Path| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // All are known before the first can register: none may be taken for an internal one.
        for file in files {
            registry.expect(&named(file));
        }
        let mut processes = Vec::new();
        for file in files {
            let name = named(file);
            let marked = format!("{}/{name}", observer.name());
            let seen = mounts.map_or_else(|| file.clone(), |mounts| mounts.seen(file));
            let program = Program {
                path: seen.as_os_str(),
                arguments: &[],
                directory: Path::new("/"),
                mounts,
                source: Source::Extension,
                output: Output::Plain,
                mark: &format!("{MARK}={marked}"),
                memory_mb: None,
            };
            let variables = runtimes.iter().filter(|(name, _)| shared(name));
            let variables = variables.map(|(name, value)| (name.clone(), value.clone()));
            let variables = variables.chain([(MARK.into(), marked.into())]);
            match Process::start(&program, variables, observer.log(), kill) {
                Ok(process) => {
                    observer.memory().watch(process.id());
                    tokio::spawn(watch(name.clone(), process.watch(), Arc::clone(observer)));
                    processes.push((name, process));
                }
                Err(error) => {
                    let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
                    let kind = if denied { "PermissionDenied" } else { "UnknownError" };
                    registry.not_started(&name, kind, format!("fork/exec {}: {error}", file.display()));
                }
            }
        }
        Self(processes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Kills at once those that did not subscribe to the end; the others were told of it, and have until `deadline`.
    pub(crate) async fn end(self, observer: &Observer, deadline: Instant) {
        let registry = observer.extensions();
        let (told, untold): (Vec<_>, Vec<_>) =
            self.0.into_iter().partition(|(name, _)| registry.awaits_shutdown(name));
        for (_, process) in untold {
            process.kill().await;
        }
        for (name, process) in told {
            if tokio::time::timeout_at(deadline, process.exited()).await.is_err() {
                tracing::warn!(extension = name, "told to end, it did not: it is killed");
            }
            process.kill().await;
        }
    }
}

/// Tells the registry when it is gone.
async fn watch(
    name: String,
    mut exit: tokio::sync::watch::Receiver<Option<crate::exit::Exit>>,
    observer: Arc<Observer>,
) {
    if let Ok(ended) = exit.wait_for(Option::is_some).await
        && let Some(exit) = *ended
    {
        observer.extensions().exited(&name, &exit.how());
    }
}

/// Whether an extension gets a variable of the runtime's.
fn shared(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| !name.starts_with('_') && !RUNTIMES.contains(&name))
}
