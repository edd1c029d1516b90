//! ListFunctions.

use std::sync::Arc;

use axum::extract::State;
use serde_json::json;

use super::super::{
    Api,
    answer::{Answer, ok},
    body::{Constraints, Query},
    page::Page,
};

/// AWS gives no more than this at once, whatever is asked for.
const MOST: usize = 50;

pub(super) async fn functions(State(api): State<Arc<Api>>, query: Query) -> Answer {
    let mut constraints = Constraints::default();
    if let Some(versions) = query.get("FunctionVersion") {
        constraints.one_of("functionVersion", versions, &["ALL"]);
    }
    constraints.check()?;
    let page = Page::of(&query, MOST)?;
    let (functions, next) = page.cut(api.functions.all());
    let functions: Vec<_> =
        functions.iter().map(|function| json!({ "FunctionName": function.name })).collect();
    ok(&json!({ "Functions": functions, "NextMarker": next }))
}
