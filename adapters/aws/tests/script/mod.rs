//! A service of shards that does as it is told: it splits, forgets, trims, expires and refuses.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use klr_aws::shards::{
    Answer, Failure, Listing, OnLostPosition, Pace, Reading, Service, Settings, Shard, Source, Start,
};
use klr_contract::memory::store::{Member, Table};
use klr_contract::{Arrival, Error, Log, Mark, Partition, Place, Position, Record, Store as _};
use tokio::time::timeout;

pub const MAPPING: &str = "mapping";
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What the service has. Cloning shares it.
#[derive(Clone, Default)]
pub struct Script(pub Arc<Mutex<World>>);

#[derive(Default)]
pub struct World {
    pub identity: u32,
    pub shards: BTreeMap<String, Place_>,
    pub deleted: bool,
    sequence: u64,
    /// Cursors of an earlier generation have expired.
    generation: u64,
    /// Reads that fail still.
    pub throttled: usize,
    pub reads: usize,
    pub lists: usize,
}

#[derive(Default, Clone)]
pub struct Place_ {
    parents: Vec<String>,
    closed: bool,
    /// Listed no more.
    forgotten: bool,
    records: Vec<(u64, String, Timestamp)>,
    trimmed: usize,
}

pub fn shard(number: usize) -> String {
    format!("shardId-{number:012}")
}

impl Script {
    pub fn new(shards: usize) -> Self {
        let script = Self::default();
        (0..shards).for_each(|number| script.add(&shard(number), &[]));
        script
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    pub fn add(&self, name: &str, parents: &[&str]) {
        let mut world = self.world();
        for parent in parents {
            world.shards.get_mut(*parent).unwrap().closed = true;
        }
        let parents = parents.iter().map(|parent| (*parent).to_owned()).collect();
        world.shards.insert(name.to_owned(), Place_ { parents, ..Place_::default() });
    }

    pub fn put(&self, name: &str, bodies: &[&str]) {
        let mut world = self.world();
        for body in bodies {
            world.sequence += 1;
            let sequence = world.sequence;
            let shard = world.shards.get_mut(name).unwrap();
            assert!(!shard.closed, "{name} is closed");
            shard.records.push((sequence, (*body).to_owned(), now()));
        }
    }

    /// All of a shard's records so far pass out of retention.
    pub fn trim(&self, name: &str) {
        let mut world = self.world();
        let shard = world.shards.get_mut(name).unwrap();
        shard.trimmed = shard.records.len();
    }

    pub fn forget(&self, name: &str) {
        self.world().shards.get_mut(name).unwrap().forgotten = true;
    }

    pub fn expire(&self) {
        self.world().generation += 1;
    }

    /// Deleted and made again under its name.
    pub fn remake(&self, shards: usize) {
        let mut world = self.world();
        world.identity += 1;
        world.shards = (0..shards).map(|number| (shard(number), Place_::default())).collect();
        drop(world);
        self.expire();
    }

    pub fn open(&self, table: &Table, settings: Settings) -> Reader {
        let member = Arc::new(table.join());
        let log = Source::open(self.clone(), settings, Arc::clone(&member) as _);
        Reader { log, member }
    }
}

/// Paused time does not move the wall clock; marks are in its time.
pub fn now() -> Timestamp {
    Timestamp::now()
}

pub fn settings(start: Start) -> Settings {
    Settings {
        mapping: MAPPING.to_owned(),
        stream: "arn:script".to_owned(),
        start,
        on_lost_position: OnLostPosition::Earliest,
        once: false,
    }
}

pub struct Cursor {
    at: usize,
    generation: u64,
}

#[async_trait]
impl Service for Script {
    type Cursor = Cursor;

    fn pace(&self) -> Pace {
        let (idle, busy) = (Duration::from_secs(1), Duration::from_millis(200));
        Pace { idle, busy, bytes_per_second: Some(2 << 20), quiet: 1 }
    }

    async fn list(&self) -> Result<Listing, Failure> {
        let mut world = self.world();
        world.lists += 1;
        if world.deleted {
            return Err(Failure::Gone(Error::retry("script-gone", "Stream not found")));
        }
        let shard = |(name, shard): (&String, &Place_)| Shard {
            name: name.as_str().into(),
            parents: shard.parents.iter().map(|parent| parent.as_str().into()).collect(),
            closed: shard.closed,
        };
        let listed = world.shards.iter().filter(|(_, shard)| !shard.forgotten);
        Ok(Listing { identity: format!("stream@{}", world.identity), shards: listed.map(shard).collect() })
    }

    async fn seek(&self, reading: &Reading, mark: &Mark) -> Result<Cursor, Failure> {
        let world = self.world();
        let shard = &world.shards[&*reading.shard];
        let at = match mark {
            Mark::Oldest | Mark::Ended => shard.trimmed,
            Mark::Moment(moment) => {
                let first = shard.records.iter().position(|(.., at)| at >= moment);
                first.unwrap_or(shard.records.len()).max(shard.trimmed)
            }
            Mark::After(text) => {
                let sequence: u64 = text.parse().unwrap();
                match shard.records.iter().position(|(number, ..)| *number == sequence) {
                    Some(at) if at + 1 >= shard.trimmed => at + 1,
                    _ => return Err(Failure::Trimmed),
                }
            }
        };
        Ok(Cursor { at, generation: world.generation })
    }

    async fn read(&self, reading: &Reading, cursor: Cursor) -> Result<Answer<Cursor>, Failure> {
        // A call takes a while; others go on meanwhile.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let mut world = self.world();
        world.reads += 1;
        if world.throttled > 0 {
            world.throttled -= 1;
            return Err(Error::retry("aws-throttled", "slow down").into());
        }
        if world.deleted {
            return Err(Failure::Gone(Error::retry("script-gone", "Stream not found")));
        }
        if cursor.generation != world.generation {
            return Err(Failure::Expired);
        }
        let generation = world.generation;
        let shard = &world.shards[&*reading.shard];
        if cursor.at < shard.trimmed {
            return Err(Failure::Trimmed);
        }
        let end = shard.records.len().min(cursor.at + 100);
        let arrivals: Vec<Arrival> =
            shard.records[cursor.at..end].iter().map(|record| arrival(reading.partition, record)).collect();
        let at_end = end == shard.records.len();
        let next = (!(at_end && shard.closed)).then_some(Cursor { at: end, generation });
        Ok(Answer { bytes: 10 * arrivals.len(), arrivals, next, caught_up: at_end })
    }
}

fn arrival(partition: Partition, (sequence, body, at): &(u64, String, Timestamp)) -> Arrival {
    let json = serde_json::json!({ "body": body }).to_string();
    let position = Position::Opaque(sequence.to_string().into());
    Arrival::Record(Record {
        json: Ok(json.into()),
        place: Place::At { partition, position, key: 0 },
        at: *at,
        trace: None,
    })
}

/// A log and the process around it: leaving one leaves the other, and dropping it is a crash.
pub struct Reader {
    pub log: Source<Script>,
    pub member: Arc<Member>,
}

#[async_trait]
impl Log for Reader {
    async fn next(&self, want: usize) -> Result<Vec<Arrival>, Error> {
        self.log.next(want).await
    }
    fn flow(&self, partition: Partition, open: bool) {
        self.log.flow(partition, open);
    }
    async fn checkpoint(&self, through: &[(Partition, Position)]) -> Result<(), Error> {
        self.log.checkpoint(through).await
    }
    async fn release(&self, partition: Partition, through: Option<Position>) -> Result<(), Error> {
        self.log.release(partition, through).await
    }
    fn name(&self, partition: Partition) -> Option<Arc<str>> {
        self.log.name(partition)
    }
    fn lag(&self) -> Vec<(Partition, u64)> {
        self.log.lag()
    }
    async fn close(&self) -> Result<(), Error> {
        self.log.close().await?;
        self.member.close().await
    }
}

impl Reader {
    pub fn name_of(&self, partition: Partition) -> String {
        self.log.name(partition).unwrap().to_string()
    }

    /// What comes until `enough` says so, errors by their codes.
    pub async fn read_until(
        &self,
        enough: impl Fn(&[Arrival], &[&'static str]) -> bool,
    ) -> (Vec<Arrival>, Vec<&'static str>) {
        let (mut all, mut told) = (Vec::new(), Vec::new());
        let read = async {
            while !enough(&all, &told) {
                match self.log.next(1000).await {
                    Ok(arrivals) => all.extend(arrivals),
                    Err(error) => told.push(error.code()),
                }
            }
        };
        if timeout(PATIENCE, read).await.is_err() {
            panic!("not enough came: {all:?}, told {told:?}");
        }
        (all, told)
    }

    /// So many records.
    pub async fn read(&self, count: usize) -> Vec<Arrival> {
        self.read_until(|all, _| bodies(all).len() >= count).await.0
    }

    /// As the engine does with a function that always succeeds: everything is checkpointed, what has ended or is to go is
    /// let go. For so long.
    pub async fn run(&self, span: Duration) -> Vec<Arrival> {
        let mut all = Vec::new();
        let run = async {
            loop {
                let Ok(arrivals) = self.log.next(1000).await else { continue };
                for arrival in &arrivals {
                    match arrival {
                        Arrival::Record(record) => self.log.checkpoint(&[place(record)]).await.unwrap(),
                        Arrival::Losing(partition) | Arrival::Ended(partition) => {
                            self.log.release(*partition, None).await.unwrap();
                        }
                        _ => {}
                    }
                }
                all.extend(arrivals);
            }
        };
        let _: Result<(), _> = timeout(span, run).await;
        all
    }
}

pub fn place(record: &Record) -> (Partition, Position) {
    let Place::At { partition, position, .. } = &record.place else { panic!("a log's place") };
    (*partition, position.clone())
}

pub fn bodies(all: &[Arrival]) -> Vec<String> {
    all.iter()
        .filter_map(|a| if let Arrival::Record(record) = a { Some(body(record)) } else { None })
        .collect()
}

pub fn body(record: &Record) -> String {
    let json: serde_json::Value = serde_json::from_slice(record.json.as_ref().unwrap()).unwrap();
    json["body"].as_str().unwrap().to_owned()
}

pub fn last_place(all: &[Arrival]) -> (Partition, Position) {
    let last = all
        .iter()
        .rev()
        .find_map(|a| if let Arrival::Record(record) = a { Some(place(record)) } else { None });
    last.unwrap()
}

pub fn gained(all: &[Arrival]) -> Vec<Partition> {
    all.iter()
        .filter_map(|a| if let Arrival::Gained(partition) = a { Some(*partition) } else { None })
        .collect()
}
