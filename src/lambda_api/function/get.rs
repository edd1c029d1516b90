//! GetFunction, GetFunctionConfiguration.

use std::sync::Arc;

use axum::extract::{Path, State};
use serde_json::{Map, Value, json};

use super::{
    super::{
        Api,
        answer::{Answer, ok},
        body::Query,
        code::Reached,
        concurrency,
        name::{Form, Name},
    },
    Code, Resolved, Version, resolve,
    show::{self, Arn, States},
};

pub(super) async fn function(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    query: Query,
    reached: Reached,
) -> Answer {
    let name = Name::parse(&name, query.qualifier(), Form::Namespaced, "GetFunction", api.identity())?;
    let found = resolve(&api, &name)?;
    let mut answer = Map::new();
    answer.insert("Code".to_owned(), location(&api, &found.version, &reached));
    answer.insert("Configuration".to_owned(), Value::Object(shown(&api, &name, &found)));
    if !found.function.tags.is_empty() {
        answer.insert("Tags".to_owned(), json!(found.function.tags));
    }
    if let Some(reserved) = concurrency::reserved(&api, &name.function) {
        answer.insert("Concurrency".to_owned(), json!({ "ReservedConcurrentExecutions": reserved }));
    }
    ok(&answer)
}

pub(super) async fn configuration(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    query: Query,
) -> Answer {
    let name =
        Name::parse(&name, query.qualifier(), Form::Namespaced, "GetFunctionConfiguration", api.identity())?;
    let found = resolve(&api, &name)?;
    ok(&shown(&api, &name, &found))
}

fn shown(api: &Api, name: &Name, found: &Resolved) -> Map<String, Value> {
    let arn = match (&found.alias, &name.qualifier) {
        (Some(alias), _) => Arn::Alias(&alias.name),
        (None, Some(_)) => Arn::Qualified,
        (None, None) => Arn::Unqualified,
    };
    show::configuration(&found.version, api.identity(), api.now(), arn, States::All)
}

/// Where the code can be had.
fn location(api: &Api, version: &Version, reached: &Reached) -> Value {
    match &version.code {
        Code::Zip(archive) => {
            let mut shown = json!({ "RepositoryType": "S3", "Location": api.location(reached, archive) });
            if let Some(key) = &version.source_key {
                shown["SourceKMSKeyArn"] = key.as_str().into();
            }
            shown
        }
        Code::Image { uri, sha256 } => {
            let name = uri.rsplit_once('/').map_or(0, |(path, _)| path.len());
            let repository = match uri[name..].find([':', '@']) {
                Some(tag) => &uri[..name + tag],
                None => uri,
            };
            json!({
                "RepositoryType": "ECR",
                "ImageUri": uri,
                "ResolvedImageUri": format!("{repository}@sha256:{sha256}"),
            })
        }
    }
}
