//! UpdateFunctionConfiguration, UpdateFunctionCode.

use std::sync::Arc;

use axum::extract::{Path, State};
use uuid::Uuid;

use super::{
    super::{
        Api,
        answer::{Answer, ok},
        body::{Body, Constraints, Fields},
        code::{Kept, Source},
        error::Error,
        name::{Form, Name},
        shelf::Change,
    },
    Code, Function, Version, check_unpacked, content,
    create::image,
    find,
    given::{self, Given},
    publish,
    resolve::latest,
    same_revision, settled,
    show::{Arn, States, configuration as show},
    version_key,
};

pub(super) async fn configuration(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    body: Body,
) -> Answer {
    let fields = body.fields();
    let mut constraints = Constraints::default();
    Name::constrain(&name, Form::Plain, &mut constraints);
    let given = Given::read(&body, &mut constraints)?;
    constraints.check()?;
    given::check_supported(&fields)?;
    let name =
        Name::parse(&name, None, Form::Plain, "UpdateFunctionConfiguration", api.identity())?.latest()?;
    let mut change = api.change().await;
    let now = api.now();
    find(&api, &name)?;
    let mut version = Version::clone(&*latest(&api, &name)?);
    same_revision(fields.text("RevisionId")?, &version, now)?;
    settled(&version, &api, now)?;
    given.apply(&api, &mut version.config)?;
    check_unpacked(&version.code, &version.config)?;
    changed(&mut version, &api);
    let version = change.put(&api.versions, version_key(&name.function, 0), version);
    change.commit().await?;
    ok(&show(&version, api.identity(), now, Arn::Unqualified, States::All))
}

/// A new revision, in progress from now on.
fn changed(version: &mut Version, api: &Api) {
    let now = api.now();
    version.content = content(&version.code, &version.config);
    version.revision_id = Uuid::new_v4().to_string();
    version.last_modified = now;
    version.updated_from = now + api.settings.settle;
}

/// New code, as the front door lets it through.
struct Request {
    source: Option<Source>,
    source_key: Option<String>,
    image: Option<String>,
    architectures: Option<Vec<String>>,
    publish: bool,
    dry_run: bool,
}

impl Request {
    fn read(fields: &Fields<'_>) -> Result<Self, Error> {
        let mut constraints = Constraints::default();
        let architectures = given::architectures(fields, &mut constraints)?;
        let source_key = given::source_key(fields, "", &mut constraints)?;
        constraints.check()?;
        given::check_supported(fields)?;
        Ok(Self {
            source: Source::read(fields, "")?,
            source_key,
            image: fields.owned("ImageUri")?,
            architectures,
            publish: fields.flag("Publish")?.unwrap_or_default(),
            dry_run: fields.flag("DryRun")?.unwrap_or_default(),
        })
    }

    /// The code, and what holds its zip until something names it.
    async fn take(&mut self, api: &Api, package_type: &str) -> Result<(Code, Option<Kept>), Error> {
        match (self.source.take(), self.image.take()) {
            (None, Some(uri)) if package_type == "Image" => Ok((image(uri)?, None)),
            (_, _) if package_type == "Image" => Err(Error::invalid(
                "Please provide ImageUri when updating a function with packageType Image.",
            )),
            (_, Some(_)) => Err(Error::invalid(
                "Please don't provide ImageUri when updating a function with packageType Zip.",
            )),
            (None, None) => Err(Error::invalid("Please provide a source for function code.")),
            (Some(source), None) => {
                let kept = api.take(source).await?;
                Ok((Code::Zip(kept.archive.clone()), Some(kept)))
            }
        }
    }
}

pub(super) async fn code(State(api): State<Arc<Api>>, Path(name): Path<String>, body: Body) -> Answer {
    let fields = body.fields();
    let mut request = Request::read(&fields)?;
    let name = Name::parse(&name, None, Form::Plain, "UpdateFunctionCode", api.identity())?.latest()?;
    let seen = fields.text("RevisionId")?;
    let check = || -> Result<(Arc<Function>, Arc<Version>), Error> {
        let (function, version) = (find(&api, &name)?, latest(&api, &name)?);
        same_revision(seen, &version, api.now())?;
        settled(&version, &api, api.now())?;
        Ok((function, version))
    };
    // Looked at before the code is, and again when nobody else can change anything.
    let (_, version) = check()?;
    let (code, kept) = request.take(&api, &version.config.package_type).await?;
    let change = api.change().await;
    let (function, version) = check()?;
    let mut version = Version::clone(&version);
    (version.code, version.source_key) = (code, request.source_key);
    if let Some(architectures) = request.architectures {
        version.config.architectures = architectures;
    }
    check_unpacked(&version.code, &version.config)?;
    let shown = if request.dry_run {
        // As it stands, but for the code: of a revision that will not be, nobody is told.
        version
    } else {
        put(&api, change, &function, version, request.publish).await?
    };
    drop(kept);
    let now = api.now();
    let arn = if shown.number == 0 { Arn::Unqualified } else { Arn::Qualified };
    let states = if shown.is_pending(now) { States::Creation } else { States::All };
    ok(&show(&shown, api.identity(), now, arn, states))
}

/// Makes the change, and publishes it where that was asked for; the one to show.
async fn put(
    api: &Arc<Api>,
    mut change: Change,
    function: &Function,
    mut latest: Version,
    publish: bool,
) -> Result<Version, Error> {
    changed(&mut latest, api);
    let shown = if publish {
        publish::put(api, &mut change, function, &latest, None, latest.updated_from)
    } else {
        latest.clone()
    };
    change.put(&api.versions, version_key(&function.name, 0), latest);
    change.commit().await?;
    api.sweep_soon();
    Ok(shown)
}
