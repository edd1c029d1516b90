//! How a function's asynchronous invocations are retried, and where their outcomes go.

mod destination;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    routing::get,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(super) use self::destination::takes_dead_letters;
pub use self::destination::{Destination, Destinations};
use super::{
    Api, Error,
    answer::{Answer, empty, ok},
    body::{Body, Constraints, Fields, Query},
    concurrency,
    function::{self, version_key},
    name::{Form, Name},
    page::Page,
    setting,
};
use crate::queue::Settings;

/// What was set; what was not is AWS's default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventConfig {
    /// 0–2.
    pub retries: Option<u32>,
    /// Seconds, 60–21,600.
    pub age: Option<u32>,
    /// Where outcomes go.
    pub destinations: Destinations,
    /// When it was set.
    pub modified: Timestamp,
}

/// What holds at this moment for events that were sent to this name: a version's and an alias's settings are their own,
/// `$LATEST`'s do not stand in for them. The dead-letter queue and what is reserved are the function's.
pub fn effective(api: &Api, name: &Name) -> Settings {
    let default = Settings::default();
    let set = api.event_configs.get(&setting::key(name));
    let destination =
        |which: fn(&Destinations) -> &Destination| which(&set.as_deref()?.destinations).arn.clone();
    let set = |number: fn(&EventConfig) -> Option<u32>| number(set.as_deref()?);
    let latest = api.versions.get(&version_key(&name.function, 0));
    Settings {
        retries: set(|set| set.retries).unwrap_or(default.retries),
        age: set(|set| set.age).map_or(default.age, |seconds| Duration::from_secs(seconds.into())),
        on_success: destination(|destinations| &destinations.on_success),
        on_failure: destination(|destinations| &destinations.on_failure),
        dead_letter: latest.and_then(|latest| latest.config.dead_letter.clone()),
        paused: concurrency::reserved(api, &name.function) == Some(0),
    }
}

/// The paths of this area.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route(
            "/2019-09-25/functions/{function}/event-invoke-config",
            get(show).put(put).post(update).delete(delete),
        )
        .route("/2019-09-25/functions/{function}/event-invoke-config/list", get(list))
}

fn name(api: &Api, function: &str, query: &Query, action: &str) -> Result<Name, Error> {
    Name::parse(function, query.qualifier(), Form::Namespaced, action, api.identity())
}

/// As AWS shows it: always with a qualifier; numbers that were not set are left out.
fn shown(api: &Api, key: &str, config: &EventConfig) -> Value {
    #[allow(clippy::cast_precision_loss)] // milliseconds of this era fit
    let modified = config.modified.as_millisecond() as f64 / 1000.0;
    let mut answer = json!({
        "LastModified": modified,
        "FunctionArn": api.identity().arn(&format!("function:{key}")),
        "DestinationConfig": config.destinations,
    });
    if let Some(retries) = config.retries {
        answer["MaximumRetryAttempts"] = retries.into();
    }
    if let Some(age) = config.age {
        answer["MaximumEventAgeInSeconds"] = age.into();
    }
    answer
}

fn unset(api: &Api, key: &str) -> Error {
    let arn = api.identity().arn(&format!("function:{key}"));
    Error::not_found(format!("The function {arn} doesn't have an EventInvokeConfig"))
}

async fn show(State(api): State<Arc<Api>>, Path(function): Path<String>, query: Query) -> Answer {
    let key = setting::key(&name(&api, &function, &query, "GetFunctionEventInvokeConfig")?);
    let config = api.event_configs.get(&key).ok_or_else(|| unset(&api, &key))?;
    ok(&shown(&api, &key, &config))
}

async fn put(State(api): State<Arc<Api>>, Path(function): Path<String>, query: Query, body: Body) -> Answer {
    let name = name(&api, &function, &query, "PutFunctionEventInvokeConfig")?;
    let asked = Asked::read(body.fields())?;
    let mut change = api.change().await;
    asked.check(&api, &name)?;
    let config = EventConfig {
        retries: asked.retries,
        age: asked.age,
        destinations: asked.destinations.unwrap_or_default(),
        modified: api.now(),
    };
    let key = setting::key(&name);
    let config = change.put(&api.event_configs, key.clone(), config);
    change.commit().await?;
    ok(&shown(&api, &key, &config))
}

async fn update(
    State(api): State<Arc<Api>>,
    Path(function): Path<String>,
    query: Query,
    body: Body,
) -> Answer {
    let name = name(&api, &function, &query, "UpdateFunctionEventInvokeConfig")?;
    let asked = Asked::read(body.fields())?;
    let mut change = api.change().await;
    asked.check(&api, &name)?;
    let key = setting::key(&name);
    let before = api.event_configs.get(&key).ok_or_else(|| unset(&api, &key))?;
    let config = EventConfig {
        retries: asked.retries.or(before.retries),
        age: asked.age.or(before.age),
        destinations: asked.destinations.unwrap_or_else(|| before.destinations.clone()),
        modified: api.now(),
    };
    let config = change.put(&api.event_configs, key.clone(), config);
    change.commit().await?;
    ok(&shown(&api, &key, &config))
}

async fn delete(State(api): State<Arc<Api>>, Path(function): Path<String>, query: Query) -> Answer {
    let key = setting::key(&name(&api, &function, &query, "DeleteFunctionEventInvokeConfig")?);
    let mut change = api.change().await;
    if api.event_configs.get(&key).is_none() {
        return Err(unset(&api, &key));
    }
    change.remove(&api.event_configs, key);
    change.commit().await?;
    empty()
}

async fn list(State(api): State<Arc<Api>>, Path(function): Path<String>, query: Query) -> Answer {
    let name =
        Name::parse(&function, None, Form::Namespaced, "ListFunctionEventInvokeConfigs", api.identity())?;
    let page = Page::of_fifty(&query)?;
    if api.functions.get(&name.function).is_none() {
        return Err(nothing());
    }
    let configs = api.event_configs.under(&format!("{}:", name.function));
    let shown = configs.into_iter().map(|(key, config)| (key.clone(), shown(&api, &key, &config)));
    let (configs, next) = page.cut(shown);
    let mut answer = json!({ "FunctionEventInvokeConfigs": configs });
    if let Some(next) = next {
        answer["NextMarker"] = next.into();
    }
    ok(&answer)
}

fn nothing() -> Error {
    Error::not_found("The function doesn't exist.")
}

/// What a request sets.
struct Asked {
    retries: Option<u32>,
    age: Option<u32>,
    destinations: Option<Destinations>,
}

impl Asked {
    fn read(fields: Fields<'_>) -> Result<Self, Error> {
        let mut constraints = Constraints::default();
        let mut number = |member: &str, field: &str, allowed| -> Result<Option<u32>, Error> {
            let Some(number) = fields.whole(member)? else { return Ok(None) };
            constraints.within(field, number, allowed);
            Ok(u32::try_from(number).ok())
        };
        let retries = number("MaximumRetryAttempts", "maximumRetryAttempts", 0..=2)?;
        let age = number("MaximumEventAgeInSeconds", "maximumEventAgeInSeconds", 60..=21_600)?;
        let destinations = fields.object("DestinationConfig")?;
        let destinations =
            destinations.map(|fields| Destinations::read(fields, &mut constraints)).transpose()?;
        constraints.check()?;
        if retries.is_none() && age.is_none() && destinations.is_none() {
            return Err(Error::invalid(
                "You must specify at least one of error handling or destination setting.",
            ));
        }
        Ok(Self { retries, age, destinations })
    }

    /// Whether it can be set on what the name says.
    fn check(&self, api: &Api, name: &Name) -> Result<(), Error> {
        function::resolve(api, name).map_err(|_| nothing())?;
        let exists = |name: &Name| function::resolve(api, name).is_ok();
        self.destinations.as_ref().map_or(Ok(()), |destinations| destinations.check(&name.function, exists))
    }
}

#[cfg(test)]
mod tests;
