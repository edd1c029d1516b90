//! Who is to have signed a function's code. Recorded: nothing is signed here, and nothing is verified.

mod function;
mod tags;

pub(super) use self::{
    function::attach,
    tags::{tag, tags},
};

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Api, Error,
    answer::{Answer, date, empty, json as answer, ok},
    body::{Body, Constraints, Fields, Pattern, Query},
    function::check_tags,
    page::Page,
    shelf::{self, Shelf, Store},
};

/// AWS pages more of these than of anything else.
const MOST: usize = 10_000;

static ARN: Pattern = Pattern::new(
    r"arn:(aws[a-zA-Z-]*)?:lambda:[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:code-signing-config:csc-[a-z0-9]{17}",
);
static PROFILE: Pattern = Pattern::new(
    r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)",
);

/// What is kept of it.
#[derive(Debug)]
pub struct Shelves {
    /// By ARN.
    configs: Shelf<Config>,
    /// The ARN a function goes by, by the function's name.
    pub(super) functions: Shelf<String>,
}

impl Shelves {
    pub(super) async fn open(store: &Store) -> Result<Self, shelf::Error> {
        Ok(Self {
            configs: store.shelf("code-signing-configs").await?,
            functions: store.shelf("function-code-signing").await?,
        })
    }
}

/// A code signing configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// `csc-` and 17 letters and digits.
    pub id: String,
    /// As given.
    pub description: Option<String>,
    /// ARNs of signing profiles' versions.
    pub publishers: Vec<String>,
    /// `Warn`, `Enforce`.
    pub untrusted: String,
    /// When it was changed last.
    pub modified: Timestamp,
    /// Its tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// The paths of this area.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/2020-04-22/code-signing-configs", get(list).post(create))
        .route("/2020-04-22/code-signing-configs/{arn}", get(show).put(update).delete(delete))
        .merge(function::routes())
}

/// What the front door says of a configuration's ARN.
pub(super) fn constrain(arn: &str, constraints: &mut Constraints) {
    constraints.length("codeSigningConfigArn", arn, 0..=200);
    constraints.pattern("codeSigningConfigArn", arn, &ARN);
}

fn check_arn(arn: &str) -> Result<(), Error> {
    let mut constraints = Constraints::default();
    constrain(arn, &mut constraints);
    constraints.check()
}

fn find(api: &Api, arn: &str) -> Result<Arc<Config>, Error> {
    let missing = || {
        Error::not_found(format!("The Lambda code signing configuration {arn} can not be found.")).untyped()
    };
    api.code_signing.configs.get(arn).ok_or_else(missing)
}

fn shown(arn: &str, config: &Config) -> Value {
    let mut answer = json!({
        "CodeSigningConfigId": config.id,
        "CodeSigningConfigArn": arn,
        "AllowedPublishers": { "SigningProfileVersionArns": config.publishers },
        "CodeSigningPolicies": { "UntrustedArtifactOnDeployment": config.untrusted },
        "LastModified": date(config.modified),
    });
    if let Some(description) = &config.description {
        answer["Description"] = json!(description);
    }
    answer
}

async fn create(State(api): State<Arc<Api>>, body: Body) -> Answer {
    let asked = Asked::read(body.fields(), true)?;
    let tags = body.fields().map("Tags")?.unwrap_or_default();
    check_tags(&tags)?;
    let id = format!("csc-{}", &Uuid::new_v4().simple().to_string()[..17]);
    let arn = api.identity().arn(&format!("code-signing-config:{id}"));
    let mut change = api.change().await;
    let config = Config {
        id,
        description: asked.description,
        publishers: asked.publishers.unwrap_or_default(),
        untrusted: asked.untrusted.unwrap_or_else(|| "Warn".to_owned()),
        modified: api.now(),
        tags,
    };
    let config = change.put(&api.code_signing.configs, arn.clone(), config);
    change.commit().await?;
    answer(StatusCode::CREATED, &json!({ "CodeSigningConfig": shown(&arn, &config) }))
}

async fn show(State(api): State<Arc<Api>>, Path(arn): Path<String>) -> Answer {
    check_arn(&arn)?;
    ok(&json!({ "CodeSigningConfig": shown(&arn, &*find(&api, &arn)?) }))
}

async fn update(State(api): State<Arc<Api>>, Path(arn): Path<String>, body: Body) -> Answer {
    check_arn(&arn)?;
    let asked = Asked::read(body.fields(), false)?;
    let mut change = api.change().await;
    let before = (*find(&api, &arn)?).clone();
    let config = Config {
        description: asked.description.or(before.description),
        publishers: asked.publishers.unwrap_or(before.publishers),
        untrusted: asked.untrusted.unwrap_or(before.untrusted),
        modified: api.now(),
        id: before.id,
        tags: before.tags,
    };
    let config = change.put(&api.code_signing.configs, arn.clone(), config);
    change.commit().await?;
    ok(&json!({ "CodeSigningConfig": shown(&arn, &config) }))
}

async fn delete(State(api): State<Arc<Api>>, Path(arn): Path<String>) -> Answer {
    check_arn(&arn)?;
    let mut change = api.change().await;
    find(&api, &arn)?;
    if api.code_signing.functions.all().iter().any(|(_, used)| **used == arn) {
        return Err(Error::conflict(format!(
            "Cannot delete the code signing configuration {arn} while it is attached to a function."
        )));
    }
    change.remove(&api.code_signing.configs, arn);
    change.commit().await?;
    empty()
}

async fn list(State(api): State<Arc<Api>>, query: Query) -> Answer {
    let page = Page::of(&query, MOST)?;
    let configs = api.code_signing.configs.all().into_iter();
    let (configs, next) = page.cut(configs.map(|(arn, config)| (arn.clone(), shown(&arn, &config))));
    let mut answer = json!({ "CodeSigningConfigs": configs });
    if let Some(next) = next {
        answer["NextMarker"] = next.into();
    }
    ok(&answer)
}

/// What a request sets.
struct Asked {
    description: Option<String>,
    publishers: Option<Vec<String>>,
    untrusted: Option<String>,
}

impl Asked {
    fn read(fields: Fields<'_>, creating: bool) -> Result<Self, Error> {
        let mut constraints = Constraints::default();
        let description = fields.owned("Description")?;
        if let Some(description) = &description {
            constraints.length("description", description, 0..=256);
        }
        let publishers = fields.object("AllowedPublishers")?;
        if publishers.is_none() && creating {
            constraints.missing("allowedPublishers");
        }
        let publishers = match publishers {
            Some(fields) => read_publishers(fields, &mut constraints)?,
            None => None,
        };
        let policies = fields.object("CodeSigningPolicies")?;
        let untrusted =
            policies.map(|fields| fields.owned("UntrustedArtifactOnDeployment")).transpose()?.flatten();
        if let Some(untrusted) = &untrusted {
            let field = "codeSigningPolicies.untrustedArtifactOnDeployment";
            constraints.one_of(field, untrusted, &["Warn", "Enforce"]);
        }
        constraints.check()?;
        Ok(Self { description, publishers, untrusted })
    }
}

fn read_publishers(fields: Fields<'_>, constraints: &mut Constraints) -> Result<Option<Vec<String>>, Error> {
    let field = "allowedPublishers.signingProfileVersionArns";
    let arns = fields.texts("SigningProfileVersionArns")?;
    match &arns {
        None => constraints.missing(field),
        Some(arns) => {
            constraints.members(field, arns, 1..=20);
            if let Some(arn) = arns.iter().find(|arn| !PROFILE.matches(arn)) {
                constraints.pattern(field, arn, &PROFILE);
            }
        }
    }
    Ok(arns)
}

#[cfg(test)]
mod tests;
