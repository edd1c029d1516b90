//! A DynamoDB table: what every store promises, on DynamoDB Local, and what is its own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use klr_contract::{
    Error, Store,
    conformance::store::{Harness, Subject, shared, standard},
};
use klr_test_support::servers::DynamoDbLocal;
use tokio::time::sleep;
use uuid::Uuid;

use super::{proxy::Proxy, row};
use crate::state::{Error as StateError, Table, TableConfig};

/// Long enough for a loaded machine: a beat has a third of it.
const EXPIRY: Duration = Duration::from_secs(6);

fn config(endpoint: &str) -> TableConfig {
    TableConfig {
        region: Some("us-east-1".to_owned()),
        endpoint: Some(endpoint.to_owned()),
        expiry: EXPIRY,
        ..TableConfig::new(format!("positions-{}", Uuid::new_v4()))
    }
}

struct Tables(String);

struct Named(TableConfig);

#[async_trait]
impl Harness for Tables {
    async fn create(&self) -> Box<dyn Subject> {
        Box::new(Named(config(&self.0)))
    }
}

#[async_trait]
impl Subject for Named {
    async fn join(&self) -> Arc<dyn Store> {
        Arc::new(Table::open(self.0.clone()).await.unwrap())
    }

    fn expiry(&self) -> Duration {
        EXPIRY
    }
}

/// One server for the tests of this process, started off the runtime.
async fn endpoint() -> Option<&'static str> {
    let server = tokio::task::spawn_blocking(DynamoDbLocal::shared).await.unwrap();
    server.map(|server| server.endpoint.as_str())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_alone() {
    let Some(endpoint) = endpoint().await else { return };
    standard(&Tables(endpoint.to_owned())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_shared() {
    let Some(endpoint) = endpoint().await else { return };
    shared(&Tables(endpoint.to_owned())).await;
}

/// The server has written, the answer never came, the SDK asks again and is refused: the row is ours all the same.
#[tokio::test]
async fn a_lost_answer_is_not_taken_for_another_writer() {
    let Some(endpoint) = endpoint().await else { return };
    let proxy = Proxy::before(endpoint).await;
    let table = Table::open(config(&proxy.endpoint)).await.unwrap();
    for version in 0..3 {
        let sent = proxy.requests();
        proxy.lose(".PutItem", "shard-a");
        assert!(table.write("m", &[row("shard-a", "1", version)]).await.unwrap().is_empty());
        assert!(proxy.lost(), "the answer was lost");
        assert!(proxy.requests() >= sent + 2, "and asked for again");
        assert_eq!(table.rows("m").await.unwrap()[0].version, version + 1);
    }
    assert_eq!(table.write("m", &[row("shard-a", "1", 2)]).await.unwrap(), ["shard-a"]);
}

#[tokio::test]
async fn who_is_cut_off_learns_that_it_may_be_dead() {
    let Some(endpoint) = endpoint().await else { return };
    let proxy = Proxy::before(endpoint).await;
    let direct = config(endpoint);
    let table =
        Table::open(TableConfig { endpoint: Some(proxy.endpoint.clone()), ..direct.clone() }).await.unwrap();
    let other = Table::open(direct).await.unwrap();
    proxy.cut(true);
    let start = Instant::now();
    let told = loop {
        match table.members().await {
            Ok(_) => sleep(Duration::from_millis(100)).await,
            Err(error) => break error,
        }
    };
    let knew = start.elapsed();
    assert!(matches!(told.kind(), klr_contract::Kind::Retry { .. }), "{told}");
    assert!(
        other.members().await.unwrap().contains(&table.member().to_owned()) || knew > EXPIRY,
        "it knows first"
    );
    until(&other, &[other.member()]).await;
    eprintln!("it knew after {knew:?}, the other one after {:?}", start.elapsed());
    assert!(table.write("m", &[row("a", "1", 0)]).await.is_err());
    proxy.cut(false);
    let mut both = [table.member(), other.member()];
    both.sort_unstable();
    until(&other, &both).await;
    until(&table, &both).await;
}

#[tokio::test]
async fn a_closed_table_is_no_member_and_does_not_come_back() {
    let Some(endpoint) = endpoint().await else { return };
    let config = config(endpoint);
    let (first, second) = (Table::open(config.clone()).await.unwrap(), Table::open(config).await.unwrap());
    second.close().await.unwrap();
    assert_eq!(second.members().await.unwrap_err().code(), "state-closed");
    sleep(EXPIRY).await;
    assert_eq!(first.members().await.unwrap(), [first.member()]);
}

#[tokio::test]
async fn a_table_we_may_not_create_says_how_to() {
    let Some(endpoint) = endpoint().await else { return };
    let proxy = Proxy::before(endpoint).await;
    proxy.deny(".CreateTable");
    let config = config(&proxy.endpoint);
    let error = Table::open(config.clone()).await.unwrap_err();
    let said = error.to_string();
    let StateError::NoTable { table, why, command, .. } = error else { panic!("{said}") };
    assert_eq!(table, config.name);
    assert!(why.contains("AccessDenied"), "{why}");
    assert!(command.starts_with(&format!("aws dynamodb create-table --table-name {table} ")), "{command}");
    assert!(said.contains(&command), "{said}");
    // Somebody with the permission has made it: no permission to create is needed any more.
    let made = TableConfig { endpoint: Some(endpoint.to_owned()), ..config.clone() };
    Table::open(made).await.unwrap().close().await.unwrap();
    Table::open(config).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_that_time_may_cure() {
    let config = config("http://127.0.0.1:1");
    let error: Error = Table::open(config).await.unwrap_err().into();
    assert!(matches!(error.kind(), klr_contract::Kind::Retry { .. }), "{error}");
}

async fn until(table: &Table, members: &[&str]) {
    let end = Instant::now() + 2 * EXPIRY + Duration::from_secs(20);
    loop {
        if table.members().await.is_ok_and(|seen| seen == members) {
            return;
        }
        assert!(Instant::now() < end, "expected the members {members:?}");
        sleep(Duration::from_millis(100)).await;
    }
}
