//! Zips that no version and no layer names any more.

use std::{collections::HashSet, sync::Arc};

use super::super::{Api, function};

impl Api {
    /// Throws them away, some time soon: nobody waits for it.
    pub(in super::super) fn sweep_soon(self: &Arc<Self>) {
        let api = Arc::clone(self);
        tokio::spawn(async move { api.sweep().await });
    }

    /// Throws them away.
    pub async fn sweep(&self) {
        // Nothing comes into use while it is decided what is not.
        let _change = self.change().await;
        self.code.sweep(self.code_in_use()).await;
    }

    /// The files of all zips that something names.
    fn code_in_use(&self) -> HashSet<String> {
        let versions = self.versions.all();
        let own = versions.iter().filter_map(|(_, version)| match &version.code {
            function::Code::Zip(archive) => Some(archive.file()),
            function::Code::Image { .. } => None,
        });
        // A layer version that was deleted goes on in the functions that use it.
        let used =
            versions.iter().flat_map(|(_, version)| &version.config.layers).map(|layer| layer.code.file());
        let layers = self.layer_versions.all().into_iter().map(|(_, layer)| layer.code.file());
        own.chain(used).chain(layers).collect()
    }
}
