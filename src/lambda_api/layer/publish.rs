//! PublishLayerVersion.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
};

use super::{
    model::{Layer, Version, version_key},
    name::Named,
    runtimes,
};
use crate::lambda_api::{
    Api, Error,
    answer::{Answer, json},
    body::{Body, Constraints, Fields},
    code::{Reached, Source, object},
};

pub(super) async fn publish(
    State(api): State<Arc<Api>>,
    Path(layer): Path<String>,
    reached: Reached,
    body: Body,
) -> Answer {
    let mut constraints = Constraints::default();
    let named = Named::read(&layer, &mut constraints);
    let asked = Asked::read(body.fields(), &mut constraints)?;
    let content = body.fields().object("Content")?;
    match &content {
        Some(content) => object::constrain_mode(content, "content.", &mut constraints)?,
        None => constraints.missing("content"),
    }
    constraints.check()?;
    let Some(name) = super::own(&api, &named) else {
        return Err(api.identity().denied("PublishLayerVersion", &layer));
    };
    let source = content.map(|content| Source::read(&content, "content.")).transpose()?.flatten();
    let source = source.ok_or_else(|| Error::invalid("Please provide a source for layer code."))?;
    // Kept until the version that names it is on disk.
    let kept = api.take(source).await?;
    let mut change = api.change().await;
    let number = api.layers.get(name).map_or(0, |layer| layer.newest) + 1;
    change.put(&api.layers, name, Layer { newest: number });
    let version = Version {
        layer: name.to_owned(),
        number,
        description: asked.description,
        license: asked.license,
        runtimes: asked.runtimes,
        architectures: asked.architectures,
        created: api.now(),
        code: kept.archive.clone(),
        policy: None,
    };
    let version = change.put(&api.layer_versions, version_key(name, number), version);
    change.commit().await?;
    let location = api.location(&reached, &version.code);
    json(StatusCode::CREATED, &version.whole(api.identity(), &location))
}

/// What a request says of the new version, beside its content.
struct Asked {
    description: String,
    license: Option<String>,
    runtimes: Option<Vec<String>>,
    architectures: Option<Vec<String>>,
}

impl Asked {
    fn read(fields: Fields<'_>, constraints: &mut Constraints) -> Result<Self, Error> {
        let description = fields.owned("Description")?.unwrap_or_default();
        constraints.length("description", &description, 0..=256);
        let license = fields.owned("LicenseInfo")?;
        constraints.length("licenseInfo", license.as_deref().unwrap_or_default(), 0..=512);
        let runtimes = fields.texts("CompatibleRuntimes")?;
        runtimes::publishing(constraints, runtimes.as_deref().unwrap_or_default());
        let architectures = fields.texts("CompatibleArchitectures")?;
        check_architectures(constraints, architectures.as_deref().unwrap_or_default());
        Ok(Self { description, license, runtimes, architectures })
    }
}

fn check_architectures(constraints: &mut Constraints, architectures: &[String]) {
    let field = "compatibleArchitectures";
    constraints.members(field, architectures, 0..=2);
    if !architectures.iter().all(|architecture| matches!(architecture.as_str(), "x86_64" | "arm64")) {
        let each = "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64]]";
        constraints.broken(field, format!("[{}]", architectures.join(", ")), each);
    }
}
