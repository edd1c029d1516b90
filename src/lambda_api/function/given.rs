//! What a request says of a function's configuration: read, held against AWS's constraints, and made a [`Config`].

mod environment;
mod logging;
mod network;

use super::{
    super::{
        Api,
        body::{Body, Constraints, Fields, Pattern},
        code::object,
        error::Error,
        event_config::takes_dead_letters,
        layer,
    },
    Config, FileSystem, ImageConfig, Vpc, runtime,
};

pub(super) use self::logging::Given as GivenLogging;

static ROLE: Pattern = Pattern::new(r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+");
static HANDLER: Pattern = Pattern::new(r"[^\s]+");
static RESOURCE: Pattern = Pattern::new(r"(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()");
static SUBNET: Pattern = Pattern::new(r"subnet-[0-9a-z]*");
static SECURITY_GROUP: Pattern = Pattern::new(r"sg-[0-9a-zA-Z]*");
static ACCESS_POINT: Pattern = Pattern::new(
    r"arn:aws[a-zA-Z-]*:elasticfilesystem:[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:access-point/fsap-[a-f0-9]{17}",
);
static MOUNT: Pattern = Pattern::new(r"/mnt/[a-zA-Z0-9-_.]+");

/// Everything a creation or an update may say; `None` where it says nothing.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) runtime: Option<String>,
    pub(super) handler: Option<String>,
    pub(super) role: Option<String>,
    description: Option<String>,
    timeout: Option<i64>,
    memory_size: Option<i64>,
    environment: Option<environment::Given>,
    layers: Option<Vec<String>>,
    dead_letter: Option<String>,
    vpc: Option<Vpc>,
    kms_key: Option<String>,
    tracing: Option<String>,
    file_systems: Option<Vec<FileSystem>>,
    image_config: Option<ImageConfig>,
    ephemeral_storage: Option<i64>,
    snap_start: Option<String>,
    logging: Option<GivenLogging>,
}

impl Given {
    /// Reads a request; what the front door refuses is added to the constraints.
    pub(super) fn read(body: &Body, constraints: &mut Constraints) -> Result<Self, Error> {
        let fields = &body.fields();
        let inner = |structure: &str, member: &str| -> Result<Option<String>, Error> {
            let Some(inner) = fields.object(structure)? else { return Ok(None) };
            Ok(Some(inner.owned(member)?.unwrap_or_default()))
        };
        let given = Self {
            runtime: fields.owned("Runtime")?,
            handler: fields.owned("Handler")?,
            role: fields.owned("Role")?,
            description: fields.owned("Description")?,
            timeout: fields.whole("Timeout")?,
            memory_size: fields.whole("MemorySize")?,
            environment: environment::Given::read(body)?,
            layers: fields.texts("Layers")?,
            dead_letter: inner("DeadLetterConfig", "TargetArn")?,
            vpc: vpc(fields)?,
            kms_key: fields.owned("KMSKeyArn")?,
            tracing: inner("TracingConfig", "Mode")?.filter(|mode| !mode.is_empty()),
            file_systems: file_systems(fields)?,
            image_config: image_config(fields)?,
            ephemeral_storage: match fields.object("EphemeralStorage")? {
                Some(storage) => Some(storage.whole("Size")?.unwrap_or(512)),
                None => None,
            },
            snap_start: inner("SnapStart", "ApplyOn")?,
            logging: GivenLogging::read(fields)?,
        };
        given.constrain(constraints);
        Ok(given)
    }

    fn constrain(&self, constraints: &mut Constraints) {
        if let Some(role) = &self.role {
            constraints.pattern("role", role, &ROLE);
        }
        if let Some(handler) = &self.handler {
            constraints.length("handler", handler, 0..=128);
            constraints.pattern("handler", handler, &HANDLER);
        }
        if let Some(description) = &self.description {
            constraints.length("description", description, 0..=256);
        }
        if let Some(timeout) = self.timeout {
            constraints.within("timeout", timeout, 1..=900);
        }
        if let Some(memory) = self.memory_size {
            constraints.within("memorySize", memory, 128..=10_240);
        }
        if let Some(storage) = self.ephemeral_storage {
            constraints.within("ephemeralStorage.size", storage, 512..=10_240);
        }
        if let Some(arn) = &self.dead_letter {
            constraints.pattern("deadLetterConfig.targetArn", arn, &RESOURCE);
        }
        if let Some(arn) = &self.kms_key {
            constraints.pattern("kMSKeyArn", arn, &RESOURCE);
        }
        if let Some(mode) = &self.tracing {
            constraints.one_of("tracingConfig.mode", mode, &["Active", "PassThrough"]);
        }
        if let Some(on) = &self.snap_start {
            constraints.one_of("snapStart.applyOn", on, &["PublishedVersions", "None"]);
        }
        if let Some(environment) = &self.environment {
            environment.constrain(constraints);
        }
        if let Some(layers) = &self.layers {
            layer::constrain(layers, constraints);
        }
        if let Some(logging) = &self.logging {
            logging.constrain(constraints);
        }
        self.constrain_image(constraints);
        self.constrain_network(constraints);
    }

    fn constrain_image(&self, constraints: &mut Constraints) {
        let Some(image) = &self.image_config else { return };
        for (field, words) in [("entryPoint", &image.entry_point), ("command", &image.command)] {
            if let Some(words) = words {
                constraints.members(&format!("imageConfig.{field}"), words, 0..=1500);
            }
        }
        if let Some(path) = &image.working_directory {
            constraints.length("imageConfig.workingDirectory", path, 0..=1000);
        }
    }

    fn constrain_network(&self, constraints: &mut Constraints) {
        if let Some(vpc) = &self.vpc {
            constraints.members("vpcConfig.subnetIds", &vpc.subnets, 0..=16);
            each(constraints, "vpcConfig.subnetIds", &vpc.subnets, &SUBNET, "^subnet-[0-9a-z]*$");
            constraints.members("vpcConfig.securityGroupIds", &vpc.security_groups, 0..=5);
            let groups = &vpc.security_groups;
            each(constraints, "vpcConfig.securityGroupIds", groups, &SECURITY_GROUP, "^sg-[0-9a-zA-Z]*$");
        }
        if let Some(mounts) = &self.file_systems {
            let shown: Vec<_> = mounts
                .iter()
                .map(|mount| format!("FileSystemConfig(arn={}, localMountPath={})", mount.arn, mount.path))
                .collect();
            constraints.members("fileSystemConfigs", &shown, 0..=1);
        }
        for (index, mount) in self.file_systems.iter().flatten().enumerate() {
            let field = |member: &str| format!("fileSystemConfigs.{}.member.{member}", index + 1);
            constraints.length(&field("arn"), &mount.arn, 0..=200);
            constraints.pattern(&field("arn"), &mount.arn, &ACCESS_POINT);
            constraints.length(&field("localMountPath"), &mount.path, 0..=160);
            constraints.pattern(&field("localMountPath"), &mount.path, &MOUNT);
        }
    }

    /// Puts what was given over a configuration: AWS's defaults, or what the function had.
    pub(super) fn apply(self, api: &Api, config: &mut Config) -> Result<(), Error> {
        self.check_package(&config.package_type)?;
        if let Some(runtime) = &self.runtime {
            runtime::check(runtime)?;
        }
        if let Some(environment) = self.environment {
            config.environment = environment.checked()?;
        }
        if let Some(layers) = &self.layers {
            config.layers = layer::resolve(api, layers)?;
        }
        if let Some(arn) = self.dead_letter.as_deref().filter(|arn| !arn.is_empty())
            && !takes_dead_letters(arn)
        {
            // AWS's words nobody has shown.
            return Err(Error::invalid(format!(
                "The dead letter target {arn} is invalid: expected the ARN of a standard SQS queue or a standard SNS topic."
            )));
        }
        if let Some(on) = self.snap_start.filter(|on| !on.is_empty()) {
            if on == "PublishedVersions" {
                let runtime = self.runtime.as_deref().or(config.runtime.as_deref());
                runtime::check_snapshot(runtime.unwrap_or_default())?;
            }
            config.snap_start = on;
        }
        if let Some(logging) = self.logging {
            config.logging = logging.over(&config.logging)?;
        }
        config.runtime = self.runtime.or(config.runtime.take());
        config.handler = self.handler.or(config.handler.take());
        replace(&mut config.role, self.role);
        replace(&mut config.description, self.description);
        // Within their bounds: the constraints held.
        replace(&mut config.timeout, self.timeout.and_then(|n| u32::try_from(n).ok()));
        replace(&mut config.memory_size, self.memory_size.and_then(|n| u32::try_from(n).ok()));
        replace(&mut config.ephemeral_storage, self.ephemeral_storage.and_then(|n| u32::try_from(n).ok()));
        // An empty ARN takes away what was there.
        replace(&mut config.dead_letter, self.dead_letter.map(|arn| Some(arn).filter(|arn| !arn.is_empty())));
        replace(&mut config.kms_key, self.kms_key.map(|arn| Some(arn).filter(|arn| !arn.is_empty())));
        let (vpc, mounts) = (self.vpc.is_some(), self.file_systems.is_some());
        replace(&mut config.vpc, self.vpc.map(Some));
        replace(&mut config.tracing, self.tracing);
        replace(&mut config.file_systems, self.file_systems);
        network::check(config, vpc, mounts)?;
        replace(&mut config.image_config, self.image_config.map(Some));
        runtime::check_snapshot_storage(config)
    }

    /// Refuses what only the other kind of package is told.
    fn check_package(&self, package_type: &str) -> Result<(), Error> {
        match package_type {
            "Image" if self.is_for_zips() => Err(Error::invalid(
                "Please don't provide Handler or Runtime or Layer when the intended function PackageType is Image.",
            )),
            // Nobody has shown AWS's answer; this follows the one above. An empty object says nothing.
            "Zip" if self.image_config.as_ref().is_some_and(|image| *image != ImageConfig::default()) => {
                Err(Error::invalid(
                    "Please don't provide ImageConfig when the intended function PackageType is Zip.",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Whether something is said that images know for themselves.
    fn is_for_zips(&self) -> bool {
        self.runtime.is_some()
            || self.handler.is_some()
            || self.layers.as_ref().is_some_and(|list| !list.is_empty())
    }
}

fn replace<T>(old: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *old = new;
    }
}

/// A list's members, each with a pattern.
fn each(constraints: &mut Constraints, field: &str, list: &[String], pattern: &Pattern, shown: &str) {
    if !list.iter().all(|one| pattern.matches(one) && one.len() <= 1024) {
        let constraint = format!(
            "Member must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length \
             greater than or equal to 0, Member must satisfy regular expression pattern: {shown}]"
        );
        constraints.broken(field, format!("[{}]", list.join(", ")), constraint);
    }
}

fn vpc(fields: &Fields<'_>) -> Result<Option<Vpc>, Error> {
    let Some(vpc) = fields.object("VpcConfig")? else { return Ok(None) };
    Ok(Some(Vpc {
        subnets: vpc.texts("SubnetIds")?.unwrap_or_default(),
        security_groups: vpc.texts("SecurityGroupIds")?.unwrap_or_default(),
        ipv6: vpc.flag("Ipv6AllowedForDualStack")?.unwrap_or_default(),
    }))
}

fn file_systems(fields: &Fields<'_>) -> Result<Option<Vec<FileSystem>>, Error> {
    let Some(list) = fields.objects("FileSystemConfigs")? else { return Ok(None) };
    let read = |mount: &Fields<'_>| {
        let text = |member| -> Result<String, Error> { Ok(mount.owned(member)?.unwrap_or_default()) };
        Ok(FileSystem { arn: text("Arn")?, path: text("LocalMountPath")? })
    };
    list.iter().map(read).collect::<Result<_, Error>>().map(Some)
}

fn image_config(fields: &Fields<'_>) -> Result<Option<ImageConfig>, Error> {
    let Some(config) = fields.object("ImageConfig")? else { return Ok(None) };
    Ok(Some(ImageConfig {
        entry_point: config.texts("EntryPoint")?.filter(|words| !words.is_empty()),
        command: config.texts("Command")?.filter(|words| !words.is_empty()),
        working_directory: config.owned("WorkingDirectory")?.filter(|path| !path.is_empty()),
    }))
}

/// Refuses what would be ignored: who asks for it relies on it.
pub(super) fn check_supported(fields: &Fields<'_>) -> Result<(), Error> {
    let unknown = [
        "AcceleratorConfig",
        "CapacityProviderConfig",
        "DurableConfig",
        "PublishTo",
        "RuntimeConfig",
        "TenancyConfig",
    ];
    match unknown.into_iter().find(|member| fields.has(member)) {
        Some(member) => {
            Err(Error::invalid(format!("{member} is not supported here: functions run on this machine.")))
        }
        None => Ok(()),
    }
}

/// `SourceKMSKeyArn` and `S3ObjectStorageMode` beside the code.
pub(super) fn source_key(
    fields: &Fields<'_>,
    place: &str,
    constraints: &mut Constraints,
) -> Result<Option<String>, Error> {
    object::constrain_mode(fields, place, constraints)?;
    let key = fields.owned("SourceKMSKeyArn")?;
    if let Some(key) = &key {
        constraints.pattern(&format!("{place}sourceKMSKeyArn"), key, &RESOURCE);
    }
    Ok(key.filter(|key| !key.is_empty()))
}

/// `Architectures`, which creations and new code may say.
pub(super) fn architectures(
    fields: &Fields<'_>,
    constraints: &mut Constraints,
) -> Result<Option<Vec<String>>, Error> {
    let Some(list) = fields.texts("Architectures")? else { return Ok(None) };
    constraints.members("architectures", &list, 1..=1);
    if list.len() == 1 && !matches!(list[0].as_str(), "x86_64" | "arm64") {
        let constraint = "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must \
                          not be null]";
        constraints.broken("architectures", format!("[{}]", list.join(", ")), constraint);
    }
    Ok(Some(list))
}
