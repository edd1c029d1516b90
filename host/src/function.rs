//! The function: its sandbox, and the queue in front of it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::task::TaskTracker;

use crate::{
    Metrics, Settings,
    invocation::{Done, Invocation, Outcome, document},
    sandbox::{INIT_LIMIT, Plan, Sandbox},
};

/// One process at a time.
const CONCURRENCY: usize = 1;
/// Invocations that may wait for each that runs.
const WAITING: usize = 10;

/// A function that can be invoked.
pub(crate) struct Function {
    pub(crate) settings: Settings,
    pub(crate) plan: Arc<Plan>,
    pub(crate) metrics: Metrics,
    /// Invocations running and waiting. An event is read only when there is a place for it, so this bounds memory too.
    places: Arc<Semaphore>,
    /// Fair: who waits longest is next.
    sandbox: Arc<Mutex<Sandbox>>,
    running: TaskTracker,
    initialised: AtomicBool,
}

/// A place in the queue.
pub(crate) struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// The queue is full, or the wait was over before the invocation's turn came.
#[derive(Debug)]
pub(crate) struct Saturated;

impl Function {
    pub(crate) fn new(settings: Settings, plan: Plan) -> Self {
        let plan = Arc::new(plan);
        Self {
            sandbox: Arc::new(Mutex::new(Sandbox::new(Arc::clone(&plan)))),
            settings,
            plan,
            metrics: Metrics::default(),
            places: Arc::new(Semaphore::new(CONCURRENCY * (1 + WAITING))),
            running: TaskTracker::new(),
            initialised: AtomicBool::new(false),
        }
    }

    /// Starts the first process. The answer comes when it has initialised or failed to.
    pub(crate) async fn initialise(&self) {
        let mut sandbox = self.sandbox.lock().await;
        let ready = sandbox.initialise(INIT_LIMIT).await;
        self.initialised.store(ready.is_ok(), Relaxed);
    }

    /// Whether the process was there and initialised when last looked at.
    pub(crate) fn initialised(&self) -> bool {
        self.initialised.load(Relaxed)
    }

    /// A place in the queue, if there is one.
    pub(crate) fn admit(&self) -> Result<Place, Saturated> {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => Ok(Place(permit)),
            Err(_) => Err(self.throttle()),
        }
    }

    /// Invokes, waiting for its turn no longer than the function's timeout. Dropped while it waits, it does not start;
    /// once started it is finished, as on Lambda.
    pub(crate) async fn invoke(
        self: &Arc<Self>,
        place: Place,
        invocation: Invocation,
    ) -> Result<Done, Saturated> {
        let id = invocation.id.clone();
        let turn = Arc::clone(&self.sandbox).lock_owned();
        let Ok(sandbox) = tokio::time::timeout(self.settings.timeout, turn).await else {
            return Err(self.throttle());
        };
        let (tell, told) = oneshot::channel();
        self.running.spawn(Arc::clone(self).run(sandbox, place, invocation, tell));
        // Only the end of the whole runtime drops a task of ours.
        Ok(told.await.unwrap_or_else(|_| {
            let message = format!("RequestId: {id} Error: the host ended");
            Done { outcome: Outcome::Lost(document("Sandbox.Failure", &message)), tail: None }
        }))
    }

    /// Invokes some time: it was accepted, so it waits however long it takes.
    pub(crate) fn invoke_later(self: &Arc<Self>, place: Place, invocation: Invocation) {
        let function = Arc::clone(self);
        self.running.spawn(async move {
            let sandbox = Arc::clone(&function.sandbox).lock_owned().await;
            let (tell, told) = oneshot::channel();
            let id = invocation.id.clone();
            function.run(sandbox, place, invocation, tell).await;
            if let Ok(Done {
                outcome: Outcome::Failed(_) | Outcome::TimedOut(_) | Outcome::Lost(_), ..
            }) = told.await
            {
                tracing::warn!(request = id, "an asynchronous invocation failed");
            }
        });
    }

    async fn run(
        self: Arc<Self>,
        mut sandbox: OwnedMutexGuard<Sandbox>,
        place: Place,
        invocation: Invocation,
        tell: oneshot::Sender<Done>,
    ) {
        self.metrics.invocations.fetch_add(1, Relaxed);
        self.metrics.running.fetch_add(1, Relaxed);
        let told = |done: Done| {
            self.count(&done.outcome);
            // The caller may have gone.
            let _ = tell.send(done);
        };
        sandbox.invoke(invocation, told).await;
        self.initialised.store(sandbox.alive(), Relaxed);
        drop(place);
    }

    fn count(&self, outcome: &Outcome) {
        self.metrics.running.fetch_sub(1, Relaxed);
        match outcome {
            Outcome::Replied(_) => {}
            Outcome::TimedOut(_) => {
                self.metrics.errors.fetch_add(1, Relaxed);
                self.metrics.timeouts.fetch_add(1, Relaxed);
            }
            Outcome::Failed(_) | Outcome::Lost(_) => {
                self.metrics.errors.fetch_add(1, Relaxed);
            }
        }
    }

    fn throttle(&self) -> Saturated {
        self.metrics.throttles.fetch_add(1, Relaxed);
        Saturated
    }

    /// Waits until nothing runs or waits that was accepted.
    pub(crate) async fn idle(&self) {
        self.running.close();
        self.running.wait().await;
    }

    /// Ends the process. Call it when idle, or after cancelling the plan's `kill`.
    pub(crate) async fn terminate(&self, grace: std::time::Duration) {
        self.initialised.store(false, Relaxed);
        self.sandbox.lock().await.terminate(grace).await;
    }
}
