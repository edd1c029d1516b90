//! Aliases: CreateAlias, GetAlias, UpdateAlias, DeleteAlias, ListAliases.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    super::{
        Api,
        answer::{Answer, empty, json as answer, ok},
        body::{Body, Constraints, Fields, Pattern, Query},
        concurrency,
        error::Error,
        name::{Form, Identity, Name, is_alias, is_version},
        page::Page,
        setting,
    },
    Alias, Routing, alias_key, find,
    resolve::version,
};

/// AWS's own limit of a page.
const MOST: usize = 10_000;

static VERSION: Pattern = Pattern::new(r"(\$LATEST|[0-9]+)");

/// What is said of an alias.
struct Given {
    version: Option<String>,
    description: Option<String>,
    /// As given: several would be refused.
    weights: Option<BTreeMap<String, f64>>,
}

impl Given {
    fn read(fields: &Fields<'_>, constraints: &mut Constraints) -> Result<Self, Error> {
        let version = fields.owned("FunctionVersion")?;
        let description = fields.owned("Description")?;
        let weights = match fields.object("RoutingConfig")? {
            Some(routing) => Some(routing.numbers("AdditionalVersionWeights")?.unwrap_or_default()),
            None => None,
        };
        if let Some(version) = &version {
            constraints.length("functionVersion", version, 1..=1024);
            constraints.pattern("functionVersion", version, &VERSION);
        }
        if let Some(description) = &description {
            constraints.length("description", description, 0..=256);
        }
        if let Some(weights) = &weights {
            constrain_weights(weights, constraints);
        }
        Ok(Self { version, description, weights })
    }
}

fn constrain_weights(weights: &BTreeMap<String, f64>, constraints: &mut Constraints) {
    let shown = weights.iter().map(|(version, weight)| format!("{version}={weight:?}"));
    let shown = format!("{{{}}}", shown.collect::<Vec<_>>().join(", "));
    let mut refuse = |each| constraints.broken("routingConfig.additionalVersionWeights", &shown, each);
    if !weights.keys().all(|version| is_version(version) && version.len() <= 1024) {
        refuse(
            "Map keys must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length \
             greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+, Member must not be null]",
        );
    }
    if !weights.values().all(|weight| (0.0..=1.0).contains(weight)) {
        refuse(
            "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value \
             greater than or equal to 0.0, Member must not be null]",
        );
    }
}

fn check_name(alias: &str, constraints: &mut Constraints) {
    constraints.length("name", alias, 1..=128);
    if !is_alias(alias) {
        // Written out: the pattern looks ahead, which our regular expressions do not.
        let constraint = "Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)";
        constraints.broken("name", alias, constraint);
    }
}

fn check_name_alone(alias: &str) -> Result<(), Error> {
    let mut constraints = Constraints::default();
    check_name(alias, &mut constraints);
    constraints.check()
}

/// The second version, if one is given.
fn routing(weights: BTreeMap<String, f64>) -> Result<Option<Routing>, Error> {
    if weights.len() > 1 {
        return Err(Error::invalid("Number of items in AdditionalVersionWeights cannot be greater than 1"));
    }
    Ok(weights.into_iter().next().map(|(version, weight)| Routing { version, weight }))
}

/// Whether an alias may point where it says: its second version depends on the first, whichever of them was given last.
fn check_routing(api: &Api, alias: &Alias) -> Result<(), Error> {
    let Some(Routing { version: other, .. }) = &alias.routing else { return Ok(()) };
    if *other == alias.version {
        return Err(Error::invalid(format!(
            "Invalid function version {other}. Function version {other} is already included in routing configuration."
        )));
    }
    if alias.version == "$LATEST" {
        return Err(Error::invalid("$LATEST is not supported for an alias pointing to more than 1 version"));
    }
    exists(api, &alias.function, other)
}

/// The version an alias is to point to.
fn exists(api: &Api, function: &str, qualifier: &str) -> Result<(), Error> {
    let missing = || {
        let arn = api.identity().function(function, Some(qualifier));
        Error::not_found(format!("Function not found: {arn}"))
    };
    version(api, function, qualifier).map(drop).ok_or_else(missing)
}

fn show(alias: &Alias, identity: &Identity) -> Map<String, Value> {
    let mut shown = Map::new();
    let mut set = |member: &str, value: Value| shown.insert(member.to_owned(), value);
    set("AliasArn", identity.function(&alias.function, Some(&alias.name)).into());
    set("Name", alias.name.as_str().into());
    set("FunctionVersion", alias.version.as_str().into());
    set("Description", alias.description.as_str().into());
    set("RevisionId", alias.revision_id.as_str().into());
    if let Some(Routing { version, weight }) = &alias.routing {
        set("RoutingConfig", json!({ "AdditionalVersionWeights": { version: weight } }));
    }
    shown
}

fn function_name(api: &Api, name: &str, action: &str) -> Result<Name, Error> {
    let name = Name::parse(name, None, Form::Plain, action, api.identity())?;
    Ok(Name { qualifier: None, ..name })
}

pub(super) async fn create(State(api): State<Arc<Api>>, Path(name): Path<String>, body: Body) -> Answer {
    let fields = body.fields();
    let mut constraints = Constraints::default();
    let alias = fields.text("Name")?;
    match alias {
        Some(alias) => check_name(alias, &mut constraints),
        None => constraints.missing("name"),
    }
    let given = Given::read(&fields, &mut constraints)?;
    if given.version.is_none() {
        constraints.missing("functionVersion");
    }
    constraints.check()?;
    let (alias, main) = (alias.unwrap_or_default(), given.version.unwrap_or_default());
    let function = function_name(&api, &name, "CreateAlias")?.function;
    let mut change = api.change().await;
    exists(&api, &function, &main)?;
    let key = alias_key(&function, alias);
    if api.aliases.get(&key).is_some() {
        let arn = api.identity().function(&function, Some(alias));
        return Err(Error::conflict(format!("Alias already exists: {arn}")));
    }
    let alias = Alias {
        routing: given.weights.map_or(Ok(None), routing)?,
        name: alias.to_owned(),
        version: main,
        description: given.description.unwrap_or_default(),
        revision_id: Uuid::new_v4().to_string(),
        function,
    };
    check_routing(&api, &alias)?;
    let alias = change.put(&api.aliases, key, alias);
    change.commit().await?;
    answer(StatusCode::CREATED, &show(&alias, api.identity()))
}

pub(super) async fn update(
    State(api): State<Arc<Api>>,
    Path((name, alias)): Path<(String, String)>,
    body: Body,
) -> Answer {
    let fields = body.fields();
    let mut constraints = Constraints::default();
    check_name(&alias, &mut constraints);
    let given = Given::read(&fields, &mut constraints)?;
    constraints.check()?;
    let name = function_name(&api, &name, "UpdateAlias")?;
    let mut change = api.change().await;
    find(&api, &name)?;
    let key = alias_key(&name.function, &alias);
    let missing = || {
        let arn = api.identity().function(&name.function, Some(&alias));
        Error::not_found(format!("Alias not found: {arn}"))
    };
    let mut alias = Alias::clone(&*api.aliases.get(&key).ok_or_else(missing)?);
    if fields.text("RevisionId")?.is_some_and(|seen| seen != alias.revision_id) {
        return Err(Error::stale());
    }
    let before = alias.version.clone();
    if let Some(main) = given.version {
        exists(&api, &name.function, &main)?;
        alias.version = main;
    }
    if let Some(weights) = given.weights {
        alias.routing = routing(weights)?;
    }
    check_routing(&api, &alias)?;
    concurrency::check_alias(&api, &alias)?;
    if let Some(description) = given.description {
        alias.description = description;
    }
    alias.revision_id = Uuid::new_v4().to_string();
    let alias = change.put(&api.aliases, key, alias);
    change.commit().await?;
    concurrency::moved(&api, &alias, &before);
    ok(&show(&alias, api.identity()))
}

pub(super) async fn get(State(api): State<Arc<Api>>, Path((name, alias)): Path<(String, String)>) -> Answer {
    check_name_alone(&alias)?;
    let name = function_name(&api, &name, "GetAlias")?;
    find(&api, &name)?;
    let missing = || {
        let arn = api.identity().function(&name.function, Some(&alias));
        Error::not_found(format!("Cannot find alias arn: {arn}"))
    };
    let alias = api.aliases.get(&alias_key(&name.function, &alias)).ok_or_else(missing)?;
    ok(&show(&alias, api.identity()))
}

/// An alias that is not there is as good as deleted.
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path((name, alias)): Path<(String, String)>,
) -> Answer {
    check_name_alone(&alias)?;
    let name = function_name(&api, &name, "DeleteAlias")?;
    let mut change = api.change().await;
    find(&api, &name)?;
    let key = alias_key(&name.function, &alias);
    if api.aliases.get(&key).is_some() {
        change.remove(&api.aliases, key);
        setting::forget(&api, &mut change, &name.function, Some(&alias));
    }
    change.commit().await?;
    empty()
}

pub(super) async fn list(State(api): State<Arc<Api>>, Path(name): Path<String>, query: Query) -> Answer {
    let wanted = query.get("FunctionVersion");
    let mut constraints = Constraints::default();
    if let Some(wanted) = wanted {
        constraints.pattern("functionVersion", wanted, &VERSION);
    }
    constraints.check()?;
    let name = function_name(&api, &name, "ListAliases")?;
    let page = Page::of(&query, MOST)?;
    find(&api, &name)?;
    let points = |alias: &Alias, wanted: &str| {
        alias.version == wanted || alias.routing.as_ref().is_some_and(|other| other.version == wanted)
    };
    let aliases = api.aliases.under(&format!("{}:", name.function)).into_iter();
    let aliases = aliases.filter(|(_, alias)| wanted.is_none_or(|wanted| points(alias, wanted)));
    let (aliases, next) = page.cut(aliases);
    let aliases: Vec<_> = aliases.iter().map(|alias| show(alias, api.identity())).collect();
    ok(&json!({ "Aliases": aliases, "NextMarker": next }))
}
