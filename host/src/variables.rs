//! The environment of the function's process: Lambda's, and nothing of the host's own but what it needs to run here.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
};

use jiff::Timestamp;
use uuid::Uuid;

use crate::{Settings, invocation::VERSION, launch::Launch};

/// Taken over from the host where it has them: where programs and their libraries are, and whom to trust.
const INHERITED: [&str; 13] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "JAVA_HOME",
    "NODE_PATH",
    "PYTHONPATH",
    "GEM_PATH",
    "RUBYLIB",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
];

/// Lambda's own, where neither host nor user has one.
const DEFAULT_PATH: &str = "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin";

/// Where functions live whose account and region nobody said.
const ACCOUNT: &str = "123456789012";
const REGION: &str = "us-east-1";

/// What is the same for every process of a function. Not to be printed: credentials are among them.
#[derive(Clone)]
pub(crate) struct Variables {
    fixed: BTreeMap<OsString, OsString>,
    arn: String,
}

impl Variables {
    /// From the settings and `host`, the environment we run in.
    pub(crate) fn new(
        settings: &Settings,
        launch: &Launch,
        host: impl Iterator<Item = (OsString, OsString)>,
    ) -> Self {
        let mut fixed = BTreeMap::new();
        set(&mut fixed, "PATH", DEFAULT_PATH);
        set(&mut fixed, "LANG", "en_US.UTF-8");
        // An empty credential is worse than none: clients take it for one.
        let kept = host.filter(|(name, value)| inherits(name) && !value.is_empty());
        fixed.extend(kept);
        for (name, value) in &settings.environment {
            if reserved(name) {
                tracing::warn!(name, "reserved on Lambda: the value given is ignored");
            } else {
                set(&mut fixed, name, value);
            }
        }
        let region = ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| fixed.get(OsStr::new(name)));
        let region = region.map_or_else(|| REGION.to_owned(), |value| value.to_string_lossy().into_owned());
        set(&mut fixed, "AWS_REGION", &region);
        set(&mut fixed, "AWS_DEFAULT_REGION", &region);
        platform(&mut fixed, settings, launch);
        Self { fixed, arn: format!("arn:aws:lambda:{region}:{ACCOUNT}:function:{}", settings.name) }
    }

    /// The function's ARN, without a qualifier.
    pub(crate) fn arn(&self) -> &str {
        &self.arn
    }

    /// For one process, served at `endpoint`.
    pub(crate) fn for_process(&self, endpoint: &str) -> BTreeMap<OsString, OsString> {
        let mut all = self.fixed.clone();
        let day = Timestamp::now().strftime("%Y/%m/%d");
        let stream = format!("{day}/[{VERSION}]{}", Uuid::new_v4().simple());
        set(&mut all, "AWS_LAMBDA_LOG_STREAM_NAME", &stream);
        set(&mut all, "AWS_LAMBDA_RUNTIME_API", endpoint);
        all
    }
}

/// What Lambda sets, over anything else.
fn platform(all: &mut BTreeMap<OsString, OsString>, settings: &Settings, launch: &Launch) {
    set(all, "TZ", ":UTC");
    // Functions find their own files by it, so it is where they really are, not Lambda's /var/task.
    all.insert("LAMBDA_TASK_ROOT".into(), launch.directory.clone().into());
    set(all, "LAMBDA_RUNTIME_DIR", "/var/runtime");
    set(all, "AWS_LAMBDA_FUNCTION_NAME", &settings.name);
    set(all, "AWS_LAMBDA_FUNCTION_VERSION", VERSION);
    set(all, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &settings.memory_mb.to_string());
    set(all, "AWS_LAMBDA_LOG_GROUP_NAME", &format!("/aws/lambda/{}", settings.name));
    set(all, "AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand");
    if let Some(handler) = &launch.handler {
        set(all, "_HANDLER", handler);
    }
    if let Some(name) = &launch.execution_env {
        set(all, "AWS_EXECUTION_ENV", name);
    }
}

fn set(all: &mut BTreeMap<OsString, OsString>, name: &str, value: &str) {
    all.insert(name.into(), value.into());
}

/// Whether the function gets the host's own value: see [`INHERITED`], and how to reach AWS.
fn inherits(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    INHERITED.contains(&name) || name.starts_with("AWS_") && !reserved(name)
}

/// Names that are the platform's alone. Region and credentials are reserved on Lambda too; here whoever gives them is the
/// platform.
fn reserved(name: &str) -> bool {
    // Two of the AWS_LAMBDA_ family are the user's to set.
    const USERS: [&str; 3] = ["AWS_LAMBDA_EXEC_WRAPPER", "AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_LEVEL"];
    let platform = name.starts_with('_') || name.starts_with("LAMBDA_") || name.starts_with("AWS_LAMBDA_");
    (platform && !USERS.contains(&name)) || name == "AWS_EXECUTION_ENV" || name == "TZ"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(host: &[(&str, &str)], given: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
        let environment = given.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let settings = Settings { name: "orders".into(), environment, ..Settings::default() };
        let launch = Launch {
            program: "p".into(),
            arguments: Vec::new(),
            directory: "/code".into(),
            handler: Some("app.handler".into()),
            execution_env: None,
        };
        let host = host.iter().map(|(n, v)| (OsString::from(n), OsString::from(v)));
        Variables::new(&settings, &launch, host).for_process("127.0.0.1:9")
    }

    fn value<'a>(all: &'a BTreeMap<OsString, OsString>, name: &str) -> Option<&'a str> {
        all.get(OsStr::new(name)).and_then(|v| v.to_str())
    }

    #[test]
    fn a_function_sees_lambdas_environment() {
        let all = variables(&[("PATH", "/bin")], &[("TABLE", "t")]);
        for (name, expected) in [
            ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9"),
            ("AWS_LAMBDA_FUNCTION_NAME", "orders"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/orders"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("LAMBDA_TASK_ROOT", "/code"),
            ("_HANDLER", "app.handler"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("TZ", ":UTC"),
            ("PATH", "/bin"),
            ("TABLE", "t"),
        ] {
            assert_eq!(value(&all, name), Some(expected), "{name}");
        }
        let stream = value(&all, "AWS_LAMBDA_LOG_STREAM_NAME").unwrap();
        assert_eq!(stream.len(), "2026/11/22/[$LATEST]".len() + 32, "{stream}");
        assert!(stream[10..].starts_with("/[$LATEST]"), "{stream}");
    }

    #[test]
    fn the_hosts_own_does_not_leak_through_and_reserved_names_are_not_the_users() {
        let host = [
            ("PORT", "8080"),
            ("K_SINK", "http://x"),
            ("AWS_ACCESS_KEY_ID", "AKIA"),
            ("AWS_SESSION_TOKEN", ""),
            ("AWS_LAMBDA_RUNTIME_API", "elsewhere"),
            ("AWS_LAMBDA_MAX_CONCURRENCY", "9"),
            ("AWS_REGION", "eu-west-1"),
        ];
        let all = variables(&host, &[("_HANDLER", "x"), ("TZ", "CET"), ("AWS_LAMBDA_LOG_FORMAT", "JSON")]);
        for gone in ["PORT", "K_SINK", "AWS_SESSION_TOKEN", "AWS_LAMBDA_MAX_CONCURRENCY"] {
            assert_eq!(value(&all, gone), None, "{gone}");
        }
        assert_eq!(value(&all, "AWS_ACCESS_KEY_ID"), Some("AKIA"));
        assert_eq!(value(&all, "AWS_DEFAULT_REGION"), Some("eu-west-1"));
        assert_eq!(value(&all, "_HANDLER"), Some("app.handler"));
        assert_eq!(value(&all, "TZ"), Some(":UTC"));
        assert_eq!(value(&all, "AWS_LAMBDA_LOG_FORMAT"), Some("JSON"));
    }
}
