//! ListFunctions, ListVersionsByFunction.

use std::sync::Arc;

use axum::extract::{Path, State};
use serde_json::{Map, Value, json};

use super::{
    super::{
        Api,
        answer::{Answer, ok},
        body::{Constraints, Pattern, Query},
        name::{Form, Name},
        page::Page,
    },
    Version, find,
    show::{Arn, States, configuration},
    version_key,
};

/// AWS gives no more than this at once, whatever is asked for.
const MOST: usize = 50;

/// `MasterRegion`. Nothing is replicated here, so that it narrows nothing down.
static REGION: Pattern = Pattern::new(r"ALL|[a-z]{2}(-gov)?-[a-z]+-\d{1}");

pub(super) async fn functions(State(api): State<Arc<Api>>, query: Query) -> Answer {
    let mut constraints = Constraints::default();
    let versions = query.get("FunctionVersion");
    if let Some(versions) = versions {
        constraints.one_of("functionVersion", versions, &["ALL"]);
    }
    if let Some(region) = query.get("MasterRegion") {
        constraints.pattern("masterRegion", region, &REGION);
    }
    constraints.check()?;
    let page = Page::of(&query, MOST)?;
    let (functions, next): (Vec<_>, _) = if versions.is_some() {
        let (versions, next) = page.cut(api.versions.all());
        (versions.iter().map(|version| item(&api, version, Arn::Qualified)).collect(), next)
    } else {
        let (functions, next) = page.cut(api.functions.all());
        let latest =
            functions.iter().filter_map(|function| api.versions.get(&version_key(&function.name, 0)));
        (latest.map(|version| item(&api, &version, Arn::Unqualified)).collect(), next)
    };
    ok(&json!({ "Functions": functions, "NextMarker": next }))
}

pub(super) async fn versions(State(api): State<Arc<Api>>, Path(name): Path<String>, query: Query) -> Answer {
    let name = Name::parse(&name, None, Form::Namespaced, "ListVersionsByFunction", api.identity())?;
    let page = Page::of(&query, MOST)?;
    find(&api, &name)?;
    let (versions, next) = page.cut(api.versions.under(&format!("{}:", name.function)));
    let versions: Vec<_> = versions.iter().map(|version| item(&api, version, Arn::Qualified)).collect();
    ok(&json!({ "Versions": versions, "NextMarker": next }))
}

fn item(api: &Api, version: &Version, arn: Arn<'_>) -> Map<String, Value> {
    configuration(version, api.identity(), api.now(), arn, States::Left)
}
