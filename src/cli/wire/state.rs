//! Where positions are kept for sources that keep none.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;

/// The store of positions, opened when the first mapping needs it.
#[derive(Default)]
pub(in crate::cli) struct State {
    directory: Option<PathBuf>,
    store: tokio::sync::OnceCell<Arc<dyn klr_contract::Store>>,
}

impl State {
    pub(super) fn keep_in(&mut self, directory: Option<PathBuf>) {
        self.directory = directory;
    }

    pub(super) async fn store(&self) -> anyhow::Result<Arc<dyn klr_contract::Store>> {
        let store = self.store.get_or_try_init(|| self.open()).await?;
        Ok(Arc::clone(store))
    }

    async fn open(&self) -> anyhow::Result<Arc<dyn klr_contract::Store>> {
        let directory = self.directory.clone().or_else(default_directory);
        let directory =
            directory.context("neither --state, XDG_STATE_HOME nor HOME says where to keep positions")?;
        Ok(Arc::new(crate::state::open(&directory).await?))
    }
}

/// `$XDG_STATE_HOME/klr`.
fn default_directory() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
    Some(home?.join("klr"))
}
