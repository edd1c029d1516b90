//! CreateFunction.

use std::{collections::BTreeMap, sync::Arc};

use axum::{extract::State, http::StatusCode};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    super::{
        Api,
        answer::{Answer, json},
        body::{Body, Constraints, Pattern},
        code::{Kept, Source},
        code_signing,
        error::Error,
        layer,
        name::{Form, Name},
        shelf::Change,
    },
    Code, Config, Function, Logging, Version, check_unpacked, content,
    given::{self, Given},
    publish::published,
    show::{Arn, States, configuration},
    tags, version_key,
};
use crate::hex::hex;

/// A creation that the front door lets through.
struct Request {
    name: String,
    given: Given,
    package_type: String,
    architectures: Option<Vec<String>>,
    code: Option<Source>,
    source_key: Option<String>,
    image: Option<String>,
    tags: BTreeMap<String, String>,
    publish: bool,
    /// Its ARN.
    code_signing: Option<String>,
}

pub(super) async fn function(State(api): State<Arc<Api>>, body: Body) -> Answer {
    let mut request = Request::read(&api, &body)?;
    let config = request.config(&api)?;
    absent(&api, &request.name)?;
    let (code, kept) = request.take_code(&api).await?;
    check_unpacked(&code, &config)?;
    let mut change = api.change().await;
    absent(&api, &request.name)?;
    // Nobody deletes a layer version any more now.
    layer::there(&api, &config.layers)?;
    if let Some(arn) = request.code_signing.take() {
        code_signing::attach(&api, &mut change, &request.name, arn)?;
    }
    let version = put(&api, &mut change, request, code, config);
    change.commit().await?;
    // Named now.
    drop(kept);
    json(
        StatusCode::CREATED,
        &configuration(&version, api.identity(), api.now(), Arn::Unqualified, States::Creation),
    )
}

fn absent(api: &Api, name: &str) -> Result<(), Error> {
    match api.functions.get(name) {
        None => Ok(()),
        Some(_) => Err(Error::conflict(format!("Function already exist: {name}"))),
    }
}

impl Request {
    fn read(api: &Api, body: &Body) -> Result<Self, Error> {
        let fields = &body.fields();
        let mut constraints = Constraints::default();
        let name = fields.text("FunctionName")?;
        match name {
            Some(name) => Name::constrain(name, Form::Create, &mut constraints),
            None => constraints.missing("functionName"),
        }
        let given = Given::read(body, &mut constraints)?;
        if given.role.is_none() {
            constraints.missing("role");
        }
        let package_type = fields.owned("PackageType")?.unwrap_or_else(|| "Zip".to_owned());
        constraints.one_of("packageType", &package_type, &["Zip", "Image"]);
        let architectures = given::architectures(fields, &mut constraints)?;
        let code = fields.object("Code")?;
        if code.is_none() {
            constraints.missing("code");
        }
        let source_key = match &code {
            Some(code) => given::source_key(code, "code.", &mut constraints)?,
            None => None,
        };
        let tags = fields.map("Tags")?.unwrap_or_default();
        tags::constrain(&tags, &mut constraints);
        let code_signing = fields.owned("CodeSigningConfigArn")?;
        if let Some(arn) = &code_signing {
            code_signing::constrain(arn, &mut constraints);
        }
        constraints.check()?;
        given::check_supported(fields)?;
        let name =
            Name::parse(name.unwrap_or_default(), None, Form::Create, "CreateFunction", api.identity())?;
        tags::check_number(&tags)?;
        tags::check_reserved(&tags)?;
        Ok(Self {
            name: name.function,
            given,
            package_type,
            architectures,
            code: code.as_ref().map_or(Ok(None), |code| Source::read(code, "code."))?,
            source_key,
            image: code.map_or(Ok(None), |code| code.owned("ImageUri"))?,
            tags,
            publish: fields.flag("Publish")?.unwrap_or_default(),
            code_signing,
        })
    }

    /// What it will run like; leaves what was given empty.
    fn config(&mut self, api: &Api) -> Result<Config, Error> {
        let given = std::mem::take(&mut self.given);
        if self.package_type == "Zip" && (given.runtime.is_none() || given.handler.is_none()) {
            return Err(Error::invalid(
                "Runtime and Handler are mandatory parameters for functions created with deployment packages.",
            ));
        }
        let architectures = self.architectures.take().unwrap_or_else(|| vec!["x86_64".to_owned()]);
        let mut config = defaults(&self.name, &self.package_type, architectures);
        given.apply(api, &mut config)?;
        Ok(config)
    }

    /// The code, and what holds its zip until something names it.
    async fn take_code(&mut self, api: &Api) -> Result<(Code, Option<Kept>), Error> {
        match (self.code.take(), self.image.take()) {
            (None, Some(uri)) if self.package_type == "Image" => Ok((image(uri)?, None)),
            (_, _) if self.package_type == "Image" => Err(Error::invalid(
                "Please provide ImageUri when creating a function with packageType Image.",
            )),
            (_, Some(_)) => Err(Error::invalid(
                "Please don't provide ImageUri when creating a function with packageType Zip.",
            )),
            (None, None) => Err(Error::invalid("Please provide a source for function code.")),
            (Some(source), None) => {
                let kept = api.take(source).await?;
                Ok((Code::Zip(kept.archive.clone()), Some(kept)))
            }
        }
    }
}

/// Images are ECR's, on AWS; an emulator's ECR has a domain and a port of its own.
static IMAGE: Pattern = Pattern::new(concat!(
    r"\d{12}\.dkr\.ecr(-fips)?\.[a-z0-9-]+(\.[a-z0-9-]+)+(:\d+)?",
    r"/[a-z0-9._-]+(/[a-z0-9._-]+)*(:[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?",
));

/// An image is not looked at: its digest is that of its name.
pub(super) fn image(uri: String) -> Result<Code, Error> {
    if !IMAGE.matches(&uri) {
        return Err(Error::invalid(format!(
            "Source image {uri} is not valid. Provide a valid source image."
        )));
    }
    let sha256 = hex(&Sha256::digest(uri.as_bytes()));
    Ok(Code::Image { uri, sha256 })
}

/// AWS's defaults.
pub(in super::super) fn defaults(name: &str, package_type: &str, architectures: Vec<String>) -> Config {
    Config {
        runtime: None,
        handler: None,
        role: String::new(),
        description: String::new(),
        timeout: 3,
        memory_size: 128,
        environment: None,
        layers: Vec::new(),
        dead_letter: None,
        vpc: None,
        kms_key: None,
        tracing: "PassThrough".to_owned(),
        file_systems: Vec::new(),
        package_type: package_type.to_owned(),
        image_config: None,
        architectures,
        ephemeral_storage: 512,
        snap_start: "None".to_owned(),
        logging: Logging {
            format: "Text".to_owned(),
            application_level: None,
            system_level: None,
            group: format!("/aws/lambda/{name}"),
        },
    }
}

/// The function, its `$LATEST`, and its version 1 if it is to be published; the one to show.
fn put(api: &Api, change: &mut Change, request: Request, code: Code, config: Config) -> Version {
    let now = api.now();
    let mut latest = new(&request.name, code, config, now, now + api.settings.settle);
    latest.source_key = request.source_key;
    let mut shown = latest.clone();
    let mut next_version = 1;
    if request.publish {
        shown = published(&latest, next_version, None, latest.active_from);
        next_version += 1;
        change.put(&api.versions, version_key(&request.name, shown.number), shown.clone());
    }
    change.put(&api.versions, version_key(&request.name, 0), latest);
    let function = Function { name: request.name.clone(), next_version, tags: request.tags };
    change.put(&api.functions, request.name, function);
    shown
}

fn new(name: &str, code: Code, config: Config, now: Timestamp, active_from: Timestamp) -> Version {
    Version {
        function: name.to_owned(),
        number: 0,
        revision_id: Uuid::new_v4().to_string(),
        last_modified: now,
        active_from,
        updated_from: now,
        content: content(&code, &config),
        code,
        source_key: None,
        config,
    }
}
