//! How many invocations may run at once: of the account, reserved for functions, provisioned for versions and aliases.

mod provisioned;
mod quota;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    routing::{get, put},
};
use serde_json::json;

pub(super) use self::provisioned::{check_alias, moved, resume};
pub use self::{
    provisioned::{Provisioned, provisioned},
    quota::Limits,
};
use super::{
    Api, Error,
    answer::{Answer, empty, ok},
    body::{Body, Constraints},
    function,
    name::{Form, Name},
};

/// The paths of this area.
pub(super) fn routes() -> Router<Arc<Api>> {
    let provisioned = get(provisioned::show).put(provisioned::put).delete(provisioned::delete);
    Router::new()
        .route("/2017-10-31/functions/{function}/concurrency", put(reserve).delete(release))
        .route("/2019-09-30/functions/{function}/concurrency", get(show))
        .route("/2019-09-30/functions/{function}/provisioned-concurrency", provisioned)
}

/// What is reserved for a function, if anything; 0 stops it.
pub fn reserved(api: &Api, function: &str) -> Option<u32> {
    api.reserved.get(function).as_deref().copied()
}

/// What of the account's concurrency is nobody's own.
pub(super) fn unreserved(api: &Api) -> u32 {
    api.settings.limits.unreserved(promised(api, None))
}

/// What is promised to all functions but one: what is reserved for each, or provisioned where nothing is reserved.
fn promised(api: &Api, but: Option<&str>) -> u32 {
    let reserved = api.reserved.all().into_iter().filter(|(function, _)| Some(function.as_str()) != but);
    let reserved = reserved.map(|(_, reserved)| *reserved).fold(0, u32::saturating_add);
    let provisioned = api.provisioned.all().into_iter().filter(|(key, _)| {
        let function = key.split(':').next().unwrap_or_default();
        Some(function) != but && api.reserved.get(function).is_none()
    });
    provisioned.map(|(_, provisioned)| provisioned.requested).fold(reserved, u32::saturating_add)
}

/// A function without a qualifier: versions and aliases share what is reserved for it.
fn whole(api: &Api, function: &str, action: &str) -> Result<Name, Error> {
    Name::parse(function, None, Form::Plain, action, api.identity())?.whole()
}

fn exists(api: &Api, name: &Name) -> Result<(), Error> {
    if api.functions.get(&name.function).is_some() {
        return Ok(());
    }
    let arn = api.identity().function(&name.function, Some("$LATEST"));
    Err(Error::not_found(format!("Function not found: {arn}")))
}

async fn reserve(State(api): State<Arc<Api>>, Path(function): Path<String>, body: Body) -> Answer {
    let wanted = body.fields().whole("ReservedConcurrentExecutions")?;
    let mut constraints = Constraints::default();
    match wanted {
        Some(wanted) => constraints.within("reservedConcurrentExecutions", wanted, 0..=i32::MAX.into()),
        None => constraints.missing("reservedConcurrentExecutions"),
    }
    constraints.check()?;
    let wanted = wanted.and_then(|wanted| u32::try_from(wanted).ok()).unwrap_or_default();
    let name = whole(&api, &function, "PutFunctionConcurrency")?;
    let mut change = api.change().await;
    exists(&api, &name)?;
    let others = promised(&api, Some(&name.function));
    let provisioned = provisioned::total(&api, &name.function, None);
    quota::reserve(api.settings.limits, others, provisioned, wanted)?;
    change.put(&api.reserved, name.function, wanted);
    change.commit().await?;
    ok(&json!({ "ReservedConcurrentExecutions": wanted }))
}

async fn release(State(api): State<Arc<Api>>, Path(function): Path<String>) -> Answer {
    let name = whole(&api, &function, "DeleteFunctionConcurrency")?;
    let mut change = api.change().await;
    exists(&api, &name)?;
    change.remove(&api.reserved, name.function);
    change.commit().await?;
    empty()
}

async fn show(State(api): State<Arc<Api>>, Path(function): Path<String>) -> Answer {
    let name = Name::parse(&function, None, Form::Plain, "GetFunctionConcurrency", api.identity())?;
    function::find(&api, &name)?;
    match reserved(&api, &name.function) {
        Some(reserved) => ok(&json!({ "ReservedConcurrentExecutions": reserved })),
        None => ok(&json!({})),
    }
}

#[cfg(test)]
mod tests;
