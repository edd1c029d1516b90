//! ListLayers, ListLayerVersions; GetLayerVersionByArn shares ListLayers' path.

use std::{collections::BTreeMap, sync::Arc};

use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::{model::Version, name::Named, runtimes, show};
use crate::lambda_api::{
    Api,
    answer::{Answer, ok},
    body::{Constraints, Query},
    code::Reached,
    page::Page,
};

/// What a listing is narrowed to.
struct Filter<'a> {
    runtime: Option<&'a str>,
    architecture: Option<&'a str>,
}

impl<'a> Filter<'a> {
    fn read(query: &'a Query, constraints: &mut Constraints) -> Self {
        let filter = Self {
            runtime: query.get("CompatibleRuntime"),
            architecture: query.get("CompatibleArchitecture"),
        };
        if let Some(architecture) = filter.architecture {
            constraints.one_of("compatibleArchitecture", architecture, &["x86_64", "arm64"]);
        }
        if let Some(runtime) = filter.runtime {
            runtimes::listing(constraints, runtime);
        }
        filter
    }

    fn lets(&self, version: &Version) -> bool {
        version.fits(self.runtime, self.architecture)
    }
}

fn answer(member: &str, items: Vec<Value>, next: Option<String>) -> Answer {
    let mut answer = json!({ member: items });
    if let Some(next) = next {
        answer["NextMarker"] = next.into();
    }
    ok(&answer)
}

pub(super) async fn layers(State(api): State<Arc<Api>>, query: Query, reached: Reached) -> Answer {
    if query.get("find") == Some("LayerVersion") {
        return show::by_arn(&api, query.get("Arn"), &reached);
    }
    let mut constraints = Constraints::default();
    let filter = Filter::read(&query, &mut constraints);
    constraints.check()?;
    let page = Page::of_fifty(&query)?;
    let mut newest = BTreeMap::new();
    // In the order of their numbers: the last one stays.
    for (_, version) in api.layer_versions.all() {
        if filter.lets(&version) {
            newest.insert(version.layer.clone(), version);
        }
    }
    let (layers, next) = page.cut(newest);
    let identity = api.identity();
    let shown = |version: &Arc<Version>| {
        json!({
            "LayerName": version.layer,
            "LayerArn": version.layer_arn(identity),
            "LatestMatchingVersion": version.item(identity),
        })
    };
    answer("Layers", layers.iter().map(shown).collect(), next)
}

pub(super) async fn versions(State(api): State<Arc<Api>>, Path(layer): Path<String>, query: Query) -> Answer {
    let mut constraints = Constraints::default();
    let named = Named::read(&layer, &mut constraints);
    let filter = Filter::read(&query, &mut constraints);
    constraints.check()?;
    let page = Page::of_fifty(&query)?;
    let versions = match super::own(&api, &named) {
        Some(name) => api.layer_versions.under(&format!("{name}:")),
        None => return Err(api.identity().denied("ListLayerVersions", &layer)),
    };
    let newest_first = versions.into_iter().rev().filter(|(_, version)| filter.lets(version));
    // Pages follow the order of keys, and this one goes down.
    let keyed = newest_first.map(|(_, version)| (format!("{:020}", u64::MAX - version.number), version));
    let (versions, next) = page.cut(keyed);
    answer("LayerVersions", versions.iter().map(|version| version.item(api.identity())).collect(), next)
}
