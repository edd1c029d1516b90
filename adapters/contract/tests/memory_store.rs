//! The in-memory store is a store: rows by compare-and-swap, members that come and go.
#![cfg(feature = "conformance")]
#![allow(clippy::unwrap_used)] // A test that cannot set its scene has failed.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use klr_contract::conformance::store::{Harness, Subject, shared, standard};
use klr_contract::memory::store::Table;
use klr_contract::{Mark, Row, Store};

fn row(partition: &str, owner: Option<&str>, version: u64) -> Row {
    Row {
        partition: partition.to_owned(),
        stream: "stream".to_owned(),
        mark: Mark::Oldest,
        owner: owner.map(str::to_owned),
        version,
    }
}

#[tokio::test]
async fn a_row_is_written_over_its_version_only() {
    let table = Table::default();
    let (first, second) = (table.join(), table.join());
    assert!(first.write("m", &[row("a", Some("member-1"), 0), row("b", None, 0)]).await.unwrap().is_empty());
    assert_eq!(second.write("m", &[row("a", Some("member-2"), 0), row("b", None, 1)]).await.unwrap(), ["a"]);
    assert_eq!(table.row("m", "a").unwrap(), row("a", Some("member-1"), 1));
    assert_eq!(second.rows("m").await.unwrap().len(), 2);
    assert!(second.rows("other").await.unwrap().is_empty());
    second.remove("m", &[row("a", None, 9), row("b", None, 2)]).await.unwrap();
    assert!(table.row("m", "a").is_some() && table.row("m", "b").is_none());
}

#[tokio::test]
async fn members_live_until_they_leave_or_die() {
    let table = Table::default();
    let (first, second, third) = (table.join(), table.join(), table.join());
    assert_eq!(first.members().await.unwrap(), ["member-1", "member-2", "member-3"]);
    second.close().await.unwrap();
    drop(third);
    assert_eq!(first.members().await.unwrap(), ["member-1"]);
    table.kill("member-1");
    assert!(first.members().await.unwrap().is_empty());
    table.revive("member-1");
    table.cut_off("member-1", true);
    assert!(first.members().await.is_err());
}

#[tokio::test]
async fn refusals_are_as_told() {
    let table = Table::default();
    let member = table.join();
    table.refuse("a", 1);
    assert_eq!(member.write("m", &[row("a", None, 0)]).await.unwrap(), ["a"]);
    assert!(member.write("m", &[row("a", None, 0)]).await.unwrap().is_empty());
    table.take("m", "a", "member-9");
    assert_eq!(member.write("m", &[row("a", None, 1)]).await.unwrap(), ["a"]);
}

struct Tables;

struct Shared(Table);

#[async_trait]
impl Harness for Tables {
    async fn create(&self) -> Box<dyn Subject> {
        Box::new(Shared(Table::default()))
    }
}

#[async_trait]
impl Subject for Shared {
    async fn join(&self) -> Arc<dyn Store> {
        Arc::new(self.0.join())
    }

    fn expiry(&self) -> Duration {
        Duration::ZERO
    }
}

#[tokio::test]
async fn conforms() {
    standard(&Tables).await;
    shared(&Tables).await;
}
