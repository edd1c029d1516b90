//! Functions from code: zips, layers and settings in, invocations answered.
//!
//! Each version of a function runs under a host of its own ([`klr_host::Embedded`]), so versions stand side by side. A host is
//! started at the first invocation, replaced when its version changes (what the old one has accepted it finishes), and ended
//! when nobody has called for long. Code is seen at `/var/task` and layers at `/opt` where the machine allows it.
//!
//! Concurrency is a function's own where it is reserved, over all of its versions together, and nothing waits for it then, as
//! on AWS. Otherwise it is the machine's ([`Settings::concurrency`]), and callers wait for a while.
//!
//! Container images are not run: a reference to one is a resource, and its invocation is refused.

mod answer;
pub mod archive;
mod credentials;
mod folder;
mod instance;
pub mod logs;
mod seat;
mod spec;

use std::{
    collections::HashMap,
    fmt, io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use aws_credential_types::provider::SharedCredentialsProvider;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use klr_host::{OtherVersion, RequestId, Visit};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

pub use self::spec::{Archive, Code, Logging, Spec};
use self::{
    answer::{Limit, Refusal},
    credentials::Credentials,
    folder::Folders,
    instance::Instance,
    logs::Logs,
    seat::Seat,
};

/// How often idle hosts are looked for.
const SWEEP: Duration = Duration::from_secs(15);
/// What an old host may take to finish beyond what its invocations may.
const GRACE: Duration = Duration::from_secs(5);

/// How functions are run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where code is unpacked: `fleet` below it is emptied at the start.
    pub directory: PathBuf,
    /// How many processes one version may have at once, where nothing is reserved.
    pub concurrency: usize,
    /// After how long without an invocation a version's processes end.
    pub idle: Duration,
    /// Run a runtime on whatever version of it is installed, and call it by the name asked for.
    pub runtime_fallback: bool,
    /// Whose credentials functions are lent. Where it has none, and the environment has none either, they get made-up ones.
    pub credentials: Option<SharedCredentialsProvider>,
    /// More variables that every function gets, beneath its own: where Lambda's API is, say.
    pub variables: Vec<(String, String)>,
}

impl Settings {
    /// As they are where nobody said otherwise.
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            concurrency: 50,
            idle: Duration::from_secs(15 * 60),
            runtime_fallback: false,
            credentials: None,
            variables: Vec::new(),
        }
    }

    fn other_version(&self) -> OtherVersion {
        if self.runtime_fallback { OtherVersion::Posing } else { OtherVersion::Refused }
    }
}

/// All functions that run here.
pub struct Fleet {
    common: Arc<Common>,
    functions: Mutex<Functions>,
    /// Hosts that are on their way out.
    ending: TaskTracker,
    stop: CancellationToken,
}

/// What all instances share.
struct Common {
    settings: Settings,
    folders: Folders,
    credentials: Credentials,
    logs: Arc<Logs>,
}

#[derive(Default)]
struct Functions {
    all: HashMap<String, Function>,
    stopping: bool,
}

/// What runs of one function.
#[derive(Default)]
struct Function {
    /// Invocations under way, of all versions.
    running: Arc<AtomicUsize>,
    versions: HashMap<String, Arc<Instance>>,
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let functions = self.lock();
        f.debug_struct("Fleet").field("functions", &functions.all.keys()).finish_non_exhaustive()
    }
}

impl Fleet {
    /// With nothing running yet; what functions write goes to `logs`.
    pub fn new(settings: Settings, logs: Arc<Logs>) -> io::Result<Arc<Self>> {
        let common = Arc::new(Common {
            folders: Folders::new(settings.directory.join("fleet"))?,
            credentials: Credentials::new(settings.credentials.clone()),
            settings,
            logs,
        });
        let (ending, stop) = (TaskTracker::new(), CancellationToken::new());
        let fleet = Arc::new(Self { common, functions: Mutex::default(), ending, stop: stop.clone() });
        let swept = Arc::downgrade(&fleet);
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                let Some(fleet) = swept.upgrade() else { return };
                fleet.sweep();
            }
        }));
        Ok(fleet)
    }

    /// The logs of the functions.
    pub fn logs(&self) -> &Arc<Logs> {
        &self.common.logs
    }

    /// Invocations of a function that run at once, where no concurrency is reserved.
    pub fn places(&self) -> usize {
        self.common.settings.concurrency
    }

    /// Answers a request of the Invoke API's, Invoke or InvokeWithResponseStream by its path, which has the function's bare
    /// name. What the invocation is to be known by may be given as an extension ([`RequestId`]); a [`Visit`] makes it a request
    /// to the function's URL. An invocation runs to its end whether its caller waits for it or not.
    pub async fn invoke(&self, spec: &Arc<Spec>, mut request: Request<Bytes>) -> Response<Body> {
        let id =
            request.extensions_mut().get_or_insert_with(|| RequestId(Uuid::new_v4().to_string())).0.clone();
        let visit = request.extensions().get::<Visit>().is_some();
        let called = match self.seat(spec) {
            Ok(seat) => match tokio::spawn(seat.call(request)).await {
                Ok(called) => called,
                // A panic, or the runtime is going.
                Err(_) => Err(Refusal::Stopping),
            },
            Err(refusal) => Err(refusal),
        };
        let mut answer = called.unwrap_or_else(|refusal| {
            if !matches!(refusal, Refusal::Throttled(_)) {
                tracing::warn!(function = spec.function, version = spec.version, %refusal, "not invoked");
            }
            if visit { refusal.told() } else { refusal.answer() }
        });
        // A visit has an id of its own.
        if let Ok(id) = id.parse() {
            answer.headers_mut().entry("x-amzn-requestid").or_insert(id);
        }
        answer
    }

    /// A place to run in, if there is one.
    fn seat(&self, spec: &Arc<Spec>) -> Result<Seat, Refusal> {
        let mut functions = self.lock();
        if functions.stopping {
            return Err(Refusal::Stopping);
        }
        let function = functions.all.entry(spec.function.clone()).or_default();
        // Only ever raised under the lock.
        if spec.reserved.is_some_and(|most| function.running.load(SeqCst) >= most) {
            return Err(Refusal::Throttled(Limit::Reserved));
        }
        let running = Arc::clone(&function.running);
        Ok(Seat::new(self.instance(function, spec), running))
    }

    /// What answers for a version now; what answered for an older revision ends.
    fn instance(&self, function: &mut Function, spec: &Arc<Spec>) -> Arc<Instance> {
        if let Some(current) = function.versions.get(&spec.version).filter(|instance| instance.is(spec)) {
            return Arc::clone(current);
        }
        let instance = Arc::new(Instance::new(Arc::clone(spec), Arc::clone(&self.common)));
        if let Some(old) = function.versions.insert(spec.version.clone(), Arc::clone(&instance)) {
            self.end(old);
        }
        instance
    }

    /// Starts what is provisioned of a version, before anybody calls.
    pub fn prepare(&self, spec: &Arc<Spec>) {
        let mut functions = self.lock();
        if functions.stopping || spec.provisioned == 0 {
            return;
        }
        let function = functions.all.entry(spec.function.clone()).or_default();
        let instance = self.instance(function, spec);
        let entered = instance.enter();
        drop(functions);
        tokio::spawn(async move {
            instance.prepare().await;
            drop(entered);
        });
    }

    /// The function, or one version of it, is no more: what it has accepted it finishes.
    pub fn retire(&self, function: &str, version: Option<&str>) {
        let mut functions = self.lock();
        let ended = match version {
            None => functions.all.remove(function).map(|function| function.versions.into_values().collect()),
            Some(version) => functions
                .all
                .get_mut(function)
                .and_then(|function| Some(vec![function.versions.remove(version)?])),
        };
        drop(functions);
        ended.into_iter().flatten().for_each(|instance| self.end(instance));
    }

    /// Ends everything; what runs may take `within` to finish. Nothing is invoked after.
    pub async fn stop(&self, within: Duration) {
        let all = {
            let mut functions = self.lock();
            functions.stopping = true;
            std::mem::take(&mut functions.all)
        };
        self.stop.cancel();
        for instance in all.into_values().flat_map(|function| function.versions.into_values()) {
            self.ending.spawn(async move { instance.end(within).await });
        }
        self.ending.close();
        // Each takes at most a few seconds more than it may.
        if tokio::time::timeout(within + 2 * GRACE, self.ending.wait()).await.is_err() {
            tracing::error!("functions could not be ended");
        }
    }

    fn end(&self, instance: Arc<Instance>) {
        self.ending.spawn(async move { instance.end(instance.longest() + GRACE).await });
    }

    fn sweep(&self) {
        let idle = self.common.settings.idle;
        let mut functions = self.lock();
        for function in functions.all.values_mut() {
            let ended = function.versions.extract_if(|_, instance| instance.idle() >= idle);
            ended.for_each(|(_, instance)| self.end(instance));
        }
        functions.all.retain(|_, function| !function.versions.is_empty());
        drop(functions);
        self.common.logs.forget_unused();
    }

    fn lock(&self) -> MutexGuard<'_, Functions> {
        // Each change of it is complete in itself.
        self.functions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests;
