//! When a version of a function moves to a newer runtime: recorded, since the runtime is what is installed here.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    routing::get,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Api, Error,
    answer::{Answer, ok},
    body::{Body, Constraints, Fields, Pattern, Query},
    function,
    name::{Form, Name, is_alias},
    setting,
};

static RUNTIME: Pattern =
    Pattern::new(r"^arn:(aws[a-zA-Z-]*):lambda:[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}::runtime:.+$");

/// What was set for a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeUpdates {
    /// `Auto`, `FunctionUpdate`, `Manual`.
    pub on: String,
    /// With `Manual`: the one to stay at.
    pub runtime: Option<String>,
}

/// The paths of this area.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/2021-07-20/functions/{function}/runtime-management-config", get(show).put(put))
}

/// A version, `$LATEST` without a qualifier: aliases have no runtime of their own.
fn name(api: &Api, function: &str, query: &Query, action: &str) -> Result<Name, Error> {
    let name = Name::parse(function, query.qualifier(), Form::Namespaced, action, api.identity())?;
    function::resolve(api, &name)?;
    if name.qualifier.as_deref().is_some_and(is_alias) {
        return Err(Error::invalid(
            "This operation is not supported on aliases. Please specify a function version.",
        ));
    }
    Ok(name)
}

fn shown(api: &Api, name: &Name, updates: &RuntimeUpdates) -> Value {
    let mut answer = json!({ "FunctionArn": name.arn(api.identity()), "UpdateRuntimeOn": updates.on });
    if let Some(runtime) = &updates.runtime {
        answer["RuntimeVersionArn"] = json!(runtime);
    }
    answer
}

async fn show(State(api): State<Arc<Api>>, Path(function): Path<String>, query: Query) -> Answer {
    let name = name(&api, &function, &query, "GetRuntimeManagementConfig")?;
    let unset = RuntimeUpdates { on: "Auto".to_owned(), runtime: None };
    let set = api.runtime_updates.get(&setting::key(&name));
    ok(&shown(&api, &name, set.as_deref().unwrap_or(&unset)))
}

async fn put(State(api): State<Arc<Api>>, Path(function): Path<String>, query: Query, body: Body) -> Answer {
    let updates = read(body.fields())?;
    let mut change = api.change().await;
    let name = name(&api, &function, &query, "PutRuntimeManagementConfig")?;
    let updates = change.put(&api.runtime_updates, setting::key(&name), updates);
    change.commit().await?;
    ok(&shown(&api, &name, &updates))
}

fn read(fields: Fields<'_>) -> Result<RuntimeUpdates, Error> {
    let mut constraints = Constraints::default();
    let on = fields.owned("UpdateRuntimeOn")?;
    match &on {
        Some(on) => constraints.one_of("updateRuntimeOn", on, &["Auto", "Manual", "FunctionUpdate"]),
        None => constraints.missing("updateRuntimeOn"),
    }
    let runtime = fields.owned("RuntimeVersionArn")?;
    if let Some(arn) = &runtime {
        constraints.length("runtimeVersionArn", arn, 26..=2048);
        constraints.pattern("runtimeVersionArn", arn, &RUNTIME);
    }
    constraints.check()?;
    let on = on.unwrap_or_default();
    match (on.as_str(), &runtime) {
        ("Manual", None) => {
            Err(Error::invalid("A RuntimeVersionArn is required when UpdateRuntimeOn is set to Manual."))
        }
        ("Auto" | "FunctionUpdate", Some(_)) => Err(Error::invalid(format!(
            "RuntimeVersionArn cannot be specified when UpdateRuntimeOn is set to {on}."
        ))),
        _ => Ok(RuntimeUpdates { on, runtime }),
    }
}
