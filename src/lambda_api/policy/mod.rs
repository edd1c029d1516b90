//! Who may call a function: resource-based policies of functions, versions and aliases. Recorded, not enforced.

mod document;
pub mod statement;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{delete, get},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use self::statement::{Condition, Effect, Grant, Principal, Statement};
use super::{
    Api, Error,
    answer::{Answer, empty, json as answer, ok},
    body::{Body, Constraints, Fields, Pattern, Query},
    function::{self, Alias, Resolved, Version, alias_key, version_key},
    name::{Form, Name},
    setting,
    shelf::Change,
};

/// The statements of a function, a version or an alias; there is at least one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// In the order they came.
    pub statements: Vec<Statement>,
}

/// The paths of this area.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/2015-03-31/functions/{function}/policy", get(show).post(add))
        .route("/2015-03-31/functions/{function}/policy/{sid}", delete(remove))
        .merge(document::routes())
}

fn name(api: &Api, function: &str, query: &Query, action: &str) -> Result<Name, Error> {
    Name::parse(function, query.qualifier(), Form::Namespaced, action, api.identity())
}

async fn show(State(api): State<Arc<Api>>, Path(function): Path<String>, query: Query) -> Answer {
    let name = name(&api, &function, &query, "GetPolicy")?;
    function::find(&api, &name)?;
    let missing = || Error::not_found("The resource you requested does not exist.");
    let policy = api.policies.get(&setting::key(&name)).ok_or_else(missing)?;
    let target = setting::target(&api, &name)?;
    ok(&json!({ "Policy": statement::document(&policy.statements), "RevisionId": revision(&target) }))
}

async fn add(State(api): State<Arc<Api>>, Path(function): Path<String>, query: Query, body: Body) -> Answer {
    let name = name(&api, &function, &query, "AddPermission")?;
    if name.qualifier.as_deref() == Some("$LATEST") {
        return Err(Error::invalid("We currently do not support adding policies for $LATEST."));
    }
    check(body.fields())?;
    check_action(body.fields())?;
    let mut change = api.change().await;
    let target = setting::target(&api, &name)?;
    if body.fields().text("RevisionId")?.is_some_and(|seen| seen != revision(&target)) {
        return Err(Error::stale());
    }
    let key = setting::key(&name);
    let mut policy =
        api.policies.get(&key).map_or_else(|| Policy { statements: Vec::new() }, |policy| (*policy).clone());
    let new = read(body.fields(), &target.arn, api.identity().partition())?;
    statement::add(&mut policy.statements, new.clone())?;
    change.put(&api.policies, key, policy);
    revise(&api, &mut change, &target);
    change.commit().await?;
    answer(StatusCode::CREATED, &json!({ "Statement": statement::text(&new) }))
}

async fn remove(
    State(api): State<Arc<Api>>,
    Path((function, sid)): Path<(String, String)>,
    query: Query,
) -> Answer {
    let name = name(&api, &function, &query, "RemovePermission")?;
    check_sid(&sid, &ANY_SID)?;
    let mut change = api.change().await;
    if api.functions.get(&name.function).is_none() {
        let arn = api.identity().function(&name.function, None);
        return Err(Error::not_found(format!("No policy found for: {arn}")));
    }
    let target = setting::target(&api, &name)?;
    let key = setting::key(&name);
    let missing = || Error::not_found("No policy is associated with the given resource.");
    let mut policy = (*api.policies.get(&key).ok_or_else(missing)?).clone();
    statement::remove(&mut policy.statements, &sid)?;
    if query.get("RevisionId").is_some_and(|seen| seen != revision(&target)) {
        return Err(Error::stale());
    }
    if policy.statements.is_empty() {
        change.remove(&api.policies, key);
    } else {
        change.put(&api.policies, key, policy);
    }
    revise(&api, &mut change, &target);
    change.commit().await?;
    empty()
}

/// A policy has no revision of its own: it is that of what it belongs to.
fn revision(target: &Resolved) -> &str {
    target.alias.as_ref().map_or(&target.version.revision_id, |alias| &alias.revision_id)
}

/// Permissions are part of what a revision stands for.
fn revise(api: &Api, change: &mut Change, target: &Resolved) {
    let revision_id = Uuid::new_v4().to_string();
    if let Some(alias) = &target.alias {
        let key = alias_key(&alias.function, &alias.name);
        change.put(&api.aliases, key, Alias { revision_id, ..(**alias).clone() });
    } else {
        let version = &target.version;
        let key = version_key(&version.function, version.number);
        change.put(&api.versions, key, Version { revision_id, ..(**version).clone() });
    }
}

pub(super) static SID: Pattern = Pattern::new("([a-zA-Z0-9-_]+)");
/// What RemovePermission takes: statements of whole policies may have dots.
static ANY_SID: Pattern = Pattern::new("([a-zA-Z0-9-_.]+)");
static ACTION: Pattern = Pattern::new("(lambda:[*]|lambda:[a-zA-Z]+|[*])");
static PRINCIPAL: Pattern = Pattern::new(r"[^\s]+");
static SOURCE_ACCOUNT: Pattern = Pattern::new(r"\d{12}");
static TOKEN: Pattern = Pattern::new(r"[a-zA-Z0-9._\-]+");
pub(super) static ORGANIZATION: Pattern = Pattern::new("o-[a-z0-9]{10,32}");
static SOURCE: Pattern = Pattern::new(
    r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)",
);

/// A statement's name in a path.
pub(super) fn check_sid(sid: &str, pattern: &Pattern) -> Result<(), Error> {
    let mut constraints = Constraints::default();
    constraints.length("statementId", sid, 1..=100);
    constraints.pattern("statementId", sid, pattern);
    constraints.check()
}

/// What the front door refuses.
fn check(fields: Fields<'_>) -> Result<(), Error> {
    let mut constraints = Constraints::default();
    let patterns = [
        ("StatementId", "statementId", &SID, true),
        ("Action", "action", &ACTION, true),
        ("Principal", "principal", &PRINCIPAL, true),
        ("SourceArn", "sourceArn", &SOURCE, false),
        ("SourceAccount", "sourceAccount", &SOURCE_ACCOUNT, false),
        ("EventSourceToken", "eventSourceToken", &TOKEN, false),
        ("PrincipalOrgID", "principalOrgID", &ORGANIZATION, false),
    ];
    constraints.patterns(&fields, &patterns)?;
    for (member, field, longest) in [
        ("StatementId", "statementId", 100),
        ("EventSourceToken", "eventSourceToken", 256),
        ("SourceAccount", "sourceAccount", 12),
    ] {
        if let Some(text) = fields.text(member)? {
            constraints.length(field, text, usize::from(member == "StatementId")..=longest);
        }
    }
    if let Some(auth) = fields.text("FunctionUrlAuthType")? {
        constraints.one_of("functionUrlAuthType", auth, &["NONE", "AWS_IAM"]);
    }
    constraints.check()
}

/// AWS: the auth type of a URL says nothing of other ways to call.
fn check_action(fields: Fields<'_>) -> Result<(), Error> {
    let of_url = fields.text("Action")? == Some("lambda:InvokeFunctionUrl");
    if fields.has("FunctionUrlAuthType") && !of_url {
        return Err(Error::invalid(
            "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action",
        ));
    }
    Ok(())
}

/// The statement that a request stands for.
fn read(fields: Fields<'_>, resource: &str, partition: &str) -> Result<Grant, Error> {
    let text = |member| Ok::<_, Error>(fields.text(member)?.unwrap_or_default());
    let principal = Principal::parse(text("Principal")?, partition).ok_or_else(|| {
        Error::invalid("The provided principal was invalid. Please check the principal and try again.")
    })?;
    let condition = Condition::default()
        .equals("lambda:FunctionUrlAuthType", fields.text("FunctionUrlAuthType")?)
        .equals("aws:PrincipalOrgID", fields.text("PrincipalOrgID")?)
        .equals("AWS:SourceAccount", fields.text("SourceAccount")?)
        .equals("lambda:EventSourceToken", fields.text("EventSourceToken")?)
        .holds("lambda:InvokedViaFunctionUrl", fields.flag("InvokedViaFunctionUrl")?)
        .like("AWS:SourceArn", fields.text("SourceArn")?);
    Ok(Grant {
        sid: text("StatementId")?.to_owned(),
        effect: Effect::Allow,
        principal,
        action: text("Action")?.to_owned(),
        resource: resource.to_owned(),
        condition: condition.some(),
    })
}

#[cfg(test)]
mod tests;
