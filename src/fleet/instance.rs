//! One version of a function under its host.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response};
use klr_host::{Embedded, Folder, TurnedAway};
use tokio::{
    sync::{OnceCell, mpsc},
    time::Instant,
};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use super::{
    Common,
    answer::{Limit, Refusal},
    spec::{Archive, Code, Spec},
};

/// Log records that may be on their way.
const RECORDS: usize = 1024;
/// How long an invocation may wait for its turn beyond its timeout: processes take a while to start where many start at once.
const PATIENCE: Duration = Duration::from_secs(60);
/// Invocations that may wait for each that runs, where no concurrency is reserved.
const WAITING: usize = 20;
/// What the host gives a start, as Lambda does.
const INIT: Duration = Duration::from_secs(10);
/// The same ahead of a snapshot, where it is the function's timeout between these.
const SNAPSHOT_INIT: [Duration; 2] = [Duration::from_secs(130), Duration::from_secs(900)];

/// A version, started or about to be.
pub(super) struct Instance {
    spec: Arc<Spec>,
    common: Arc<Common>,
    host: OnceCell<Started>,
    calls: TaskTracker,
    used: Mutex<Instant>,
}

struct Started {
    host: Embedded,
    /// When what it was lent is to be lent anew.
    renewal: Option<SystemTime>,
    /// Where its code is; there as long as the host is.
    _folders: Vec<Arc<Folder>>,
}

impl Instance {
    pub(super) fn new(spec: Arc<Spec>, common: Arc<Common>) -> Self {
        let used = Mutex::new(Instant::now());
        Self { spec, common, host: OnceCell::new(), calls: TaskTracker::new(), used }
    }

    /// Whether it is what `spec` says, and its credentials last. A process has them in its variables: new ones need another.
    pub(super) fn is(&self, spec: &Spec) -> bool {
        let kept = |spec: &Spec| (spec.reserved, spec.provisioned);
        let renewal = self.host.get().and_then(|started| started.renewal);
        self.spec.revision == spec.revision
            && kept(&self.spec) == kept(spec)
            && renewal.is_none_or(|renewal| SystemTime::now() < renewal)
    }

    /// What may pass between an invocation's acceptance and its end: its turn, a start, its own time.
    pub(super) fn longest(&self) -> Duration {
        let Spec { timeout, snap_start, .. } = *self.spec;
        let [least, most] = SNAPSHOT_INIT;
        patience(timeout) + if snap_start { timeout.clamp(least, most) } else { INIT } + timeout
    }

    /// It does not end while the token is there.
    pub(super) fn enter(&self) -> TaskTrackerToken {
        self.calls.token()
    }

    /// It was of use just now.
    pub(super) fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long nobody has called.
    pub(super) fn idle(&self) -> Duration {
        if !self.calls.is_empty() || self.spec.provisioned > 0 {
            return Duration::ZERO;
        }
        self.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Invokes, after starting it if need be. A start that fails is tried again by the next who calls.
    pub(super) async fn call(&self, request: Request<Bytes>) -> Result<Response<klr_host::Body>, Refusal> {
        let started = self.host.get_or_try_init(|| self.start()).await?;
        let answer = started.host.call(request).await;
        // A function at its URL may answer with the same status.
        if answer.extensions().get::<TurnedAway>().is_some() {
            let limit = if self.spec.reserved.is_some() { Limit::Reserved } else { Limit::Machine };
            return Err(Refusal::Throttled(limit));
        }
        Ok(answer)
    }

    /// Starts it before anybody calls, where it is to be ready. Whoever calls next hears why it could not be.
    pub(super) async fn prepare(&self) {
        if let Err(refusal) = self.host.get_or_try_init(|| self.start()).await {
            let (function, version) = (&self.spec.function, &self.spec.version);
            tracing::warn!(function, version, %refusal, "not ready ahead of time");
        }
    }

    /// Waits for those who call, at most `within`, and ends it.
    pub(super) async fn end(&self, within: Duration) {
        self.calls.close();
        let begin = Instant::now();
        let _ = tokio::time::timeout(within, self.calls.wait()).await;
        if let Some(started) = self.host.get() {
            started.host.stop(within.saturating_sub(begin.elapsed())).await;
        }
    }

    async fn start(&self) -> Result<Started, Refusal> {
        let (spec, common) = (&self.spec, &self.common);
        let code = match &spec.code {
            Code::Zip(archive) => self.unpack(std::slice::from_ref(archive)).await?,
            Code::Image(uri) => return Err(Refusal::Image(uri.clone())),
        };
        let layers = if spec.layers.is_empty() { None } else { Some(self.unpack(&spec.layers).await?) };
        let (records, written) = mpsc::channel(RECORDS);
        let lent = common.credentials.lend().await;
        let mut settings = klr_host::Settings {
            directory: Some(code.path().to_owned()),
            layers: layers.iter().map(|layers| layers.path().to_owned()).collect(),
            platform: [lent.variables, common.settings.variables.clone()].concat(),
            logs: klr_host::Logs::Records(records),
            other_version: common.settings.other_version(),
            concurrency: common.settings.concurrency,
            kept: ready(spec.provisioned),
            temporary: Some(common.folders.temporary()),
            ..settings(spec)
        };
        if let Some(most) = spec.reserved {
            settings.concurrency = settings.concurrency.min(most.max(1));
            settings.waiting = 0;
        }
        let host = Embedded::start(settings).await?;
        common.logs.collect(Arc::clone(spec), written);
        tracing::debug!(function = spec.function, version = spec.version, "a function is served");
        Ok(Started { host, renewal: lent.renewal, _folders: layers.into_iter().chain([code]).collect() })
    }

    async fn unpack(&self, archives: &[Archive]) -> Result<Arc<Folder>, Refusal> {
        let key: Vec<&str> = archives.iter().map(|archive| archive.sha256.as_str()).collect();
        let zips: Vec<PathBuf> = archives.iter().map(|archive| archive.path.clone()).collect();
        Ok(self.common.folders.of(&key.join("+"), zips).await?)
    }
}

/// How many processes are kept: no more than the machine runs at once, beyond that they would only be in each other's way.
fn ready(provisioned: usize) -> usize {
    provisioned.min(std::thread::available_parallelism().map_or(1, usize::from))
}

/// How long an invocation waits for its turn.
fn patience(timeout: Duration) -> Duration {
    timeout + PATIENCE
}

/// What does not depend on where and beside whom it runs.
fn settings(spec: &Spec) -> klr_host::Settings {
    let variables = spec.environment.iter().map(|(name, value)| (name.clone(), value.clone()));
    klr_host::Settings {
        name: spec.function.clone(),
        version: spec.version.clone(),
        account: Some(spec.account.clone()),
        region: Some(spec.region.clone()),
        runtime: spec.runtime.clone(),
        runtime_version_arn: spec.runtime_version_arn.clone(),
        handler: spec.handler.clone(),
        timeout: spec.timeout,
        patience: Some(patience(spec.timeout)),
        waiting: WAITING,
        ahead: false,
        lazy: true,
        memory_mb: spec.memory_mb,
        enforce_memory: true,
        environment: variables.collect(),
        provisioned: spec.provisioned,
        snap_start: spec.snap_start,
        fault_at_start: true,
        mount: klr_host::Mount::All,
        log_group: Some(spec.logging.group.clone()),
        log_format: spec.logging.json.then(|| "JSON".to_owned()),
        log_level: spec.logging.application_level.clone(),
        system_log_level: spec.logging.system_level.clone(),
        ..klr_host::Settings::default()
    }
}
