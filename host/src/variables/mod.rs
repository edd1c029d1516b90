//! The environment of the function's process: Lambda's, and what of the host's own is the function's too.

mod inherited;
mod paths;

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::Path,
};

use jiff::Timestamp;
use uuid::Uuid;

use crate::{Settings, environment::Environment, launch::Launch, partition};

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
        let mut fixed = inherited::inherited(host, settings.inherit);
        settings.platform.iter().for_each(|(name, value)| set(&mut fixed, name, value));
        for (name, value) in &settings.environment {
            if reserved(name) {
                tracing::warn!(name, "reserved on Lambda: the value given is ignored");
            } else {
                set(&mut fixed, name, value);
            }
        }
        let told = ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| fixed.get(OsStr::new(name)));
        let told = told.map(|value| value.to_string_lossy().into_owned());
        let region = settings.region.clone().or(told).unwrap_or_else(|| REGION.to_owned());
        set(&mut fixed, "AWS_REGION", &region);
        set(&mut fixed, "AWS_DEFAULT_REGION", &region);
        default(&mut fixed, "LANG", "en_US.UTF-8");
        default(&mut fixed, "AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR");
        paths::complete(&mut fixed, launch);
        platform(&mut fixed, settings, launch);
        let account = settings.account.as_deref().unwrap_or(ACCOUNT);
        let arn = format!("arn:{}:lambda:{region}:{account}:function:{}", partition(&region), settings.name);
        Self { fixed, arn }
    }

    /// The function's ARN, without a qualifier.
    pub(crate) fn arn(&self) -> &str {
        &self.arn
    }

    /// Where the function keeps temporary files.
    pub(crate) fn temporary(&self) -> &Path {
        self.fixed.get(OsStr::new("TMPDIR")).map_or(Path::new("/tmp"), Path::new)
    }

    /// One that is the same for every process.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fixed.get(OsStr::new(name)).and_then(|value| value.to_str())
    }

    /// A name for the log stream of one more execution environment.
    pub(crate) fn log_stream(version: &str) -> String {
        let day = Timestamp::now().strftime("%Y/%m/%d");
        format!("{day}/[{version}]{}", Uuid::new_v4().simple())
    }

    /// For one process, served at `endpoint`, whose output goes to the log stream `stream`, in an environment of this kind.
    pub(crate) fn for_process(
        &self,
        endpoint: &str,
        stream: &str,
        environment: &Environment,
    ) -> BTreeMap<OsString, OsString> {
        let mut all = self.fixed.clone();
        if environment.has_own_tmp() {
            all.remove(OsStr::new("TMPDIR"));
        }
        set(&mut all, "AWS_LAMBDA_INITIALIZATION_TYPE", environment.kind);
        set(&mut all, "AWS_LAMBDA_LOG_STREAM_NAME", stream);
        set(&mut all, "AWS_LAMBDA_RUNTIME_API", endpoint);
        all
    }
}

/// What Lambda sets, over anything else.
fn platform(all: &mut BTreeMap<OsString, OsString>, settings: &Settings, launch: &Launch) {
    set(all, "TZ", ":UTC");
    // Functions find their own files by it, so it is where they really are unless /var/task is that.
    all.insert("LAMBDA_TASK_ROOT".into(), launch.seen(launch.directory.clone()).into());
    set(all, "LAMBDA_RUNTIME_DIR", "/var/runtime");
    set(all, "AWS_LAMBDA_FUNCTION_NAME", &settings.name);
    set(all, "AWS_LAMBDA_FUNCTION_VERSION", &settings.version);
    set(all, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &settings.memory_mb.to_string());
    let group = settings.log_group.clone().unwrap_or_else(|| format!("/aws/lambda/{}", settings.name));
    set(all, "AWS_LAMBDA_LOG_GROUP_NAME", &group);
    for (name, given) in
        [("AWS_LAMBDA_LOG_FORMAT", &settings.log_format), ("AWS_LAMBDA_LOG_LEVEL", &settings.log_level)]
    {
        given.iter().for_each(|value| set(all, name, value));
    }
    // Clients take several invocations at once by the variable alone, so it is there for functions written for it only.
    if let Some(several) = settings.max_concurrency {
        set(all, "AWS_LAMBDA_MAX_CONCURRENCY", &several.to_string());
    }
    if let Some(handler) = &launch.handler {
        set(all, "_HANDLER", handler);
    }
    if let Some(runtime) = &launch.runtime {
        set(all, "AWS_EXECUTION_ENV", &format!("AWS_Lambda_{runtime}"));
    }
    // Two spellings of one address: older X-Ray SDKs read the parts.
    let daemon = all.get(OsStr::new("AWS_XRAY_DAEMON_ADDRESS")).and_then(|at| at.to_str()).map(str::to_owned);
    if let Some((address, port)) = daemon.as_deref().and_then(|at| at.rsplit_once(':')) {
        set(all, "_AWS_XRAY_DAEMON_ADDRESS", address);
        set(all, "_AWS_XRAY_DAEMON_PORT", port);
    }
}

fn set(all: &mut BTreeMap<OsString, OsString>, name: &str, value: &str) {
    all.insert(name.into(), value.into());
}

fn default(all: &mut BTreeMap<OsString, OsString>, name: &str, value: &str) {
    all.entry(name.into()).or_insert_with(|| value.into());
}

/// Names that are the platform's alone; others that look like them are settings of clients and libraries, and the user's.
const RESERVED: [&str; 14] = [
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_MAX_CONCURRENCY",
    "AWS_LAMBDA_METADATA_API",
    "AWS_LAMBDA_METADATA_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "TZ",
];

/// Whether a name is the platform's. Region and credentials are reserved on Lambda too; here whoever gives them is the platform.
fn reserved(name: &str) -> bool {
    name.starts_with('_') || RESERVED.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environments;

    fn variables(host: &[(&str, &str)], given: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
        variables_of(Launch::default(), host, given)
    }

    fn variables_of(
        launch: Launch,
        host: &[(&str, &str)],
        given: &[(&str, &str)],
    ) -> BTreeMap<OsString, OsString> {
        let environment = given.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let settings = Settings { name: "orders".into(), environment, ..Settings::default() };
        let handler = Some("app.handler".into());
        let launch = Launch { directory: "/code".into(), handler, ..launch };
        let host = host.iter().map(|(n, v)| (OsString::from(n), OsString::from(v)));
        let environment = Environments::new(&settings, None).make(0);
        let stream = Variables::log_stream("$LATEST");
        Variables::new(&settings, &launch, host).for_process("127.0.0.1:9", &stream, &environment)
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
    fn a_functions_arn_is_in_its_regions_partition() {
        let host = [("AWS_REGION".into(), "cn-north-1".into())].into_iter();
        let variables = Variables::new(&Settings::default(), &Launch::default(), host);
        assert!(variables.arn().starts_with("arn:aws-cn:lambda:cn-north-1:123456789012:function:"));
    }

    #[test]
    fn reserved_names_are_not_the_users() {
        let host = [
            ("AWS_LAMBDA_RUNTIME_API", "elsewhere"),
            ("AWS_LAMBDA_MAX_CONCURRENCY", "9"),
            ("AWS_REGION", "eu-west-1"),
        ];
        let given =
            [("_HANDLER", "x"), ("_X_AMZN_TRACE_ID", "x"), ("TZ", "CET"), ("AWS_LAMBDA_LOG_FORMAT", "JSON")];
        let all = variables(&host, &given);
        for gone in ["AWS_LAMBDA_MAX_CONCURRENCY", "_X_AMZN_TRACE_ID"] {
            assert_eq!(value(&all, gone), None, "{gone}");
        }
        assert_eq!(value(&all, "AWS_DEFAULT_REGION"), Some("eu-west-1"));
        assert_eq!(value(&all, "_HANDLER"), Some("app.handler"));
        assert_eq!(value(&all, "TZ"), Some(":UTC"));
        assert_eq!(value(&all, "AWS_LAMBDA_LOG_FORMAT"), Some("JSON"));
        assert_eq!(value(&all, "AWS_XRAY_CONTEXT_MISSING"), Some("LOG_ERROR"));
        assert_eq!(value(&all, "AWS_EXECUTION_ENV"), None, "an OS-only runtime has none");
        // Lambda reserves names, not what they begin with.
        let given = [("LAMBDA_STAGE", "prod"), ("AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH", "true")];
        let all = variables(&[], &given);
        assert!(given.iter().all(|(name, set)| value(&all, name) == Some(set)), "{all:?}");
    }

    #[test]
    fn layers_are_on_every_search_path_the_last_first() {
        let made: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
        let folders: Vec<_> = made.iter().map(|layer| layer.path().canonicalize().unwrap()).collect();
        for below in
            ["bin", "lib", "python/lib/python3.12/site-packages", "nodejs/node20/node_modules", "ruby/lib"]
        {
            folders.iter().for_each(|layer| std::fs::create_dir_all(layer.join(below)).unwrap());
        }
        let layers = crate::layers::Layers::find(&folders).unwrap();
        let of = |runtime: &str| {
            let runtime = Some(runtime.to_owned());
            variables_of(
                Launch { layers: layers.clone(), runtime, ..Launch::default() },
                &[("PATH", "/bin")],
                &[],
            )
        };
        let both = |below: &str| format!("{}/{below}:{}/{below}", folders[1].display(), folders[0].display());
        let python = of("python3.12");
        assert!(value(&python, "PATH").unwrap().starts_with(&format!("/bin:{}", both("bin"))));
        assert!(value(&python, "LD_LIBRARY_PATH").unwrap().contains(&both("lib")));
        let expected = format!("{}:{}", both("python/lib/python3.12/site-packages"), both("python"));
        assert!(value(&python, "PYTHONPATH").unwrap().starts_with(&expected), "{python:?}");
        assert_eq!(value(&python, "AWS_EXECUTION_ENV"), Some("AWS_Lambda_python3.12"));
        let node = of("nodejs20.x");
        let expected = format!("{}:/code", both("nodejs/node20/node_modules"));
        assert_eq!(value(&node, "NODE_PATH"), Some(expected.as_str()));
        assert!(value(&of("ruby3.3"), "RUBYLIB").unwrap().contains(&both("ruby/lib")));
        assert_eq!(value(&of("java17"), "CLASSPATH"), Some("/code:/code/lib/*"));
    }

    #[test]
    fn an_x_ray_daemon_is_told_in_both_spellings() {
        let all = variables(&[("AWS_XRAY_DAEMON_ADDRESS", "10.0.0.1:2000")], &[]);
        assert_eq!(value(&all, "_AWS_XRAY_DAEMON_ADDRESS"), Some("10.0.0.1"));
        assert_eq!(value(&all, "_AWS_XRAY_DAEMON_PORT"), Some("2000"));
    }
}
