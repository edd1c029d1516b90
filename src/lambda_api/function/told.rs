//! The functions as `klr functions` is told of them: what people look for first.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{super::Api, Alias, Version};

/// All of them, by name.
pub fn told(api: &Api) -> Vec<Value> {
    let now = api.now();
    let one = |name: &str| {
        let prefix = format!("{name}:");
        let versions = api.versions.under(&prefix);
        let (_, latest) = versions.iter().find(|(_, version)| version.number == 0)?;
        let published = versions.iter().map(|(_, version)| version.number).filter(|number| *number > 0);
        Some(function(latest, published.collect(), &api.aliases.under(&prefix), now))
    };
    api.functions.all().iter().filter_map(|(name, _)| one(name)).collect()
}

fn function(latest: &Version, versions: Vec<u64>, aliases: &[(String, Arc<Alias>)], now: Timestamp) -> Value {
    let config = &latest.config;
    let aliases: BTreeMap<_, _> = aliases.iter().map(|(_, alias)| (&alias.name, &alias.version)).collect();
    json!({
        "name": latest.function,
        "origin": "api",
        "runtime": config.runtime,
        "handler": config.handler,
        "memorySize": config.memory_size,
        "timeout": config.timeout,
        "state": if latest.is_pending(now) { "Pending" } else { "Active" },
        "versions": versions,
        "aliases": aliases,
    })
}
