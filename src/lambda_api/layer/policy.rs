//! Who may use a layer version. Recorded, not enforced: there is one account.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{Policy, Version, version_key},
    name::Named,
};
use crate::lambda_api::{
    Api, Code, Error,
    answer::{Answer, empty, json as answer, ok},
    body::{Body, Constraints, Fields, Pattern, Query},
    policy::{
        ORGANIZATION, SID, check_sid,
        statement::{self, Condition, Effect, Grant, Principal},
    },
};

static ACTION: Pattern = Pattern::new("lambda:GetLayerVersion");
static PRINCIPAL: Pattern = Pattern::new(r"\d{12}|\*|arn:(aws[a-zA-Z-]*):iam::\d{12}:root");

/// The layer version a request means. AWS puts what it was called by into the text, a whole ARN too.
fn version(api: &Api, layer: &str, number: &str) -> Result<Arc<Version>, Error> {
    let number = super::number(number)?;
    let mut constraints = Constraints::default();
    let named = Named::read(layer, &mut constraints);
    constraints.check()?;
    let missing = || {
        let arn = api.identity().arn(&format!("layer:{layer}:{number}"));
        Error::not_found(format!("Layer version {arn} does not exist."))
    };
    super::own(api, &named)
        .and_then(|name| api.layer_versions.get(&version_key(name, number)))
        .ok_or_else(missing)
}

fn stale() -> Error {
    Error::new(
        Code::PreconditionFailed,
        "The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy API to retrieve the \
         latest Revision Id",
    )
}

fn no_policy() -> Error {
    Error::not_found("No policy is associated with the given resource.")
}

pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Path((layer, number)): Path<(String, String)>,
) -> Answer {
    let version = version(&api, &layer, &number)?;
    let policy = version.policy.as_ref().ok_or_else(no_policy)?;
    ok(&json!({ "Policy": statement::document(&policy.statements), "RevisionId": policy.revision }))
}

pub(super) async fn add(
    State(api): State<Arc<Api>>,
    Path((layer, number)): Path<(String, String)>,
    query: Query,
    body: Body,
) -> Answer {
    let fields = body.fields();
    check(fields)?;
    let mut change = api.change().await;
    let version = version(&api, &layer, &number)?;
    let before = version.policy.as_ref();
    let mut statements = before.map_or_else(Vec::new, |policy| policy.statements.clone());
    let new = read(fields, version.arn(api.identity()), api.identity().partition())?;
    statement::add(&mut statements, new.clone())?;
    // Without a policy there is no revision that could be known.
    if query.get("RevisionId").is_some_and(|seen| before.is_none_or(|policy| policy.revision != seen)) {
        return Err(stale());
    }
    let policy = Policy { revision: Uuid::new_v4().to_string(), statements };
    let made = json!({ "Statement": statement::text(&new), "RevisionId": policy.revision });
    let key = version_key(&version.layer, version.number);
    change.put(&api.layer_versions, key, Version { policy: Some(policy), ..(*version).clone() });
    change.commit().await?;
    answer(StatusCode::CREATED, &made)
}

pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Path((layer, number, sid)): Path<(String, String, String)>,
    query: Query,
) -> Answer {
    check_sid(&sid, &SID)?;
    let mut change = api.change().await;
    let version = version(&api, &layer, &number)?;
    let before = version.policy.as_ref().ok_or_else(no_policy)?;
    if query.get("RevisionId").is_some_and(|seen| before.revision != seen) {
        return Err(stale());
    }
    let mut statements = before.statements.clone();
    statement::remove(&mut statements, &sid)?;
    let policy =
        (!statements.is_empty()).then(|| Policy { revision: Uuid::new_v4().to_string(), statements });
    let key = version_key(&version.layer, version.number);
    change.put(&api.layer_versions, key, Version { policy, ..(*version).clone() });
    change.commit().await?;
    empty()
}

/// What the front door refuses.
fn check(fields: Fields<'_>) -> Result<(), Error> {
    let mut constraints = Constraints::default();
    let patterns = [
        ("StatementId", "statementId", &SID, true),
        ("Action", "action", &ACTION, true),
        ("Principal", "principal", &PRINCIPAL, true),
        ("OrganizationId", "organizationId", &ORGANIZATION, false),
    ];
    constraints.patterns(&fields, &patterns)?;
    if let Some(sid) = fields.text("StatementId")? {
        constraints.length("statementId", sid, 1..=100);
    }
    constraints.check()
}

/// The statement that a request stands for.
fn read(fields: Fields<'_>, resource: String, partition: &str) -> Result<Grant, Error> {
    let text = |member| Ok::<_, Error>(fields.text(member)?.unwrap_or_default());
    let principal = Principal::parse(text("Principal")?, partition).ok_or_else(|| {
        Error::invalid("The provided principal was invalid. Please check the principal and try again.")
    })?;
    let condition = Condition::default().equals("aws:PrincipalOrgID", fields.text("OrganizationId")?);
    Ok(Grant {
        sid: text("StatementId")?.to_owned(),
        effect: Effect::Allow,
        principal,
        action: text("Action")?.to_owned(),
        resource,
        condition: condition.some(),
    })
}
