//! GetAccountSettings: what there may be, and what there is.

use std::sync::Arc;

use axum::{Router, extract::State, routing::get};
use serde_json::json;

use super::{
    Api,
    answer::{Answer, ok},
    concurrency,
    function::Code,
};

/// AWS's, in bytes: all zips together, one as it is unpacked, one as it is sent.
const ALL_CODE: u64 = 80_530_636_800;
const UNZIPPED: u64 = 262_144_000;
const ZIPPED: u64 = 52_428_800;

/// The paths of this area.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/2016-08-19/account-settings", get(show))
}

async fn show(State(api): State<Arc<Api>>) -> Answer {
    ok(&json!({
        "AccountLimit": {
            "TotalCodeSize": ALL_CODE,
            "CodeSizeUnzipped": UNZIPPED,
            "CodeSizeZipped": ZIPPED,
            "ConcurrentExecutions": api.settings.limits.concurrent,
            "UnreservedConcurrentExecutions": concurrency::unreserved(&api),
        },
        "AccountUsage": { "TotalCodeSize": code_size(&api), "FunctionCount": api.functions.len() },
    }))
}

/// Every version counts, of functions and of layers; images are somebody else's.
fn code_size(api: &Api) -> u64 {
    let functions = api.versions.all().into_iter().map(|(_, version)| match &version.code {
        Code::Zip(archive) => archive.size,
        Code::Image { .. } => 0,
    });
    let layers = api.layer_versions.all().into_iter().map(|(_, version)| version.code.size);
    functions.chain(layers).sum()
}
