//! TagResource, UntagResource, ListTags: of functions, of mappings and of code signing configurations.

use std::{collections::BTreeMap, sync::Arc};

use axum::extract::{Path, State};
use serde_json::json;
use uuid::Uuid;

use super::{
    super::{
        Api,
        answer::{Answer, empty, ok},
        body::{Body, Constraints, Pattern, Query},
        code_signing,
        error::Error,
        mapping,
        name::Name,
    },
    Function, Version, find,
    resolve::latest,
    version_key,
};

/// AWS's limit for one resource.
const MOST: usize = 50;

static RESOURCE: Pattern = Pattern::new(
    r"arn:(aws[a-zA-Z-]*):lambda:[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})",
);

type Tags = BTreeMap<String, String>;

/// What can be tagged here.
enum Resource {
    Function(Name),
    Mapping(String),
    /// By its ARN.
    CodeSigning(String),
}

impl Resource {
    fn parse(api: &Api, arn: &str, action: &str) -> Result<Self, Error> {
        let refused = || {
            let mut constraints = Constraints::default();
            let constraint = format!("Member must satisfy regular expression pattern: {}", RESOURCE.text());
            constraints.broken("resource", arn, constraint);
            constraints
                .check()
                .err()
                .unwrap_or_else(|| Error::not_found("The resource you requested does not exist."))
        };
        let parts: Vec<_> = arn.split(':').collect();
        let [_, _, _, region, account, kind, id, qualifier @ ..] = parts.as_slice() else {
            return Err(refused());
        };
        let identity = api.identity();
        if *account != identity.account {
            return Err(identity.denied(action, arn));
        }
        let here = *region == identity.region;
        match *kind {
            "function" if !qualifier.is_empty() => Err(Error::invalid(
                "Tags on function aliases and versions are not supported. Please specify a function ARN.",
            )),
            "function" if here => Ok(Self::Function(Name { function: (*id).to_owned(), qualifier: None })),
            "function" => Err(Error::not_found(format!("Function not found: {arn}"))),
            "event-source-mapping" if here => Ok(Self::Mapping((*id).to_owned())),
            "event-source-mapping" => Err(Error::not_found(format!("Event source mapping not found: {arn}"))),
            "code-signing-config" => Ok(Self::CodeSigning(arn.to_owned())),
            _ => Err(refused()),
        }
    }

    fn tags(&self, api: &Api) -> Result<Tags, Error> {
        match self {
            Self::Function(name) => Ok(find(api, name)?.tags.clone()),
            Self::Mapping(uuid) => mapping::tags(api, uuid),
            Self::CodeSigning(arn) => code_signing::tags(api, arn),
        }
    }

    async fn edit(&self, api: &Api, edit: impl FnOnce(&mut Tags) -> Result<(), Error>) -> Result<(), Error> {
        match self {
            Self::Function(name) => edit_function(api, name, edit).await,
            Self::Mapping(uuid) => mapping::tag(api, uuid, edit).await,
            Self::CodeSigning(arn) => code_signing::tag(api, arn, edit).await,
        }
    }
}

/// Tags are part of what a revision stands for.
async fn edit_function(
    api: &Api,
    name: &Name,
    edit: impl FnOnce(&mut Tags) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut change = api.change().await;
    let mut function = Function::clone(&*find(api, name)?);
    let latest = latest(api, name)?;
    edit(&mut function.tags)?;
    change.put(&api.functions, name.function.clone(), function);
    let revision_id = Uuid::new_v4().to_string();
    let latest = Version { revision_id, ..Version::clone(&latest) };
    change.put(&api.versions, version_key(&name.function, 0), latest);
    Ok(change.commit().await?)
}

/// How many there may be, and what they may look like.
pub(in super::super) fn check(tags: &Tags) -> Result<(), Error> {
    check_number(tags)?;
    let mut constraints = Constraints::default();
    constrain(tags, &mut constraints);
    constraints.check()?;
    check_reserved(tags)
}

pub(super) fn check_number(tags: &Tags) -> Result<(), Error> {
    if tags.len() > MOST {
        return Err(Error::invalid("Number of tags exceeds resource tag limit."));
    }
    Ok(())
}

/// AWS: tags that begin with `aws:` are made by its services alone. The words are CloudFormation's and others'; Lambda's own
/// nobody has shown.
pub(super) fn check_reserved(tags: &Tags) -> Result<(), Error> {
    let reserved = |key: &str| key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:"));
    if tags.keys().any(|key| reserved(key)) {
        return Err(Error::invalid("aws: prefixed tag key names are not allowed for external use."));
    }
    Ok(())
}

/// What the front door says of tags.
pub(super) fn constrain(tags: &Tags, constraints: &mut Constraints) {
    for (key, value) in tags {
        if !is_key(key) {
            let each = format!("Map keys must satisfy constraint: {KEY}");
            constraints.broken("tags", format!("{{{key}={value}}}"), each);
        } else if value.chars().count() > 256 || !is_word(value) {
            let each = "Map value must satisfy constraint: [Member must have length less than or equal to 256, Member must \
                        have length greater than or equal to 0, Member must satisfy regular expression pattern: \
                        ([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*), Member must not be null]";
            constraints.broken("tags", format!("{{{key}={value}}}"), each);
        }
    }
}

/// What AWS says of a key.
const KEY: &str = "[Member must have length less than or equal to 128, Member must have length greater than or equal to 1, \
                   Member must satisfy regular expression pattern: ([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*), Member must not be \
                   null]";

fn is_key(text: &str) -> bool {
    (1..=128).contains(&text.chars().count()) && is_word(text)
}

fn is_word(text: &str) -> bool {
    static WORD: Pattern = Pattern::new(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)");
    WORD.matches(text)
}

pub(super) async fn list(State(api): State<Arc<Api>>, Path(resource): Path<String>) -> Answer {
    let mut constraints = Constraints::default();
    constraints.pattern("resource", &resource, &RESOURCE);
    constraints.check()?;
    let tags = Resource::parse(&api, &resource, "ListTags")?.tags(&api)?;
    ok(&json!({ "Tags": tags }))
}

pub(super) async fn add(State(api): State<Arc<Api>>, Path(resource): Path<String>, body: Body) -> Answer {
    let mut constraints = Constraints::default();
    constraints.pattern("resource", &resource, &RESOURCE);
    let new = body.fields().map("Tags")?;
    match &new {
        Some(new) => constrain(new, &mut constraints),
        None => constraints.missing("tags"),
    }
    constraints.check()?;
    let new = new.unwrap_or_default();
    if new.is_empty() {
        return Err(Error::invalid("An error occurred and the request cannot be processed."));
    }
    check_reserved(&new)?;
    let resource = Resource::parse(&api, &resource, "TagResource")?;
    let add = |tags: &mut Tags| {
        tags.extend(new);
        check_number(tags)
    };
    resource.edit(&api, add).await?;
    empty()
}

pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Path(resource): Path<String>,
    query: Query,
) -> Answer {
    let gone: Vec<_> = query.all("tagKeys").map(str::to_owned).collect();
    let mut constraints = Constraints::default();
    constraints.pattern("resource", &resource, &RESOURCE);
    if gone.is_empty() {
        constraints.missing("tagKeys");
    } else if !gone.iter().all(|key| is_key(key)) {
        let each = format!("Member must satisfy constraint: {KEY}");
        constraints.broken("tagKeys", format!("[{}]", gone.join(", ")), each);
    }
    constraints.check()?;
    let resource = Resource::parse(&api, &resource, "UntagResource")?;
    let remove = |tags: &mut Tags| {
        tags.retain(|key, _| !gone.contains(key));
        Ok(())
    };
    resource.edit(&api, remove).await?;
    empty()
}
