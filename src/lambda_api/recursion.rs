//! Whether a function may call itself in a circle: `Terminate` unless said otherwise.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    routing::get,
};
use serde_json::json;

use super::{
    Api, Error,
    answer::{Answer, ok},
    body::{Body, Constraints},
    function,
    name::{Form, Name},
};

/// The paths of this area.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/2024-08-31/functions/{function}/recursion-config", get(show).put(put))
}

fn name(api: &Api, function: &str, action: &str) -> Result<Name, Error> {
    let name = Name::parse(function, None, Form::Unqualified, action, api.identity())?;
    function::find(api, &name)?;
    Ok(name)
}

async fn show(State(api): State<Arc<Api>>, Path(function): Path<String>) -> Answer {
    let name = name(&api, &function, "GetFunctionRecursionConfig")?;
    let set = api.recursion.get(&name.function);
    ok(&json!({ "RecursiveLoop": set.as_deref().map_or("Terminate", String::as_str) }))
}

async fn put(State(api): State<Arc<Api>>, Path(function): Path<String>, body: Body) -> Answer {
    let wanted = body.fields().owned("RecursiveLoop")?;
    let mut constraints = Constraints::default();
    match &wanted {
        Some(wanted) => constraints.one_of("recursiveLoop", wanted, &["Terminate", "Allow"]),
        None => constraints.missing("recursiveLoop"),
    }
    constraints.check()?;
    let mut change = api.change().await;
    let name = name(&api, &function, "PutFunctionRecursionConfig")?;
    let set = change.put(&api.recursion, name.function, wanted.unwrap_or_default());
    change.commit().await?;
    ok(&json!({ "RecursiveLoop": *set }))
}
