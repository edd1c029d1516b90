//! Where positions are kept for sources that keep none.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use klr_contract::Store;
use tokio::{sync::OnceCell, time::timeout};

/// How long leaving may take; whoever shares the store waits a little longer then.
const LEAVING: Duration = Duration::from_secs(5);

/// Where.
#[derive(Debug, Default, clap::Args)]
pub(in crate::cli) struct Place {
    /// A directory of its own for state: the positions in streams, which keep none themselves [default:
    /// $XDG_STATE_HOME/klr]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// A DynamoDB table instead, made if missing: processes that name the same one and run the same mappings share
    /// their streams' shards. Its region and endpoint are the AWS chain's
    #[cfg(feature = "table")]
    #[arg(long, value_name = "NAME", conflicts_with = "state")]
    state_table: Option<String>,
}

#[cfg(test)]
impl Place {
    /// A directory.
    #[allow(dead_code, reason = "what only some sources' tests need")]
    pub fn at(directory: &std::path::Path) -> Self {
        Self {
            state: Some(directory.to_owned()),
            #[cfg(feature = "table")]
            state_table: None,
        }
    }
}

/// The store of positions, opened when the first mapping needs it.
#[derive(Default)]
pub(super) struct State {
    place: Place,
    store: OnceCell<Arc<dyn Store>>,
}

impl State {
    /// A directory that was named is taken at once, whether a mapping needs it or not: two processes on one directory are a
    /// mistake.
    pub async fn keep_in(&mut self, place: Place) -> anyhow::Result<()> {
        self.place = place;
        if self.place.state.is_some() {
            self.store().await?;
        }
        Ok(())
    }

    pub async fn store(&self) -> anyhow::Result<Arc<dyn Store>> {
        let store = self.store.get_or_try_init(|| self.open()).await?;
        Ok(Arc::clone(store))
    }

    /// Forgets a mapping's positions.
    #[cfg(all(feature = "lambda-api", any(feature = "kinesis", feature = "dynamodb")))]
    pub async fn forget(&self, mapping: &str) -> anyhow::Result<()> {
        let store = self.store().await?;
        let rows = store.rows(mapping).await?;
        if !rows.is_empty() {
            store.remove(mapping, &rows).await?;
        }
        Ok(())
    }

    /// Leaves the store, after the last mapping has.
    pub async fn close(&self) {
        let Some(store) = self.store.get() else { return };
        match timeout(LEAVING, store.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the store of positions was not left in order"),
            Err(_) => tracing::warn!("the store of positions did not let us leave in time"),
        }
    }

    async fn open(&self) -> anyhow::Result<Arc<dyn Store>> {
        #[cfg(feature = "table")]
        if let Some(name) = &self.place.state_table {
            let table = crate::state::Table::open(crate::state::TableConfig::new(name)).await;
            return Ok(Arc::new(table.with_context(|| format!("--state-table {name}"))?));
        }
        Ok(Arc::new(crate::state::open(&self.place.directory()?).await?))
    }
}

impl Place {
    /// The directory for state, of whatever kind.
    pub fn directory(&self) -> anyhow::Result<PathBuf> {
        let directory = self.state.clone().or_else(default_directory);
        directory.context("neither --state, XDG_STATE_HOME nor HOME says where to keep state")
    }
}

/// `$XDG_STATE_HOME/klr`.
fn default_directory() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
    Some(home?.join("klr"))
}
