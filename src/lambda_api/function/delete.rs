//! DeleteFunction.

use std::sync::Arc;

use axum::extract::{Path, State};

use super::{
    super::{
        Api,
        answer::{Answer, empty},
        body::Query,
        error::Error,
        name::{self, Form, Name},
        setting,
        shelf::Change,
    },
    find, version_key,
};

pub(super) async fn function(State(api): State<Arc<Api>>, Path(name): Path<String>, query: Query) -> Answer {
    let name = Name::parse(&name, query.qualifier(), Form::Delete, "DeleteFunction", api.identity())?;
    match name.qualifier.as_deref() {
        Some(qualifier) if name::is_alias(qualifier) => {
            return Err(Error::invalid("Deletion of aliases is not currently supported."));
        }
        Some("$LATEST") => {
            return Err(Error::invalid("$LATEST version cannot be deleted without deleting the function."));
        }
        _ => {}
    }
    let mut change = api.change().await;
    find(&api, &name)?;
    match name.qualifier.as_deref() {
        Some(qualifier) => version(&api, &mut change, &name.function, qualifier)?,
        None => whole(&api, &mut change, &name.function),
    }
    change.commit().await?;
    api.retire(&name);
    api.sweep_soon();
    empty()
}

/// A version that is not there is as good as deleted.
fn version(api: &Api, change: &mut Change, function: &str, qualifier: &str) -> Result<(), Error> {
    let aliases = api.aliases.under(&format!("{function}:"));
    let named = aliases.iter().map(|(_, alias)| alias).filter(|alias| {
        alias.version == qualifier || alias.routing.as_ref().is_some_and(|other| other.version == qualifier)
    });
    let named: Vec<_> = named.map(|alias| alias.name.as_str()).collect();
    if !named.is_empty() {
        return Err(Error::conflict(format!(
            "Unable to delete version because the following aliases reference it: [{}]",
            named.join(", ")
        )));
    }
    if let Ok(number) = qualifier.parse() {
        change.remove(&api.versions, version_key(function, number));
    }
    setting::forget(api, change, function, Some(qualifier));
    Ok(())
}

/// With all that hangs on it; its mappings stay, as on AWS.
fn whole(api: &Api, change: &mut Change, function: &str) {
    let own = format!("{function}:");
    change.remove(&api.functions, function);
    change.remove_under(&api.versions, &own);
    change.remove_under(&api.aliases, &own);
    setting::forget(api, change, function, None);
}
