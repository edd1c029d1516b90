//! Which version runs, and how.

use std::{sync::Arc, time::Duration};

use super::{
    super::{
        concurrency,
        function::{self, Archive, Version},
    },
    Api, Resolved,
};
use crate::fleet::{self, Logging, Spec};

/// The version of this invocation: an alias with weights has two. `draw` is any number from 0 up to 1.
pub(super) fn version(api: &Api, resolved: &Resolved, draw: f64) -> Arc<Version> {
    let routing = resolved.alias.as_ref().and_then(|alias| alias.routing.as_ref());
    let other = routing.filter(|routing| draw < routing.weight);
    let other = other.and_then(|routing| function::version(api, &resolved.function.name, &routing.version));
    other.unwrap_or_else(|| Arc::clone(&resolved.version))
}

/// What the fleet is told of a version.
pub(super) fn spec(api: &Api, version: &Version) -> Arc<Spec> {
    let (config, identity) = (&version.config, api.identity());
    let zip =
        |archive: &Archive| fleet::Archive { sha256: archive.sha256.clone(), path: api.code.path(archive) };
    let logging = &config.logging;
    Arc::new(Spec {
        function: version.function.clone(),
        version: version.qualifier(),
        // Not its revision id: permissions and publications change that, and nothing that runs.
        revision: format!("{} of {}", version.content, version.last_modified),
        account: identity.account.clone(),
        region: identity.region.clone(),
        runtime_version_arn: config.runtime.as_ref().map(|runtime| function::version_arn(identity, runtime)),
        runtime: config.runtime.clone(),
        handler: config.handler.clone(),
        timeout: Duration::from_secs(config.timeout.into()),
        memory_mb: config.memory_size,
        environment: config.environment.clone().unwrap_or_default(),
        code: match &version.code {
            function::Code::Zip(archive) => fleet::Code::Zip(zip(archive)),
            function::Code::Image { uri, .. } => fleet::Code::Image(uri.clone()),
        },
        layers: config.layers.iter().map(|layer| zip(&layer.code)).collect(),
        logging: Logging {
            group: logging.group.clone(),
            json: logging.format == "JSON",
            application_level: logging.application_level.clone(),
            system_level: logging.system_level.clone(),
        },
        // Of published versions only, as on AWS.
        snap_start: config.snap_start == "PublishedVersions" && version.number > 0,
        reserved: concurrency::reserved(api, &version.function).map(|reserved| reserved as usize),
        provisioned: concurrency::provisioned(api, &version.function, &version.qualifier()) as usize,
    })
}
