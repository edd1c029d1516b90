//! GetEventSourceMapping, ListEventSourceMappings.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use serde_json::json;

use super::{
    super::{
        Api,
        answer::{Answer, json, ok},
        body::{Constraints, Query},
        error::Error,
        name::{Form, Name},
        page::Page,
    },
    front,
    resource::Mapping,
};

/// AWS gives no more than this at once, whatever is asked for.
const MOST: usize = 100;

pub(super) async fn get(State(api): State<Arc<Api>>, Path(uuid): Path<String>) -> Answer {
    ok(&answer(&api, &*find(&api, &uuid)?, false))
}

pub(super) async fn list(State(api): State<Arc<Api>>, query: Query) -> Answer {
    let page = Page::of(&query, MOST)?;
    let source = query.get("EventSourceArn");
    if let Some(arn) = source {
        let mut constraints = Constraints::default();
        front::source(arn, &mut constraints);
        constraints.check()?;
    }
    let function = query.get("FunctionName").map(|name| arn(&api, name)).transpose()?;
    let wanted = |mapping: &Mapping| {
        source.is_none_or(|arn| mapping.event_source_arn() == Some(arn))
            && function.as_ref().is_none_or(|arn| mapping.function_arn == *arn)
    };
    let all = api.mappings.shelf.all().into_iter().filter(|(_, mapping)| wanted(mapping));
    let (mappings, next) = page.cut(all);
    let mappings: Vec<_> = mappings.iter().map(|mapping| answer(&api, mapping, true)).collect();
    let mut listing = json!({ "EventSourceMappings": mappings });
    if let Some(next) = next {
        listing["NextMarker"] = next.into();
    }
    ok(&listing)
}

/// The ARN of a function however it is named, with the version or alias that was named.
pub(super) fn arn(api: &Api, name: &str) -> Result<String, Error> {
    Ok(Name::parse(name, None, Form::Namespaced, "ListEventSourceMappings", api.identity())?
        .arn(api.identity()))
}

/// The mapping of a request.
pub(super) fn find(api: &Api, uuid: &str) -> Result<Arc<Mapping>, Error> {
    let missing = || Error::not_found("The resource you requested does not exist.");
    api.mappings.shelf.get(&uuid.to_lowercase()).ok_or_else(missing)
}

/// What is answered of a mapping.
pub(super) fn answer(api: &Api, mapping: &Mapping, listed: bool) -> serde_json::Value {
    let arn = api.identity().arn(&format!("event-source-mapping:{}", mapping.uuid));
    mapping.answer(arn, &api.mappings.live(mapping.uuid), listed)
}

/// 202: what was asked for is yet to be done.
pub(super) fn accepted(api: &Api, mapping: &Mapping) -> Answer {
    json(StatusCode::ACCEPTED, &answer(api, mapping, false))
}
