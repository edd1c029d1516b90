//! The function: its environments, and who may invoke it.

use std::{ops::Range, sync::Arc, time::Duration};

use http::HeaderValue;
use tokio::{
    sync::{Semaphore, oneshot, watch},
    time::Instant,
};
use tokio_util::task::TaskTracker;

use crate::{
    Metrics, Settings,
    arrival::Room,
    flight::{Flight, Place, Saturated},
    invocation::{Done, Invocation, LARGEST_EVENT, cut_off},
    pool::Pool,
    sandbox::{End, Plan, Sandbox},
    threads::Threads,
};

/// Between two starts that fail: at first, and at most. An invocation does not wait for it.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// What a process takes, at most, from its answer to asking for more. Who calls again at once is to meet the same one, where no
/// process is started ahead of him.
const BETWEEN: Duration = Duration::from_millis(50);

/// A function that can be invoked.
pub(crate) struct Function {
    pub(crate) settings: Settings,
    pub(crate) plan: Arc<Plan>,
    pub(crate) metrics: Arc<Metrics>,
    /// Its ARN, without a qualifier.
    pub(crate) arn: HeaderValue,
    /// The version it is.
    pub(crate) version: HeaderValue,
    /// Where callers are served.
    pub(crate) threads: Threads,
    pool: Arc<Pool>,
    /// Invocations running and waiting.
    places: Arc<Semaphore>,
    /// For events that have come in part: as much as all places could hold. The two bound what callers cost in memory.
    pub(crate) room: Room,
    most: usize,
    /// How the last start went; unset before the first.
    initialised: watch::Sender<Option<bool>>,
    sandboxes: TaskTracker,
}

impl Function {
    pub(crate) fn new(settings: Settings, plan: Plan, arn: HeaderValue) -> Self {
        let metrics = Arc::<Metrics>::default();
        let pool = Pool::new(settings.concurrency, settings.ahead, Arc::clone(&metrics));
        let pool = pool.keeping(settings.kept);
        let most = settings.concurrency * settings.max_concurrency.unwrap_or(1) * (1 + settings.waiting);
        Self {
            arn,
            version: HeaderValue::from_str(&settings.version).expect("the settings were checked"),
            pool: Arc::new(pool),
            settings,
            threads: plan.threads.again(),
            plan: Arc::new(plan),
            metrics,
            places: Arc::new(Semaphore::new(most)),
            room: Room::of(most.saturating_mul(LARGEST_EVENT)),
            most,
            initialised: watch::Sender::new(None),
            sandboxes: TaskTracker::new(),
        }
    }

    /// Starts the first environment, and from then on as many as are wanted.
    pub(crate) fn open(self: &Arc<Self>) {
        self.hire(self.pool.hire());
        let function = Arc::clone(self);
        self.sandboxes.spawn(async move {
            loop {
                tokio::select! {
                    () = function.pool.short.notified() => {
                        if !function.settings.ahead {
                            tokio::time::sleep(BETWEEN).await;
                        }
                        function.hire(function.pool.hire());
                    }
                    () = function.plan.end.cancelled() => return,
                    () = function.plan.kill.cancelled() => return,
                }
            }
        });
    }

    fn hire(self: &Arc<Self>, wanted: Range<usize>) {
        for number in wanted {
            self.sandboxes.spawn(Arc::clone(self).keep(number));
        }
    }

    /// Waits until the first environment has initialised or failed to.
    pub(crate) async fn settled(&self) {
        // The sender is ours.
        let _ = self.initialised.subscribe().wait_for(Option::is_some).await;
    }

    /// Whether the last start succeeded.
    pub(crate) fn initialised(&self) -> bool {
        *self.initialised.borrow() == Some(true)
    }

    /// Keeps one environment going, one process after the other, until the host ends.
    async fn keep(self: Arc<Self>, number: usize) {
        let (plan, pool) = (&self.plan, &self.pool);
        let environment = Arc::new(plan.environments.make(number));
        let (mut first, mut trouble) = (None, 0);
        while !plan.end.is_cancelled() && !plan.kill.is_cancelled() {
            let begin = Instant::now();
            let started = Sandbox::start(plan, &environment, pool, first.take()).await;
            self.metrics.started(begin.elapsed(), started.is_ok());
            // What fails beside others that work is no reason to turn callers away.
            if started.is_ok() || !pool.works() {
                self.initialised.send_replace(Some(started.is_ok()));
            }
            let end = match started {
                Ok(sandbox) => {
                    pool.started();
                    let exchange = Arc::clone(sandbox.exchange());
                    let end = sandbox.watch().await;
                    pool.ended(&exchange);
                    end
                }
                Err(()) => {
                    pool.failed();
                    trouble = trouble.max(1);
                    End::Useless
                }
            };
            match end {
                End::Shutdown => return,
                End::Used => {
                    trouble = 0;
                    pool.restart();
                }
                End::Useless => {
                    first = self.pause(number, trouble).await;
                    trouble += 1;
                }
            }
        }
        if let Some(flight) = first {
            flight.turn_away();
        }
    }

    /// Waits before another start; an invocation that nobody else would serve cuts it short, and is answered. Where nothing
    /// is started ahead, nothing is for nobody either.
    async fn pause(&self, number: usize, trouble: u32) -> Option<Flight> {
        let (plan, pool) = (&self.plan, &self.pool);
        let pause = match trouble.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => (BACK_OFF.0 * 2_u32.pow(doublings.min(10))).min(BACK_OFF.1),
        };
        let mut over = std::pin::pin!(tokio::time::sleep(pause));
        loop {
            if let Some(mut flight) = pool.restart_for() {
                // The start is on the invocation's own time (AWS: a suppressed init).
                let now = Instant::now();
                (flight.since, flight.deadline) = (Some(now), Some(now + plan.timeout));
                return Some(flight);
            }
            tokio::select! {
                () = pool.demand.notified() => {}
                () = over.as_mut() => {
                    if self.settings.ahead || number < self.settings.kept || pool.wanted() {
                        break;
                    }
                    over.as_mut().reset(Instant::now() + pause.max(BACK_OFF.0));
                }
                () = plan.end.cancelled() => break,
                () = plan.kill.cancelled() => break,
            }
        }
        pool.restart();
        None
    }

    /// Whether there is no place in the queue.
    pub(crate) fn full(&self) -> bool {
        self.places.available_permits() == 0
    }

    /// A place in the queue, if there is one.
    pub(crate) fn admit(&self) -> Result<Place, Saturated> {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => Ok(Place(permit)),
            Err(_) => Err(self.throttle()),
        }
    }

    /// Invokes, waiting for its turn no longer than it may. Dropped while it waits, it does not start;
    /// once started it is finished, as on Lambda.
    pub(crate) async fn invoke(&self, place: Place, invocation: Invocation) -> Result<Done, Saturated> {
        let id = Arc::clone(&invocation.id);
        let (tell, mut told) = oneshot::channel();
        let flight = Flight::new(invocation, place, Some(tell), Arc::clone(&self.metrics));
        if let Some(ticket) = self.pool.submit(flight) {
            let waiting = Waiting { pool: &self.pool, ticket };
            tokio::select! {
                biased;
                done = &mut told => {
                    waiting.served();
                    return self.told(&id, done);
                }
                () = self.patience() => {}
            }
            if waiting.withdraw() {
                return Err(self.throttle());
            }
        }
        self.told(&id, told.await)
    }

    fn told(
        &self,
        id: &str,
        told: Result<Result<Done, Saturated>, oneshot::error::RecvError>,
    ) -> Result<Done, Saturated> {
        // Nobody is left who could have told: the host is going, and the invocation with it.
        told.unwrap_or_else(|_| Ok(Done { outcome: cut_off(id), tail: None }))
            .map_err(|Saturated| self.throttle())
    }

    /// How long an invocation waits for its turn: where nothing else is set, as long as one takes. AWS: a start is not on its
    /// time.
    async fn patience(&self) {
        tokio::time::sleep(self.settings.patience.unwrap_or(self.settings.timeout)).await;
        let started = async {
            while self.settings.patience.is_none() && self.pool.starting() {
                tokio::time::sleep(BETWEEN).await;
            }
        };
        let _ = tokio::time::timeout(self.plan.init_limit(), started).await;
    }

    /// Invokes some time: it was accepted, so it waits however long it takes.
    pub(crate) fn invoke_later(&self, place: Place, invocation: Invocation) {
        self.pool.submit(Flight::new(invocation, place, None, Arc::clone(&self.metrics)));
    }

    /// Counts an invocation that is turned away.
    pub(crate) fn throttle(&self) -> Saturated {
        self.metrics.throttled();
        Saturated
    }

    /// Waits until nothing runs or waits that was accepted.
    pub(crate) async fn idle(&self) {
        let all = u32::try_from(self.most).expect("the settings were checked");
        let _ = self.places.acquire_many(all).await;
    }

    /// Whether something runs or waits that was accepted.
    pub(crate) fn busy(&self) -> bool {
        self.places.available_permits() < self.most
    }

    /// Tells those who wait that their turn will not come.
    pub(crate) fn close(&self) {
        self.pool.drain().into_iter().for_each(Flight::turn_away);
    }

    /// Ends the processes, with what they have in hand.
    pub(crate) async fn terminate(&self) {
        self.plan.end.cancel();
        // Nobody is let in any more: nobody would serve him.
        self.places.close();
        self.initialised.send_replace(Some(false));
        self.sandboxes.close();
        self.sandboxes.wait().await;
        // What an environment did not get to before its end.
        self.close();
    }
}

/// A place in the queue that is given up with this value.
struct Waiting<'a> {
    pool: &'a Pool,
    ticket: u64,
}

impl Waiting<'_> {
    /// There is nothing to give up any more: the pool, which everybody shares, need not be asked.
    fn served(self) {
        std::mem::forget(self);
    }

    /// Whether it had still been waiting.
    fn withdraw(&self) -> bool {
        self.pool.withdraw(self.ticket).is_some()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.withdraw();
    }
}
