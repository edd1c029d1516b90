//! CreateEventSourceMapping, UpdateEventSourceMapping, DeleteEventSourceMapping.
//!
//! Each is checked without the lock, for the source may take seconds to answer, and again under it, where it depends on what
//! others may have changed meanwhile.

use std::{sync::Arc, time::Duration};

use axum::extract::{Path, State};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    super::{
        Api,
        answer::Answer,
        body::{Body, Constraints},
        error::{Code, Error},
        function,
        name::{Form, Name},
    },
    check,
    document::{ENDPOINT, document},
    front, life,
    resource::{self, Mapping},
    settings::Settings,
    show::{accepted, find},
};
use crate::config;

pub(super) async fn create(State(api): State<Arc<Api>>, body: Body) -> Answer {
    let (settings, fields) = (read(&body)?, body.fields());
    let mut constraints = Constraints::default();
    let name = fields.text("FunctionName")?;
    match name {
        Some(name) => Name::constrain(name, Form::Namespaced, &mut constraints),
        None => constraints.missing("functionName"),
    }
    front::constrain(&settings, &mut constraints);
    constraints.check()?;
    let action = "CreateEventSourceMapping";
    let name = Name::parse(name.unwrap_or_default(), None, Form::Namespaced, action, api.identity())?;
    let tags = fields.map("Tags")?.unwrap_or_default();
    function::check_tags(&tags)?;
    let now = api.now();
    let kind = check::settings(&settings, now).map_err(Error::invalid)?;
    check::place(&settings, kind, api.identity()).map_err(Error::invalid)?;
    let timeout = timeout(&api, &name)?;
    let mut mapping = Mapping {
        uuid: Uuid::new_v4(),
        function_arn: name.arn(api.identity()),
        settings,
        state: match fields.flag("Enabled")? {
            Some(false) => resource::State::Disabled,
            _ => resource::State::Creating,
        },
        modified: now,
        tags,
        result: None,
    };
    kind.settle(mapping.uuid, &mut mapping.settings);
    fits(&api, &mapping, timeout).await?;

    let mut change = api.change().await;
    exists(&api, &name)?;
    unlike_others(&api, &mapping, &name)?;
    let mapping = change.put(&api.mappings.shelf, mapping.uuid.to_string(), mapping);
    change.commit().await?;
    life::begin(&api, &mapping);
    accepted(&api, &mapping)
}

pub(super) async fn update(State(api): State<Arc<Api>>, Path(uuid): Path<String>, body: Body) -> Answer {
    let (asked, fields) = (changeable(read(&body)?), body.fields());
    let given = fields.text("FunctionName")?;
    let mut constraints = Constraints::default();
    if let Some(name) = given {
        Name::constrain(name, Form::Namespaced, &mut constraints);
    }
    front::constrain(&asked, &mut constraints);
    constraints.check()?;
    let action = "UpdateEventSourceMapping";
    let named = |name: &str| Name::parse(name, None, Form::Namespaced, action, api.identity());
    let given = given.map(named).transpose()?;
    let before = find(&api, &uuid)?;
    let name = given.map_or_else(|| named(&before.function_arn), Ok)?;
    let now = api.now();
    let mut mapping = Mapping {
        function_arn: name.arn(api.identity()),
        settings: merged(&before.settings, &asked),
        state: before.state.updated(fields.flag("Enabled")?),
        modified: now,
        ..Mapping::clone(&before)
    };
    let kind = check::settings(&mapping.settings, now).map_err(Error::invalid)?;
    kind.settle(mapping.uuid, &mut mapping.settings);
    // A mapping outlives its function, and may still be disabled then.
    let timeout = match fields.has("FunctionName") {
        true => timeout(&api, &name)?,
        false => timeout(&api, &name).unwrap_or_default(),
    };
    idle(&api, &before, "update")?;
    fits(&api, &mapping, timeout).await?;

    let mut change = api.change().await;
    let current = find(&api, &uuid)?;
    if current != before {
        return Err(in_use("update"));
    }
    unlike_others(&api, &mapping, &name)?;
    let mapping = change.put(&api.mappings.shelf, mapping.uuid.to_string(), mapping);
    change.commit().await?;
    life::begin(&api, &mapping);
    accepted(&api, &mapping)
}

pub(super) async fn delete(State(api): State<Arc<Api>>, Path(uuid): Path<String>) -> Answer {
    let mut change = api.change().await;
    let before = find(&api, &uuid)?;
    idle(&api, &before, "delete")?;
    let mapping =
        Mapping { state: resource::State::Deleting, modified: api.now(), ..Mapping::clone(&before) };
    let mapping = change.put(&api.mappings.shelf, mapping.uuid.to_string(), mapping);
    change.commit().await?;
    life::begin(&api, &mapping);
    accepted(&api, &mapping)
}

fn read(body: &Body) -> Result<Settings, Error> {
    let mut settings: Settings = body.read()?;
    // Some tools send text; AWS answers a number.
    if let Some(Value::String(text)) = &settings.starting_position_timestamp
        && let Ok(time) = text.parse::<jiff::Timestamp>()
    {
        settings.starting_position_timestamp = Some((time.as_millisecond() as f64 / 1000.0).into());
    }
    Ok(settings)
}

/// What an update may say; AWS passes over the rest, which its model does not have.
fn changeable(asked: Settings) -> Settings {
    Settings {
        event_source_arn: None,
        self_managed_event_source: None,
        topics: None,
        queues: None,
        starting_position: None,
        starting_position_timestamp: None,
        ..asked
    }
}

/// What is said takes the place of what was; the group of a Kafka mapping is for good.
fn merged(before: &Settings, asked: &Settings) -> Settings {
    let members = |settings: &Settings| match serde_json::to_value(settings).expect("plain members") {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    let (mut merged, before_members) = (members(before), members(before));
    for (name, mut value) in members(asked) {
        if let (Some(Value::Object(old)), Value::Object(new)) = (before_members.get(&name), &mut value) {
            for lasting in ["ConsumerGroupId", "ConsumptionMode"] {
                if let Some(value) = old.get(lasting) {
                    new.insert(lasting.to_owned(), value.clone());
                }
            }
        }
        merged.insert(name, value);
    }
    serde_json::from_value(Value::Object(merged)).expect("members of settings are settings")
}

/// What the function may take; AWS has one answer for all that is missing.
fn timeout(api: &Api, name: &Name) -> Result<Duration, Error> {
    let resolved = function::resolve(api, name).map_err(|_| Error::invalid("Function does not exist"))?;
    Ok(Duration::from_secs(resolved.version.config.timeout.into()))
}

fn exists(api: &Api, name: &Name) -> Result<(), Error> {
    timeout(api, name).map(drop)
}

/// Whether it can be run here, and its source is there.
async fn fits(api: &Arc<Api>, mapping: &Mapping, timeout: Duration) -> Result<(), Error> {
    let config = runnable(mapping).map_err(Error::invalid)?;
    match api.mappings.runner() {
        Some(runner) => runner.check(&config, timeout).await.map_err(|refused| Error::invalid(refused.0)),
        None => Ok(()),
    }
}

/// The mapping as a file would say it, read as files are read; else the first thing that is wrong.
pub(super) fn runnable(mapping: &Mapping) -> Result<config::Mapping, String> {
    match config::of(document(mapping), "request") {
        Ok(mut resources) => resources.mappings.pop().ok_or_else(|| "Unrecognized event source.".to_owned()),
        Err(config::Failure::Invalid(problems)) => Err(problems.first().map_or_else(String::new, wrong)),
        Err(failure) => Err(failure.to_string()),
    }
}

/// A file's problem, told to who has no file.
fn wrong(problem: &config::Problem) -> String {
    let config::Problem { field, message, .. } = problem;
    match field.as_str() {
        "spec.endpoint" => format!("The tag {ENDPOINT} says where the source's server is. {message}"),
        _ => format!("{}: {message}", field.trim_start_matches("spec.")),
    }
}

/// AWS takes one mapping for a source and a function.
fn unlike_others(api: &Api, mapping: &Mapping, name: &Name) -> Result<(), Error> {
    let others = api.mappings.shelf.all();
    let others = others.iter().map(|(_, other)| other).filter(|other| other.uuid != mapping.uuid);
    let alike = others.filter(|other| other.function_arn == mapping.function_arn);
    let conflict = alike.filter_map(|other| Some((conflict(mapping, other, name)?, other.uuid))).next();
    match conflict {
        None => Ok(()),
        Some((what, uuid)) => Err(Error::conflict(format!(
            "{what} already exists. Please update or delete the existing mapping with UUID {uuid}"
        ))),
    }
}

/// What they have in common, if it is the source.
fn conflict(mapping: &Mapping, other: &Mapping, name: &Name) -> Option<String> {
    let function = match &name.qualifier {
        None => name.function.clone(),
        Some(qualifier) => format!("{}:{qualifier}", name.function),
    };
    let topics = mapping.settings.topics.as_deref().unwrap_or_default();
    if topics != other.settings.topics.as_deref().unwrap_or_default() {
        return None;
    }
    match (mapping.event_source_arn(), other.event_source_arn()) {
        (Some(arn), Some(same)) if arn == same => Some(match arn.split(':').nth(2) {
            Some("sqs") => {
                format!(r#"An event source mapping with SQS arn (" {arn} ") and function (" {function} ")"#)
            }
            _ => {
                format!(r#"The event source arn (" {arn} ") and function (" {function} ") provided mapping"#)
            }
        }),
        (None, None) => {
            let brokers = mapping.settings.self_managed_event_source.as_ref()?.brokers();
            let theirs = other.settings.self_managed_event_source.as_ref()?.brokers();
            brokers.iter().any(|broker| theirs.contains(broker)).then(|| {
                let (brokers, topics) = (brokers.join(","), topics.join(","));
                let arn = &mapping.function_arn;
                format!(
                    r#"An event source mapping with event source ("{brokers}"), function ("{arn}"), topics ("{topics}")"#
                )
            })
        }
        _ => None,
    }
}

/// AWS: one change at a time.
fn idle(api: &Api, mapping: &Mapping, verb: &str) -> Result<(), Error> {
    if api.mappings.is_busy(mapping) { Err(in_use(verb)) } else { Ok(()) }
}

fn in_use(verb: &str) -> Error {
    Error::new(Code::ResourceInUse, format!("Cannot {verb} the event source mapping because it is in use."))
}
