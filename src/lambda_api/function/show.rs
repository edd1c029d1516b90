//! A version as AWS shows it: FunctionConfiguration, field by field.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    super::{answer::date, name::Identity},
    Code, Config, ImageConfig, Logging, Version, Vpc, runtime,
};

/// What FunctionArn ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arn<'a> {
    /// With the name.
    Unqualified,
    /// With the version.
    Qualified,
    /// With an alias.
    Alias(&'a str),
}

/// Whether a version's states are shown, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum States {
    /// Listings do without, and without the runtime's version.
    Left,
    /// CreateFunction tells of the creation only.
    Creation,
    /// All that is known.
    All,
}

/// The configuration.
pub(super) fn configuration(
    version: &Version,
    identity: &Identity,
    now: Timestamp,
    arn: Arn<'_>,
    states: States,
) -> Map<String, Value> {
    let own = version.qualifier();
    let qualifier = match arn {
        Arn::Unqualified => None,
        Arn::Qualified => Some(own.as_str()),
        Arn::Alias(name) => Some(name),
    };
    let config = &version.config;
    let mut shown = Shown(Map::new());
    shown.set("FunctionName", version.function.as_str());
    shown.set("FunctionArn", identity.function(&version.function, qualifier));
    shown.set("Version", own.as_str());
    shown.set("RevisionId", version.revision(now));
    shown.set("LastModified", date(version.last_modified));
    code(&mut shown, &version.code);
    settings(&mut shown, config, version.number);
    if states != States::Left {
        if let Some(runtime) = &config.runtime {
            let arn = runtime::version_arn(identity, runtime);
            shown.set("RuntimeVersionConfig", json!({ "RuntimeVersionArn": arn }));
        }
        self::states(&mut shown, version, now, states);
    }
    shown.0
}

struct Shown(Map<String, Value>);

impl Shown {
    fn set(&mut self, member: &str, value: impl Into<Value>) {
        self.0.insert(member.to_owned(), value.into());
    }

    fn maybe(&mut self, member: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(member, value);
        }
    }
}

fn code(shown: &mut Shown, code: &Code) {
    let (size, sha256) = match code {
        Code::Zip(archive) => (archive.size, &archive.sha256),
        Code::Image { sha256, .. } => (0, sha256),
    };
    shown.set("CodeSize", size);
    shown.set("CodeSha256", sha256.as_str());
}

fn settings(shown: &mut Shown, config: &Config, number: u64) {
    shown.maybe("Runtime", config.runtime.as_deref());
    shown.maybe("Handler", config.handler.as_deref());
    shown.set("Role", config.role.as_str());
    shown.set("Description", config.description.as_str());
    shown.set("Timeout", config.timeout);
    shown.set("MemorySize", config.memory_size);
    shown
        .maybe("Environment", config.environment.as_ref().map(|variables| json!({ "Variables": variables })));
    let layers = config.layers.iter().map(|layer| json!({ "Arn": layer.arn, "CodeSize": layer.code.size }));
    shown.maybe("Layers", (!config.layers.is_empty()).then(|| layers.collect::<Vec<_>>()));
    shown.maybe("DeadLetterConfig", config.dead_letter.as_ref().map(|arn| json!({ "TargetArn": arn })));
    shown.maybe("VpcConfig", config.vpc.as_ref().map(vpc));
    shown.maybe("KMSKeyArn", config.kms_key.as_deref());
    shown.set("TracingConfig", json!({ "Mode": config.tracing }));
    let mounts = config.file_systems.iter();
    let mounts = mounts.map(|mount| json!({ "Arn": mount.arn, "LocalMountPath": mount.path }));
    shown.maybe("FileSystemConfigs", (!config.file_systems.is_empty()).then(|| mounts.collect::<Vec<_>>()));
    shown.set("PackageType", config.package_type.as_str());
    shown.maybe("ImageConfigResponse", config.image_config.as_ref().and_then(image));
    shown.set("Architectures", config.architectures.clone());
    shown.set("EphemeralStorage", json!({ "Size": config.ephemeral_storage }));
    // Snapshots are of published versions.
    let optimized = number > 0 && config.snap_start == "PublishedVersions";
    let status = if optimized { "On" } else { "Off" };
    shown.set("SnapStart", json!({ "ApplyOn": config.snap_start, "OptimizationStatus": status }));
    shown.set("LoggingConfig", logging(&config.logging));
}

fn vpc(vpc: &Vpc) -> Value {
    json!({
        "SubnetIds": vpc.subnets,
        "SecurityGroupIds": vpc.security_groups,
        "VpcId": vpc.id(),
        "Ipv6AllowedForDualStack": vpc.ipv6,
    })
}

fn image(config: &ImageConfig) -> Option<Value> {
    let mut shown = Shown(Map::new());
    shown.maybe("EntryPoint", config.entry_point.clone());
    shown.maybe("Command", config.command.clone());
    shown.maybe("WorkingDirectory", config.working_directory.as_deref());
    (!shown.0.is_empty()).then(|| json!({ "ImageConfig": shown.0 }))
}

fn logging(logging: &Logging) -> Value {
    let mut shown = Shown(Map::new());
    shown.set("LogFormat", logging.format.as_str());
    shown.maybe("ApplicationLogLevel", logging.application_level.as_deref());
    shown.maybe("SystemLogLevel", logging.system_level.as_deref());
    shown.set("LogGroup", logging.group.as_str());
    Value::Object(shown.0)
}

fn states(shown: &mut Shown, version: &Version, now: Timestamp, states: States) {
    const REASON: &str = "The function is being created.";
    if version.is_pending(now) {
        shown.set("State", "Pending");
        shown.set("StateReason", REASON);
        shown.set("StateReasonCode", "Creating");
        return;
    }
    shown.set("State", "Active");
    if states == States::Creation {
        return;
    }
    if version.is_updating(now) {
        shown.set("LastUpdateStatus", "InProgress");
        shown.set("LastUpdateStatusReason", REASON);
        shown.set("LastUpdateStatusReasonCode", "Creating");
    } else {
        shown.set("LastUpdateStatus", "Successful");
    }
}
