//! Environments that are kept ready for a version or an alias. No more processes are started ahead than the machine has
//! processors; the rest starts when somebody calls, and is shown as ready all the same.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::quota;
use crate::lambda_api::{
    Api, Code, Error,
    answer::{Answer, empty, json as answer, ok},
    body::{Body, Constraints, Query},
    function::{self, Alias, Resolved, alias_key},
    name::{Form, Name, is_version},
    page::Page,
    setting,
};

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provisioned {
    /// So many environments.
    pub requested: u32,
    /// When.
    pub modified: Timestamp,
}

/// How many environments of a version are to be ready, through its number or an alias that points to it first.
pub fn provisioned(api: &Api, function: &str, version: &str) -> u32 {
    let behind = |key: &str| match setting::qualifier(key) {
        qualifier if is_version(qualifier) => qualifier == version,
        _ => api.aliases.get(key).is_some_and(|alias| alias.version == version),
    };
    let all = api.provisioned.under(&format!("{function}:"));
    all.iter().filter(|(key, _)| behind(key)).map(|(_, provisioned)| provisioned.requested).sum()
}

/// What is provisioned of a function, under all qualifiers but one.
pub(super) fn total(api: &Api, function: &str, but: Option<&str>) -> u32 {
    let all = api.provisioned.under(&format!("{function}:"));
    all.iter()
        .filter(|(key, _)| Some(key.as_str()) != but)
        .map(|(_, provisioned)| provisioned.requested)
        .sum()
}

/// As AWS shows it: in progress at first, then all of it ready.
fn shown(provisioned: &Provisioned, settle: Duration, now: Timestamp) -> Value {
    let ready = now.duration_since(provisioned.modified).unsigned_abs() >= settle;
    let there = if ready { provisioned.requested } else { 0 };
    json!({
        "RequestedProvisionedConcurrentExecutions": provisioned.requested,
        "AvailableProvisionedConcurrentExecutions": there,
        "AllocatedProvisionedConcurrentExecutions": there,
        "Status": if ready { "READY" } else { "IN_PROGRESS" },
        // AWS gives whole seconds here.
        "LastModified": provisioned.modified.strftime("%Y-%m-%dT%H:%M:%S+0000").to_string(),
    })
}

/// The version or alias a request means; `refused` is said where it means neither.
fn name(api: &Api, function: &str, query: &Query, refused: &str, action: &str) -> Result<Name, Error> {
    let name = Name::parse(function, query.qualifier(), Form::Plain, action, api.identity())?;
    match name.qualifier.as_deref() {
        None => {
            let mut constraints = Constraints::default();
            constraints.missing("qualifier");
            constraints.check()?;
            Ok(name)
        }
        Some("$LATEST") => Err(Error::invalid(refused)),
        Some(_) => Ok(name),
    }
}

const UNPUBLISHED: &str =
    "Provisioned Concurrency Configs cannot be applied to unpublished function versions.";
const NOT_PUBLISHED: &str = "The function resource provided must be an alias or a published version.";

/// What the name says. A missing function is told as what was asked for of it.
fn target(api: &Api, name: &Name) -> Result<Resolved, Error> {
    function::resolve(api, name).map_err(|missing| match name.qualifier.as_deref() {
        Some(qualifier) if !is_version(qualifier) => {
            Error::not_found(format!("Cannot find alias arn: {}", name.arn(api.identity())))
        }
        _ => missing,
    })
}

pub(super) async fn put(
    State(api): State<Arc<Api>>,
    Path(function): Path<String>,
    query: Query,
    body: Body,
) -> Answer {
    let wanted = body.fields().whole("ProvisionedConcurrentExecutions")?;
    let mut constraints = Constraints::default();
    match wanted {
        Some(wanted) => constraints.within("provisionedConcurrentExecutions", wanted, 1..=i32::MAX.into()),
        None => constraints.missing("provisionedConcurrentExecutions"),
    }
    constraints.check()?;
    let wanted = wanted.and_then(|wanted| u32::try_from(wanted).ok()).unwrap_or_default();
    let name = name(&api, &function, &query, UNPUBLISHED, "PutProvisionedConcurrencyConfig")?;
    let mut change = api.change().await;
    let target = target(&api, &name)?;
    let key = setting::key(&name);
    let siblings = total(&api, &name.function, Some(&key));
    let others = super::promised(&api, Some(&name.function));
    quota::provision(api.settings.limits, others, super::reserved(&api, &name.function), siblings, wanted)?;
    alone(&api, &target)?;
    let provisioned = Provisioned { requested: wanted, modified: api.now() };
    let provisioned = change.put(&api.provisioned, key, provisioned);
    change.commit().await?;
    api.prepare(&target.version);
    answer(StatusCode::ACCEPTED, &shown(&provisioned, api.settings.settle, provisioned.modified))
}

/// What is provisioned belongs to one version.
fn weighted() -> Error {
    Error::invalid("Alias with weights can not be used with Provisioned Concurrency")
}

/// Whether an alias may point where it says, with what is provisioned for it.
pub(in crate::lambda_api) fn check_alias(api: &Api, alias: &Alias) -> Result<(), Error> {
    if api.provisioned.get(&alias_key(&alias.function, &alias.name)).is_none() {
        return Ok(());
    }
    if alias.routing.is_some() {
        return Err(weighted());
    }
    if alias.version == "$LATEST" {
        // AWS's words where CloudFormation updates an alias to what cannot be provisioned; for this very case nobody has
        // shown its answer.
        return Err(Error::invalid("Invalid alias configuration for Provisioned Concurrency"));
    }
    Ok(())
}

/// A version is provisioned for by its number, or by an alias, never by both.
fn alone(api: &Api, target: &Resolved) -> Result<(), Error> {
    let version = target.version.qualifier();
    let function = &target.function.name;
    if let Some(alias) = &target.alias {
        if version == "$LATEST" {
            return Err(Error::invalid(UNPUBLISHED));
        }
        if alias.routing.is_some() {
            return Err(weighted());
        }
        if api.provisioned.get(&format!("{function}:{version}")).is_some() {
            return Err(Error::conflict(
                "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version",
            ));
        }
        return Ok(());
    }
    let points = |key: &str| api.aliases.get(key).is_some_and(|alias| alias.version == version);
    if api.provisioned.under(&format!("{function}:")).iter().any(|(key, _)| points(key)) {
        return Err(Error::conflict("Version is pointed by a Provisioned Concurrency alias"));
    }
    Ok(())
}

pub(super) async fn show(State(api): State<Arc<Api>>, Path(function): Path<String>, query: Query) -> Answer {
    if query.get("List") == Some("ALL") {
        return list(&api, &function, &query);
    }
    let name = name(&api, &function, &query, NOT_PUBLISHED, "GetProvisionedConcurrencyConfig")?;
    target(&api, &name)?;
    let missing = || {
        Error::new(
            Code::ProvisionedConcurrencyConfigNotFound,
            "No Provisioned Concurrency Config found for this function",
        )
    };
    let provisioned = api.provisioned.get(&setting::key(&name)).ok_or_else(missing)?;
    ok(&shown(&provisioned, api.settings.settle, api.now()))
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path(function): Path<String>,
    query: Query,
) -> Answer {
    let name = name(&api, &function, &query, NOT_PUBLISHED, "DeleteProvisionedConcurrencyConfig")?;
    let mut change = api.change().await;
    let target = target(&api, &name)?;
    let key = setting::key(&name);
    // Nothing there is as good as taken away.
    let there = api.provisioned.get(&key).is_some();
    change.remove(&api.provisioned, key);
    change.commit().await?;
    if there {
        release(&api, &name.function, &target.version.qualifier());
    }
    empty()
}

/// What was kept ready of a version ends; it starts again for who calls.
fn release(api: &Api, function: &str, version: &str) {
    api.retire(&Name { function: function.to_owned(), qualifier: Some(version.to_owned()) });
}

/// After a start: what was provisioned before is made ready again.
pub(in crate::lambda_api) fn resume(api: &Api) {
    for (key, _) in api.provisioned.all() {
        let Some((function, qualifier)) = key.split_once(':') else { continue };
        let name = Name { function: function.to_owned(), qualifier: Some(qualifier.to_owned()) };
        if let Ok(target) = target(api, &name) {
            api.prepare(&target.version);
        }
    }
}

/// An alias points to another version now than to `before`: what is provisioned for it goes along.
pub(in crate::lambda_api) fn moved(api: &Api, alias: &Alias, before: &str) {
    let key = alias_key(&alias.function, &alias.name);
    if alias.version == before || api.provisioned.get(&key).is_none() {
        return;
    }
    release(api, &alias.function, before);
    if let Some(version) = function::version(api, &alias.function, &alias.version) {
        api.prepare(&version);
    }
}

fn list(api: &Api, function: &str, query: &Query) -> Answer {
    let name = Name::parse(function, None, Form::Plain, "ListProvisionedConcurrencyConfigs", api.identity())?;
    let page = Page::of_fifty(query)?;
    function::find(api, &name)?;
    let now = api.now();
    let all = api.provisioned.under(&format!("{}:", name.function)).into_iter().map(|(key, provisioned)| {
        let mut item = shown(&provisioned, api.settings.settle, now);
        item["FunctionArn"] = api.identity().arn(&format!("function:{key}")).into();
        (key, item)
    });
    let (configs, next) = page.cut(all);
    let mut answer = json!({ "ProvisionedConcurrencyConfigs": configs });
    if let Some(next) = next {
        answer["NextMarker"] = next.into();
    }
    ok(&answer)
}
