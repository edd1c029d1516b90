//! Function URLs: what they are called, who may call them, and what happens then.

mod base;
mod cors;
mod visit;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::{
    base::{Base, NoBase},
    cors::Cors,
    visit::beside,
};
use super::{
    Api, Error,
    answer::{Answer, empty, json as answer, ok},
    body::{Body, Constraints, Fields, Query},
    function,
    name::{Form, Name, is_alias},
    page::Page,
    setting,
};

/// A URL of a function, or of an alias.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Url {
    /// The first label of its host.
    pub id: String,
    /// `NONE`, `AWS_IAM`.
    pub auth: String,
    /// What browsers may do.
    pub cors: Option<Cors>,
    /// `BUFFERED`, `RESPONSE_STREAM`; not shown unless it was given.
    pub invoke_mode: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub modified: Timestamp,
}

/// The paths of this area.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/2021-10-31/functions/{function}/url", get(show).post(create).put(update).delete(delete))
        .route("/2021-10-31/functions/{function}/urls", get(list))
}

/// Only functions and their aliases have URLs.
fn name(api: &Api, function: &str, query: &Query, action: &str) -> Result<Name, Error> {
    let name = Name::parse(function, query.qualifier(), Form::Url, action, api.identity())?;
    if let Some(qualifier) = name.qualifier.as_deref().filter(|qualifier| !is_alias(qualifier)) {
        let mut constraints = Constraints::default();
        let constraint = r"Member must satisfy regular expression pattern: ((?!^\d+$)^[0-9a-zA-Z-_]+$)";
        constraints.broken("qualifier", qualifier, constraint);
        constraints.check()?;
    }
    Ok(name)
}

fn no_function() -> Error {
    Error::not_found("Function does not exist")
}

fn no_url() -> Error {
    Error::not_found("The resource you requested does not exist.")
}

/// The ARN it is shown with: a function's URL has no qualifier.
fn arn(api: &Api, key: &str) -> String {
    api.identity().arn(&format!("function:{}", key.strip_suffix(":$LATEST").unwrap_or(key)))
}

/// URLs have dates of their own, in ISO's spelling.
fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn shown(api: &Api, key: &str, url: &Url) -> Value {
    let mut answer = json!({
        "FunctionUrl": api.settings.urls.url(&url.id, &api.identity().region),
        "FunctionArn": arn(api, key),
        "AuthType": url.auth,
        "CreationTime": date(url.created),
        "LastModifiedTime": date(url.modified),
    });
    if let Some(cors) = &url.cors {
        answer["Cors"] = json!(cors);
    }
    if let Some(mode) = &url.invoke_mode {
        answer["InvokeMode"] = json!(mode);
    }
    answer
}

/// 32 letters and digits: a UUID is 32 of them.
fn id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

async fn create(
    State(api): State<Arc<Api>>,
    Path(function): Path<String>,
    query: Query,
    body: Body,
) -> Answer {
    let name = name(&api, &function, &query, "CreateFunctionUrlConfig")?;
    let asked = Asked::read(body.fields(), true)?;
    let mut change = api.change().await;
    if api.functions.get(&name.function).is_none() {
        return Err(no_function());
    }
    let key = setting::key(&name);
    if api.urls.get(&key).is_some() {
        let arn = arn(&api, &key);
        return Err(Error::conflict(format!(
            "Failed to create function url config for [functionArn = {arn}]. Error message:  FunctionUrlConfig exists for \
             this Lambda function"
        )));
    }
    function::resolve(&api, &name).map_err(|_| no_function())?;
    let now = api.now();
    let url = Url {
        id: id(),
        auth: asked.auth.unwrap_or_default(),
        cors: asked.cors,
        invoke_mode: asked.invoke_mode,
        created: now,
        modified: now,
    };
    let url = change.put(&api.urls, key.clone(), url);
    change.commit().await?;
    let mut made = shown(&api, &key, &url);
    if let Some(members) = made.as_object_mut() {
        members.remove("LastModifiedTime");
    }
    answer(StatusCode::CREATED, &made)
}

async fn show(State(api): State<Arc<Api>>, Path(function): Path<String>, query: Query) -> Answer {
    let key = setting::key(&name(&api, &function, &query, "GetFunctionUrlConfig")?);
    let url = api.urls.get(&key).ok_or_else(no_url)?;
    ok(&shown(&api, &key, &url))
}

async fn update(
    State(api): State<Arc<Api>>,
    Path(function): Path<String>,
    query: Query,
    body: Body,
) -> Answer {
    let name = name(&api, &function, &query, "UpdateFunctionUrlConfig")?;
    let asked = Asked::read(body.fields(), false)?;
    let mut change = api.change().await;
    function::resolve(&api, &name).map_err(|_| no_function())?;
    let key = setting::key(&name);
    let before = (*api.urls.get(&key).ok_or_else(no_url)?).clone();
    let url = Url {
        auth: asked.auth.unwrap_or(before.auth),
        cors: asked.cors.or(before.cors),
        invoke_mode: asked.invoke_mode.or(before.invoke_mode),
        modified: api.now(),
        ..before
    };
    let url = change.put(&api.urls, key.clone(), url);
    change.commit().await?;
    ok(&shown(&api, &key, &url))
}

async fn delete(State(api): State<Arc<Api>>, Path(function): Path<String>, query: Query) -> Answer {
    let key = setting::key(&name(&api, &function, &query, "DeleteFunctionUrlConfig")?);
    let mut change = api.change().await;
    api.urls.get(&key).ok_or_else(no_url)?;
    change.remove(&api.urls, key);
    change.commit().await?;
    empty()
}

async fn list(State(api): State<Arc<Api>>, Path(function): Path<String>, query: Query) -> Answer {
    let name = Name::parse(&function, None, Form::Url, "ListFunctionUrlConfigs", api.identity())?;
    let page = Page::of_fifty(&query)?;
    if api.functions.get(&name.function).is_none() {
        return Err(no_function());
    }
    let urls = api.urls.under(&format!("{}:", name.function));
    let (urls, next) = page.cut(urls.into_iter().map(|(key, url)| (key.clone(), shown(&api, &key, &url))));
    let mut answer = json!({ "FunctionUrlConfigs": urls });
    if let Some(next) = next {
        answer["NextMarker"] = next.into();
    }
    ok(&answer)
}

/// What a request sets.
struct Asked {
    auth: Option<String>,
    cors: Option<Cors>,
    invoke_mode: Option<String>,
}

impl Asked {
    fn read(fields: Fields<'_>, creating: bool) -> Result<Self, Error> {
        let mut constraints = Constraints::default();
        let auth = fields.owned("AuthType")?;
        match &auth {
            Some(auth) => constraints.one_of("authType", auth, &["NONE", "AWS_IAM"]),
            None if creating => constraints.missing("authType"),
            None => {}
        }
        let invoke_mode = fields.owned("InvokeMode")?;
        if let Some(mode) = &invoke_mode {
            constraints.one_of("invokeMode", mode, &["RESPONSE_STREAM", "BUFFERED"]);
        }
        let cors = fields.object("Cors")?.map(|fields| Cors::read(fields, &mut constraints)).transpose()?;
        constraints.check()?;
        Ok(Self { auth, cors, invoke_mode })
    }
}

#[cfg(test)]
mod tests;
