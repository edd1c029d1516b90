//! A DynamoDB table, shared.

mod heart;
mod item;
mod remote;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use klr_contract::{Row, Store};
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use self::{heart::Heart, remote::Remote};
use super::Error;

/// Between two writes of a mapping that nobody waits for: each row costs a write unit.
const PACE: Duration = Duration::from_secs(1);
/// Rows of one call that are on their way at once.
const ABREAST: usize = 32;
const EXPIRY: Duration = Duration::from_secs(10);
/// How long a new table may take until it can be used, and how often we look.
const MADE_WITHIN: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(500);

/// Which table, and how long members are believed.
#[derive(Debug, Clone)]
pub struct TableConfig {
    /// The table's name. All processes that share a table must run the same mappings: each gets its share of each.
    pub name: String,
    /// Where it is; unset, the AWS chain's region.
    pub region: Option<String>,
    /// Any DynamoDB-compatible server; unset, the AWS chain's (`AWS_ENDPOINT_URL_DYNAMODB`, …).
    pub endpoint: Option<String>,
    /// A member whose heartbeat has not counted on for so long is dead, and others claim what it had. The same in all
    /// members.
    pub expiry: Duration,
}

impl TableConfig {
    /// A table by name, everything else as usual: the chain's region and endpoint, ten seconds.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), region: None, endpoint: None, expiry: EXPIRY }
    }
}

/// Positions in a DynamoDB table; any number of processes are members.
///
/// While it lives its heartbeat goes on, in a task of its own. Dropping it without [`close`](Store::close) is a crash: the
/// others wait for its time to run out.
#[derive(Debug)]
pub struct Table {
    remote: Arc<Remote>,
    heart: Arc<Heart>,
    /// How many rows were sent: makes each write recognisable.
    sent: AtomicU64,
    _beating: AbortOnDropHandle<()>,
}

impl Table {
    /// Joins the table's members. A missing table is created (billed per request), where we may.
    pub async fn open(config: TableConfig) -> Result<Self, Error> {
        let TableConfig { name, region, endpoint, expiry } = config;
        let region = match region {
            Some(region) => region,
            None => klr_aws::region().await.ok_or_else(|| Error::NoRegion { table: name.clone() })?,
        };
        let remote = Arc::new(Remote::new(name, region, endpoint).await);
        let heart = Arc::new(Heart::new(Arc::clone(&remote), Uuid::new_v4().to_string(), expiry));
        // Using the table tells whether it is there, with no more permissions than using it needs.
        match heart.members().await {
            Err(error) if error.code() == remote::MISSING => {
                remote.create().await?;
                in_use(&remote, &heart).await?;
            }
            Err(error) if error.code() == heart::LATE => in_use(&remote, &heart).await?,
            joined => drop(joined?),
        }
        let beating = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&heart).go_on()));
        Ok(Self { remote, heart, sent: AtomicU64::new(0), _beating: beating })
    }

    /// Whether the row was accepted.
    async fn write_row(&self, mapping: &str, row: &Row) -> Result<bool, klr_contract::Error> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let write = format!("{}/{number}", self.heart.name());
        self.remote.put(mapping, row, &write).await
    }
}

/// Waits until the table takes our first heartbeat: it may be new, or DynamoDB slow just now. It is created again where it is
/// still missing: DynamoDB Local had none after two had asked for it at once.
async fn in_use(remote: &Remote, heart: &Heart) -> Result<(), Error> {
    let end = Instant::now() + MADE_WITHIN;
    loop {
        match heart.members().await {
            Err(error) if error.code() == remote::MISSING && Instant::now() < end => {
                sleep(LOOK).await;
                remote.create().await?;
            }
            Err(error) if error.code() == heart::LATE && Instant::now() < end => sleep(LOOK).await,
            joined => return Ok(joined.map(drop)?),
        }
    }
}

#[async_trait]
impl Store for Table {
    fn member(&self) -> &str {
        self.heart.name()
    }

    async fn members(&self) -> Result<Vec<String>, klr_contract::Error> {
        self.heart.members().await
    }

    async fn rows(&self, mapping: &str) -> Result<Vec<Row>, klr_contract::Error> {
        self.remote.rows(mapping).await
    }

    /// Not `BatchWriteItem`, which knows no conditions, and not a transaction, in which one stale row refuses all.
    async fn write(&self, mapping: &str, rows: &[Row]) -> Result<Vec<String>, klr_contract::Error> {
        let calls: Vec<_> = rows
            .iter()
            .map(async |row| Ok((!self.write_row(mapping, row).await?).then(|| row.partition.clone())))
            .collect();
        // All are waited for, even when one has failed: what else was sent is not left in the air.
        let answers: Vec<Result<_, _>> = stream::iter(calls).buffer_unordered(ABREAST).collect().await;
        answers.into_iter().filter_map(Result::transpose).collect()
    }

    async fn remove(&self, mapping: &str, rows: &[Row]) -> Result<(), klr_contract::Error> {
        let calls: Vec<_> = rows.iter().map(|row| self.remote.delete(mapping, row)).collect();
        let answers: Vec<Result<(), _>> = stream::iter(calls).buffer_unordered(ABREAST).collect().await;
        answers.into_iter().collect()
    }

    fn pace(&self) -> Duration {
        PACE
    }

    async fn close(&self) -> Result<(), klr_contract::Error> {
        self.heart.leave().await
    }
}
