//! Policies as a whole: GetResourcePolicy, PutResourcePolicy, DeleteResourcePolicy. The permissions of AddPermission and the
//! statements that came this way are one and the same policy.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    routing::get,
};
use serde_json::{Value, json};

use super::{
    Policy, revise, revision,
    statement::{self, Statement},
};
use crate::lambda_api::{
    Api, Error,
    answer::{Answer, empty, ok},
    body::{Body, Constraints, Pattern, Query},
    function::Resolved,
    name::{Form, Name},
    setting,
};

static ARN: Pattern = Pattern::new(
    r"arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_])+)?|runtime/[a-zA-Z0-9-_./]+)",
);

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/2026-07-09/resource-policy/{arn}", get(show).put(put).delete(delete))
}

fn name(api: &Api, arn: &str, action: &str) -> Result<Name, Error> {
    let mut constraints = Constraints::default();
    constraints.length("resourceArn", arn, 0..=512);
    constraints.pattern("resourceArn", arn, &ARN);
    constraints.check()?;
    Name::parse(arn, None, Form::Namespaced, action, api.identity())
}

fn missing() -> Error {
    Error::not_found("The resource you requested does not exist.")
}

fn shown(policy: &Policy, revision: &str) -> Answer {
    ok(&json!({ "Policy": statement::document(&policy.statements), "RevisionId": revision }))
}

fn check_revision(seen: Option<&str>, target: &Resolved) -> Result<(), Error> {
    if seen.is_some_and(|seen| seen != revision(target)) { Err(Error::stale()) } else { Ok(()) }
}

async fn show(State(api): State<Arc<Api>>, Path(arn): Path<String>) -> Answer {
    let name = name(&api, &arn, "GetResourcePolicy")?;
    let target = setting::target(&api, &name)?;
    let policy = api.policies.get(&setting::key(&name)).ok_or_else(missing)?;
    shown(&policy, revision(&target))
}

async fn put(State(api): State<Arc<Api>>, Path(arn): Path<String>, body: Body) -> Answer {
    let name = name(&api, &arn, "PutResourcePolicy")?;
    let fields = body.fields();
    let Some(text) = fields.text("Policy")? else {
        let mut constraints = Constraints::default();
        constraints.missing("policy");
        constraints.check()?;
        return Err(missing());
    };
    let policy = Policy { statements: read(text, &arn)? };
    let mut change = api.change().await;
    let target = setting::target(&api, &name)?;
    check_revision(fields.text("RevisionId")?, &target)?;
    let policy = change.put(&api.policies, setting::key(&name), policy);
    revise(&api, &mut change, &target);
    change.commit().await?;
    shown(&policy, revision(&setting::target(&api, &name)?))
}

async fn delete(State(api): State<Arc<Api>>, Path(arn): Path<String>, query: Query) -> Answer {
    let name = name(&api, &arn, "DeleteResourcePolicy")?;
    let mut change = api.change().await;
    let target = setting::target(&api, &name)?;
    let key = setting::key(&name);
    api.policies.get(&key).ok_or_else(missing)?;
    check_revision(query.get("RevisionId"), &target)?;
    change.remove(&api.policies, key);
    revise(&api, &mut change, &target);
    change.commit().await?;
    empty()
}

/// The statements of a policy's text. One alone need not stand in a list.
fn read(text: &str, resource: &str) -> Result<Vec<Statement>, Error> {
    let invalid = |why: &str| Error::invalid(format!("The policy is not valid: {why}."));
    let policy: Value = serde_json::from_str(text).map_err(|_| invalid("it is not JSON"))?;
    let statements = match &policy["Statement"] {
        Value::Array(statements) => statements.clone(),
        one @ Value::Object(_) => vec![one.clone()],
        _ => return Err(invalid("it has no Statement")),
    };
    if statements.is_empty() {
        return Err(invalid("it has no Statement"));
    }
    for statement in &statements {
        if !matches!(statement["Effect"].as_str(), Some("Allow" | "Deny")) {
            return Err(invalid("a statement's Effect is Allow or Deny"));
        }
        if let Some(member) = ["Principal", "Action"].into_iter().find(|member| statement[*member].is_null())
        {
            return Err(invalid(&format!("a statement has no {member}")));
        }
        if statement["Resource"].as_str().is_some_and(|named| named != resource) {
            return Err(invalid(&format!("a statement is about another resource than {resource}")));
        }
    }
    let read =
        |statement| serde_json::from_value(statement).map_err(|_| invalid("a statement cannot be read"));
    let statements = statements.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    statement::check_size(&statements)?;
    Ok(statements)
}
