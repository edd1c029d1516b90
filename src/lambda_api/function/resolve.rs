//! From a name to what it means now.

use std::sync::Arc;

use super::{
    super::{
        Api, Error,
        name::{self, Name},
    },
    Alias, Function, Version, alias_key, version_key,
};

/// What a name means.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The function.
    pub function: Arc<Function>,
    /// The version asked for; with an alias, the one it points to first.
    pub version: Arc<Version>,
    /// The alias, if one was named.
    pub alias: Option<Arc<Alias>>,
    /// The ARN of what was asked for, as AWS shows it: with the qualifier if there was one.
    pub arn: String,
}

/// The function alone, whatever the qualifier.
pub fn find(api: &Api, name: &Name) -> Result<Arc<Function>, Error> {
    let missing =
        || Error::not_found(format!("Function not found: {}", api.identity().function(&name.function, None)));
    api.functions.get(&name.function).ok_or_else(missing)
}

/// The function, and the version or alias the name says; `$LATEST` without a qualifier.
pub fn resolve(api: &Api, name: &Name) -> Result<Resolved, Error> {
    let arn = name.arn(api.identity());
    let missing = || Error::not_found(format!("Function not found: {arn}"));
    let function = api.functions.get(&name.function).ok_or_else(missing)?;
    let (alias, version) = match name.qualifier.as_deref() {
        Some(qualifier) if name::is_alias(qualifier) => {
            let alias = api.aliases.get(&alias_key(&name.function, qualifier)).ok_or_else(missing)?;
            let version = alias.version.clone();
            (Some(alias), version)
        }
        qualifier => (None, qualifier.unwrap_or("$LATEST").to_owned()),
    };
    let version = self::version(api, &name.function, &version).ok_or_else(missing)?;
    Ok(Resolved { function, version, alias, arn })
}

/// A version by its qualifier, `$LATEST` or a number.
pub fn version(api: &Api, function: &str, qualifier: &str) -> Option<Arc<Version>> {
    let number =
        if qualifier == "$LATEST" { 0 } else { qualifier.parse().ok().filter(|number| *number > 0)? };
    api.versions.get(&version_key(function, number))
}

/// `$LATEST`.
pub(super) fn latest(api: &Api, name: &Name) -> Result<Arc<Version>, Error> {
    let missing =
        || Error::not_found(format!("Function not found: {}", api.identity().function(&name.function, None)));
    api.versions.get(&version_key(&name.function, 0)).ok_or_else(missing)
}
