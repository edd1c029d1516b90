//! PublishVersion.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    super::{
        Api,
        answer::{Answer, json},
        body::{Body, Constraints},
        error::Error,
        name::{Form, Name},
        shelf::Change,
    },
    Code, Function, Version, find, given,
    resolve::latest,
    same_revision, settled,
    show::{Arn, States, configuration},
    version_key,
};

pub(super) async fn version(State(api): State<Arc<Api>>, Path(name): Path<String>, body: Body) -> Answer {
    let fields = body.fields();
    let description = fields.owned("Description")?;
    let mut constraints = Constraints::default();
    if let Some(description) = &description {
        constraints.length("description", description, 0..=256);
    }
    constraints.check()?;
    given::check_supported(&fields)?;
    let name = Name::parse(&name, None, Form::Plain, "PublishVersion", api.identity())?.latest()?;
    let mut change = api.change().await;
    let now = api.now();
    let function = find(&api, &name)?;
    let latest = latest(&api, &name)?;
    same_revision(fields.text("RevisionId")?, &latest, now)?;
    same_code(fields.text("CodeSha256")?, &latest)?;
    settled(&latest, &api, now)?;
    // A snapshot is taken first.
    let snapshot = latest.config.snap_start == "PublishedVersions";
    let active_from = if snapshot { now + api.settings.settle } else { now };
    let shown = put(&api, &mut change, &function, &latest, description, active_from);
    if shown.number == function.next_version {
        let revision_id = Uuid::new_v4().to_string();
        let latest = Version { revision_id, ..Version::clone(&latest) };
        change.put(&api.versions, version_key(&name.function, 0), latest);
    }
    change.commit().await?;
    let states = if shown.is_pending(now) { States::Creation } else { States::All };
    json(StatusCode::CREATED, &configuration(&shown, api.identity(), now, Arn::Qualified, states))
}

fn same_code(wanted: Option<&str>, latest: &Version) -> Result<(), Error> {
    let (Code::Zip(super::Archive { sha256, .. }) | Code::Image { sha256, .. }) = &latest.code;
    match wanted {
        Some(wanted) if wanted != sha256 => Err(Error::invalid(format!(
            "CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST ({sha256}). Please try again with the \
             CodeSHA256 in $LATEST."
        ))),
        _ => Ok(()),
    }
}

/// The next version, or the one before if nothing has changed since.
pub(super) fn put(
    api: &Api,
    change: &mut Change,
    function: &Function,
    latest: &Version,
    description: Option<String>,
    active_from: Timestamp,
) -> Version {
    let last = function.next_version - 1;
    if last > 0
        && let Some(last) = api.versions.get(&version_key(&function.name, last))
        && last.content == latest.content
    {
        return Version::clone(&last);
    }
    let version = published(latest, function.next_version, description, active_from);
    change.put(&api.versions, version_key(&function.name, version.number), version.clone());
    let next = Function { next_version: function.next_version + 1, ..function.clone() };
    change.put(&api.functions, function.name.clone(), next);
    version
}

/// What `$LATEST` is as a numbered version.
pub(super) fn published(
    latest: &Version,
    number: u64,
    description: Option<String>,
    active_from: Timestamp,
) -> Version {
    let mut version = latest.clone();
    version.number = number;
    version.revision_id = Uuid::new_v4().to_string();
    version.active_from = active_from;
    version.updated_from = latest.last_modified;
    if let Some(description) = description {
        version.config.description = description;
    }
    version
}
