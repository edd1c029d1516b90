//! The code signing configuration a function goes by.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    routing::get,
};
use serde_json::json;

use super::{MOST, check_arn, constrain, find};
use crate::lambda_api::{
    Api, Code, Error,
    answer::{Answer, empty, ok},
    body::{Body, Constraints, Query},
    function,
    name::{Form, Name},
    page::Page,
    shelf::Change,
};

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/2020-06-30/functions/{function}/code-signing-config", get(show).put(put).delete(delete))
        .route("/2020-04-22/code-signing-configs/{arn}/functions", get(users))
}

fn name(api: &Api, function: &str, action: &str) -> Result<Name, Error> {
    Name::parse(function, None, Form::Namespaced, action, api.identity())
}

async fn show(State(api): State<Arc<Api>>, Path(function): Path<String>) -> Answer {
    let name = name(&api, &function, "GetFunctionCodeSigningConfig")?;
    function::find(&api, &name)?;
    match api.code_signing.functions.get(&name.function) {
        Some(arn) => ok(&json!({ "CodeSigningConfigArn": *arn, "FunctionName": name.function })),
        None => ok(&json!({})),
    }
}

async fn put(State(api): State<Arc<Api>>, Path(function): Path<String>, body: Body) -> Answer {
    let arn = body.fields().owned("CodeSigningConfigArn")?;
    let mut constraints = Constraints::default();
    match &arn {
        Some(arn) => constrain(arn, &mut constraints),
        None => constraints.missing("codeSigningConfigArn"),
    }
    constraints.check()?;
    let (name, arn) = (name(&api, &function, "PutFunctionCodeSigningConfig")?, arn.unwrap_or_default());
    let mut change = api.change().await;
    attach(&api, &mut change, &name.function, arn.clone())?;
    function::find(&api, &name)?;
    change.commit().await?;
    ok(&json!({ "CodeSigningConfigArn": arn, "FunctionName": name.function }))
}

/// Makes a function go by a configuration that is there. The front door has let its ARN through.
pub(in crate::lambda_api) fn attach(
    api: &Api,
    change: &mut Change,
    function: &str,
    arn: String,
) -> Result<(), Error> {
    let gone = |_| {
        let text = format!(
            "The code signing configuration cannot be found. Check that the provided configuration is not deleted: {arn}."
        );
        Error::new(Code::CodeSigningConfigNotFound, text)
    };
    find(api, &arn).map_err(gone)?;
    change.put(&api.code_signing.functions, function, arn);
    Ok(())
}

async fn delete(State(api): State<Arc<Api>>, Path(function): Path<String>) -> Answer {
    let name = name(&api, &function, "DeleteFunctionCodeSigningConfig")?;
    let mut change = api.change().await;
    function::find(&api, &name)?;
    change.remove(&api.code_signing.functions, name.function);
    change.commit().await?;
    empty()
}

/// ListFunctionsByCodeSigningConfig.
async fn users(State(api): State<Arc<Api>>, Path(arn): Path<String>, query: Query) -> Answer {
    check_arn(&arn)?;
    let page = Page::of(&query, MOST)?;
    find(&api, &arn)?;
    let users = api.code_signing.functions.all().into_iter().filter(|(_, used)| **used == arn);
    let (functions, next) = page.cut(users.map(|(name, _)| {
        let arn = api.identity().function(&name, None);
        (name, arn)
    }));
    let mut answer = json!({ "FunctionArns": functions });
    if let Some(next) = next {
        answer["NextMarker"] = next.into();
    }
    ok(&answer)
}
