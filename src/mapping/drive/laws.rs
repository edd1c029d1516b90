//! The laws of [`log::laws`](crate::mapping::log::laws) once more, through the driver: the same scripted source, function and
//! destination, now called as they are in life, on paused time, each taking its time, with the driver killed in between.
//! `KLR_SEED=n` runs one script alone.

use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use klr_contract::{BatchInfo, FailureRecord, Record};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::*;
use crate::{
    deliver::{
        Delivered, Outcome, Window,
        failure::{Form, Template},
    },
    mapping::{
        brackets::Brackets,
        buffer::Buffer,
        log::{
            Call,
            laws::{
                place,
                world::{PARTITIONS, SHARE, World},
            },
        },
        next::{Judged, OnFailure},
    },
    metrics::Metrics,
};

const SCRIPTS: u64 = 1_000;
/// How long things go wrong.
const TROUBLE: Duration = Duration::from_secs(120);
/// Past the longest back-off and a window's silence, many times over.
const PATIENCE: Duration = Duration::from_secs(20_000);

/// The world, as a source, a function and a destination. A law that breaks panics with it locked, and so poisons it.
#[derive(Clone)]
struct Scene {
    world: Arc<Mutex<World>>,
    status: Arc<Status>,
    calls: Arc<AtomicU64>,
    healed: Arc<std::sync::atomic::AtomicBool>,
}

impl Scene {
    fn new(seed: u64) -> Self {
        Self {
            world: Arc::new(Mutex::new(World::new(seed))),
            status: Arc::new(Status::new(format!("m{seed}"), Metrics::default().of("m"))),
            calls: Arc::default(),
            healed: Arc::default(),
        }
    }

    /// The world as it is now; record age is counted by the wall, which no test pauses.
    fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().expect("the laws held so far");
        world.now.wall = Timestamp::now();
        world
    }

    fn healed(&self) -> bool {
        self.healed.load(Ordering::Relaxed)
    }

    /// A while, as the dice have it.
    async fn while_passes(&self, most: u64) {
        let millis = self.world().dice.roll(most);
        sleep(Duration::from_millis(millis)).await;
    }

    /// One life of the driver.
    fn start(&self, stop: &CancellationToken) -> tokio::task::JoinHandle<Ending> {
        let settings = self.world().settings.clone();
        let template = Template {
            function_arn: "arn:aws:lambda:us-east-1:123456789012:function:f".to_owned(),
            mapping: uuid::Uuid::nil(),
            form: Form::Batch,
            shape: Arc::new(Brackets),
            info: Arc::new(Places),
        };
        let wanted = settings.policy.on_failure != OnFailure::Drop;
        let destination =
            wanted.then(|| Arc::new(Delivery { template, destination: Arc::new(self.clone()) }));
        let means = Means {
            settings,
            shape: Arc::new(Brackets),
            filters: Arc::default(),
            invoker: Arc::new(self.clone()),
            destination,
            status: Arc::clone(&self.status),
            usage: Buffer::new(SHARE).usage(),
        };
        tokio::spawn(run(Box::new(self.clone()), means, stop.clone().into()))
    }

    /// A kill: what it had is lost, what was committed is not.
    async fn kill(&self, life: tokio::task::JoinHandle<Ending>) {
        life.abort();
        assert!(life.await.unwrap_err().is_cancelled(), "it has not panicked");
        // Its tasks go with it, at their next turn.
        sleep(Duration::from_millis(1)).await;
        let mut world = self.world();
        assert!(world.flying.is_empty(), "nothing is invoked by the dead");
        world.brokers.values_mut().for_each(|broker| broker.owned = false);
        world.states.clear();
    }

    async fn complete(&self) {
        loop {
            sleep(Duration::from_secs(1)).await;
            let world = self.world();
            let done = world.brokers.values().all(|broker| broker.committed == world.end - 1);
            let held = self.status.last_processing_result().contains("holds");
            if done || held {
                return;
            }
        }
    }
}

#[async_trait]
impl Source for Scene {
    async fn next(&self, want: usize) -> Result<Vec<Arrival>, Error> {
        // Dropped while it waits, it has taken nothing.
        self.while_passes(400).await;
        let mut world = self.world();
        let held = self.status.figures.buffered.get();
        let most = SHARE + 15 * world.largest.max(1);
        assert!(held <= most as i64, "{held} bytes held");
        let index = world.dice.roll(u64::from(PARTITIONS)) as u32;
        if self.healed() {
            let gained: Vec<Arrival> = (0..PARTITIONS).filter_map(|index| world.gained(index)).collect();
            return Ok(if gained.is_empty() { world.records(want) } else { gained });
        }
        Ok(match world.dice.roll(16) {
            0 => {
                let lost = world.dice.flip();
                world.losing(index, lost).into_iter().collect()
            }
            1..=4 => world.gained(index).into_iter().collect(),
            5 => return Err(Error::retry("laws.down", "the source is down")),
            _ => world.records(want),
        })
    }

    fn flow(&self, partition: Partition, open: bool) {
        let mut world = self.world();
        // Told before it has heard that the partition is another's.
        if world.brokers[&partition.index].epoch == partition.epoch {
            world.flow(partition, open);
        }
    }

    async fn checkpoint(&self, through: &[(Partition, Position)]) -> Result<(), Error> {
        self.while_passes(300).await;
        let mut world = self.world();
        if !self.healed() && world.dice.roll(4) == 0 {
            return Err(Error::retry("laws.down", "the store is down"));
        }
        through
            .iter()
            .for_each(|(partition, position)| commit(&mut world, *partition, Some(position.clone())));
        Ok(())
    }

    async fn release(&self, partition: Partition, through: Option<Position>) -> Result<(), Error> {
        let mut world = self.world();
        let broker = &world.brokers[&partition.index];
        if broker.owned && broker.epoch == partition.epoch {
            commit(&mut world, partition, through);
            world.release(partition, None);
        }
        Ok(())
    }

    fn name(&self, partition: Partition) -> Option<Arc<str>> {
        Some(format!("partition-{}", partition.index).into())
    }

    fn lag(&self) -> Vec<(Partition, u64)> {
        Vec::new()
    }

    async fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// A checkpoint may be on its way while a release overtakes it, and it may be of an earlier ownership.
fn commit(world: &mut World, partition: Partition, through: Option<Position>) {
    let Some(Position::Offset(offset)) = through else { return };
    let broker = &world.brokers[&partition.index];
    if broker.owned && broker.epoch == partition.epoch && offset > broker.committed {
        world.commit(partition, through);
    }
}

/// An invocation that is under way, until it is answered or nobody waits for it any more.
struct Flying<'a>(&'a Scene, u64);

impl Drop for Flying<'_> {
    fn drop(&mut self) {
        if let Ok(mut world) = self.0.world.lock() {
            world.flying.remove(&self.1);
        }
    }
}

#[async_trait]
impl Invoker for Scene {
    async fn invoke(&self, batch: &[Record], window: Option<(&Window, &str)>, _: Duration) -> Delivered {
        let partition = batch.first().map(|record| place(record).0);
        let named = window.and_then(|(_, name)| name.strip_prefix("partition-")?.parse().ok());
        let index = partition.map(|partition| partition.index).or(named).expect("a batch is of a partition");
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let call = {
            let mut world = self.world();
            let epoch = partition.map_or(world.brokers[&index].epoch, |partition| partition.epoch);
            let window = window.map(|(window, _)| window.clone());
            let partition = Partition { index, epoch };
            let call = Call { partition, records: Arc::new(batch.to_vec()), window };
            world.check_call(&call);
            world.flying.insert(number, call.clone());
            call
        };
        let flying = Flying(self, number);
        self.while_passes(3_000).await;
        let judged = if self.healed() { Judged::Done } else { self.world().judged(batch.len()) };
        let state = call.window.is_some().then(|| Bytes::from(format!("{{\"n\":{number}}}")));
        self.world().learn(&call, &judged, state.as_ref());
        drop(flying);
        outcome(judged, batch, state.as_ref()).into()
    }
}

/// The answer that is judged so.
fn outcome(judged: Judged, batch: &[Record], state: Option<&Bytes>) -> Outcome {
    match judged {
        Judged::Failed(_) | Judged::Misreported(_) => Outcome::FunctionError,
        Judged::Broken => Outcome::Broken,
        Judged::TooLarge => Outcome::TooLarge,
        Judged::Throttled(after) => Outcome::Throttled { after },
        Judged::Unreachable(why) => Outcome::Unreachable(why),
        Judged::Unanswered => Outcome::Elsewhere,
        judged => {
            let failed = if let Judged::Partial(failed) = judged { failed } else { Vec::new() };
            let item = |index: &usize| {
                let (partition, offset) = place(&batch[*index]);
                json!({"itemIdentifier": format!("{}-{offset}", partition.index)})
            };
            let items: Vec<Value> = failed.iter().map(item).collect();
            let state: Value = state.map_or(Value::Null, |state| serde_json::from_slice(state).unwrap());
            Outcome::Done(json!({"batchItemFailures": items, "state": state}).to_string().into())
        }
    }
}

/// Which records a failure record is of.
struct Places;

impl BatchInfo for Places {
    fn name(&self) -> &'static str {
        "Places"
    }

    fn of_batch(&self, batch: &[Record], _: &str, _: usize) -> Bytes {
        let place = |record| {
            let (partition, offset) = place(record);
            json!([partition.index, partition.epoch, offset])
        };
        json!(batch.iter().map(place).collect::<Vec<_>>()).to_string().into()
    }
}

#[async_trait]
impl klr_contract::Destination for Scene {
    async fn put(&self, record: &FailureRecord) -> Result<(), Error> {
        let record: Value = serde_json::from_slice(&record.json).unwrap();
        self.while_passes(1_000).await;
        let mut world = self.world();
        let taken = self.healed() || world.dice.flip();
        for entry in record["Places"].as_array().unwrap() {
            let number = |at: usize| entry[at].as_i64().unwrap();
            let partition = Partition { index: number(0) as u32, epoch: number(1) as u32 };
            assert!(!world.settled.contains(&(partition, number(2))), "a settled record was discarded");
            world.sent_to_destination((partition, number(2)), taken);
        }
        if taken { Ok(()) } else { Err(Error::retry("laws.down", "the destination is down")) }
    }
}

async fn script(seed: u64) {
    let scene = Scene::new(seed);
    let begun = Instant::now();
    while begun.elapsed() < TROUBLE {
        let life = scene.start(&CancellationToken::new());
        scene.while_passes(TROUBLE.as_millis() as u64 / 2).await;
        scene.kill(life).await;
    }
    scene.healed.store(true, Ordering::Relaxed);
    let stop = CancellationToken::new();
    let life = scene.start(&stop);
    let complete = timeout(PATIENCE, scene.complete()).await;
    assert!(complete.is_ok(), "a lane waits for ever: {:?}", scene.world().brokers);
    stop.cancel();
    assert_eq!(life.await.unwrap(), Ending::Settled);
    assert!(!scene.world.is_poisoned(), "a law was broken");
}

#[test]
fn the_laws_hold_through_the_driver() {
    let seeds = match std::env::var("KLR_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..SCRIPTS,
    };
    for seed in seeds {
        let run = || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.unwrap().block_on(script(seed));
        };
        assert!(std::panic::catch_unwind(run).is_ok(), "KLR_SEED={seed}");
    }
}
