use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr, time::Duration};

use crate::{Error, logs::Record};

/// Lambda's longest timeout.
const LONGEST: Duration = Duration::from_secs(900);
/// Lambda's limit on a function's variables.
const LARGEST_ENVIRONMENT: usize = 4096;

/// What to run, and how.
#[derive(Clone)]
pub struct Settings {
    /// The function's name: what Invoke API callers use, and what the function reads in its environment.
    pub name: String,
    /// The version it is, `$LATEST` or a number: what the function, its callers and its log are told.
    pub version: String,
    /// The AWS account it is said to be in. `None`: a made-up one.
    pub account: Option<String>,
    /// The region it is told it is in. `None`: the environment's, or us-east-1.
    pub region: Option<String>,
    /// The runtime client and its arguments. Empty: found by `runtime`, or the `bootstrap` Lambda would find.
    pub command: Vec<String>,
    /// `python3.X` or `provided*`; of no effect beside a `command`, except on what the function is told.
    pub runtime: Option<String>,
    /// The ARN of the runtime's build, where one was told.
    pub runtime_version_arn: Option<String>,
    /// What becomes of a function whose runtime is here in another version than it asks for.
    pub other_version: OtherVersion,
    /// The handler. A managed runtime needs it; beside a `command` it defaults to the last argument.
    pub handler: Option<String>,
    /// The code: the process's working directory. `None`: ours.
    pub directory: Option<PathBuf>,
    /// How long one invocation may take. At most 900 s.
    pub timeout: Duration,
    /// How many processes there may be at once.
    pub concurrency: usize,
    /// How many invocations may wait for each that may run. What comes beyond is turned away.
    pub waiting: usize,
    /// How long one may wait for its turn, a process's start included. `None`: the function's timeout.
    pub patience: Option<Duration>,
    /// Start a process ahead of the next caller while all there are have work.
    pub ahead: bool,
    /// How many processes there are at all times, whether anybody calls or not. 0: they are started when they are wanted.
    pub kept: usize,
    /// How many processes, the first, are told that they are provisioned (provisioned concurrency).
    pub provisioned: usize,
    /// How many invocations one process may have at once (`AWS_LAMBDA_MAX_CONCURRENCY`). Only for functions written for
    /// it. `None`: one, and the function is told nothing.
    pub max_concurrency: Option<usize>,
    /// How many threads serve callers and processes. The first is whatever runs the host; a runtime of one thread is best.
    pub threads: usize,
    /// Tell the function that it is restored from a snapshot (it is not), so that its hooks run.
    pub snap_start: bool,
    /// What the function is told it has.
    pub memory_mb: u32,
    /// Make it the limit of each process with its children, where the system lets us (control groups, writable).
    /// The host moves itself into a group of its own for it.
    pub enforce_memory: bool,
    /// The function's own variables, at most 4 KB of them. Reserved names are ignored, as on Lambda.
    pub environment: Vec<(String, String)>,
    /// A function without a program, or with one that cannot be run, is no error: it starts, and each invocation fails, as on
    /// Lambda.
    pub fault_at_start: bool,
    /// More variables of the platform's, as if they were in the host's own environment: credentials, say.
    pub platform: Vec<(String, String)>,
    /// What the function gets of the host's own environment.
    pub inherit: Inherit,
    /// Unpacked layers, in order: what a later one has wins. They stand for what Lambda would have merged into `/opt`.
    pub layers: Vec<PathBuf>,
    /// What the processes see where Lambda has it, read-only, where the machine allows it: in a mount namespace of their own (the
    /// module `mount` says how). What they do not see so, search paths and variables name where it lies.
    pub mount: Mount,
    /// Where each environment gets a folder that it sees as its own `/tmp`, where `mount` works and nothing in the machine's
    /// `/tmp` is needed. It goes with the environment. `None`: they share the machine's.
    pub temporary: Option<PathBuf>,
    /// What a CloudEvent is answered with.
    pub reply: Reply,
    /// Accept before the first process has initialised.
    pub lazy: bool,
    /// Take HTTP requests that are neither CloudEvents nor Invoke API calls to the function as a Function URL does
    /// (payload format 2.0).
    pub http_events: bool,
    /// Hand the CloudEvent's attributes to the function, as `custom` of its client context.
    pub cloudevent_context: bool,
    /// Where the function's output goes.
    pub logs: Logs,
    /// What the function is told its log group is. `None`: `/aws/lambda/` and its name.
    pub log_group: Option<String>,
    /// `JSON` or `Text`: what the function is told, and how the platform's own records are written. `None`: as the function's
    /// own variables say.
    pub log_format: Option<String>,
    /// The least level of the function's own records, where the log's format is JSON. `None`: as its variables say.
    pub log_level: Option<String>,
    /// The least level of the platform's own records, where the log's format is JSON (`DEBUG`, `INFO`, `WARN`).
    pub system_log_level: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "function".to_owned(),
            version: "$LATEST".to_owned(),
            account: None,
            region: None,
            command: Vec::new(),
            runtime: None,
            runtime_version_arn: None,
            other_version: OtherVersion::Told,
            handler: None,
            directory: None,
            timeout: Duration::from_secs(3),
            concurrency: 1,
            waiting: 10,
            patience: None,
            ahead: true,
            kept: 0,
            provisioned: 0,
            max_concurrency: None,
            threads: 1,
            snap_start: false,
            memory_mb: 128,
            enforce_memory: false,
            environment: Vec::new(),
            platform: Vec::new(),
            inherit: Inherit::Needed,
            layers: Vec::new(),
            fault_at_start: false,
            mount: Mount::Nothing,
            temporary: None,
            reply: Reply::Auto,
            lazy: false,
            http_events: false,
            cloudevent_context: false,
            logs: Logs::Inherit,
            log_group: None,
            log_format: None,
            log_level: None,
            system_log_level: None,
        }
    }
}

/// Without the values of the environment: there are secrets among them.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("name", &self.name)
            .field("command", &self.command)
            .field("runtime", &self.runtime)
            .field("handler", &self.handler)
            .field("directory", &self.directory)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// With what the function's variables say about it, which is how functions written for it are deployed.
    pub(crate) fn with_max_concurrency(mut self) -> Result<Self, Error> {
        const NAME: &str = "AWS_LAMBDA_MAX_CONCURRENCY";
        let Some(place) = self.environment.iter().rposition(|(name, _)| name == NAME) else {
            return Ok(self);
        };
        let (_, got) = self.environment.remove(place);
        if self.max_concurrency.is_none() {
            let wrong = |_| Error::Setting { field: NAME, expected: "1 to 10000", got: got.clone() };
            self.max_concurrency = Some(got.parse().map_err(wrong)?);
        }
        Ok(self)
    }

    /// The limits Lambda sets on what is set here.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let named = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(named) {
            let expected = "1 to 64 letters, digits, hyphens or underscores";
            return Err(Error::Setting { field: "name", expected, got: self.name.clone() });
        }
        let numbered = !self.version.is_empty() && self.version.chars().all(|c| c.is_ascii_digit());
        if self.version != "$LATEST" && !numbered {
            let expected = "$LATEST or a number";
            return Err(Error::Setting { field: "version", expected, got: self.version.clone() });
        }
        if self.timeout.is_zero() || self.timeout > LONGEST {
            let got = format!("{:?}", self.timeout);
            return Err(Error::Setting { field: "timeout", expected: "more than 0 s, at most 900 s", got });
        }
        // Above Lambda's account limit (1000), below what a machine has ports for.
        let several = |n: usize| (1..=10_000).contains(&n);
        for (field, n) in [("concurrency", Some(self.concurrency)), ("max_concurrency", self.max_concurrency)]
        {
            if let Some(n) = n.filter(|n| !several(*n)) {
                return Err(Error::Setting { field, expected: "1 to 10000", got: n.to_string() });
            }
        }
        // A NUL or an `=` in a name would make the process impossible to start, long after the mistake.
        for (name, value) in &self.environment {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                let expected = "a name without `=`, and neither name nor value with NUL";
                return Err(Error::Setting { field: "environment", expected, got: name.clone() });
            }
        }
        self.check_size()
    }

    /// Lambda's limit on a function's variables, measured as it measures them: as a JSON object.
    fn check_size(&self) -> Result<(), Error> {
        let variables: BTreeMap<_, _> = self.environment.iter().map(|(name, value)| (name, value)).collect();
        let bytes = serde_json::to_vec(&variables).expect("strings are always JSON").len();
        if !variables.is_empty() && bytes > LARGEST_ENVIRONMENT {
            return Err(Error::Environment { bytes, limit: LARGEST_ENVIRONMENT });
        }
        Ok(())
    }
}

/// What becomes of a function whose runtime is installed in another version than it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OtherVersion {
    /// It runs, and is told what it runs on.
    #[default]
    Told,
    /// It runs, and is told what it asked for.
    Posing,
    /// It does not run.
    Refused,
}

/// How much of the host's environment is the function's too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Inherit {
    /// Where programs and libraries are, whom to trust, and how to reach AWS: the host is a program of its own.
    #[default]
    Needed,
    /// All but what is the host's own (`PORT`, `K_*`, `KLR_*`) or Kubernetes' (service variables): the host is the entry
    /// point of a function image, so what the image and the Knative Service set was meant for the function.
    Image,
}

/// What the function's processes see where Lambda has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mount {
    /// Nothing: all is where it lies.
    #[default]
    Nothing,
    /// The layers at `/opt`.
    Layers,
    /// The layers at `/opt`, and the code at `/var/task`: what is beside its folder is out of reach of `..`.
    All,
}

impl FromStr for Mount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::Nothing),
            "layers" => Ok(Self::Layers),
            "all" => Ok(Self::All),
            _ => Err("expected none, layers or all".to_owned()),
        }
    }
}

/// What a CloudEvent is answered with when the function succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reply {
    /// The function's reply; nothing to a request with `Prefer: reply`. That is how a Broker asks, and it takes any
    /// non-empty body that is no CloudEvent for a failed delivery.
    #[default]
    Auto,
    /// The function's reply, whoever asks.
    Always,
    /// The function's reply as the data of a CloudEvent.
    Event,
    /// Nothing.
    Never,
}

impl FromStr for Reply {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "event" => Ok(Self::Event),
            "never" => Ok(Self::Never),
            _ => Err("expected auto, always, event or never".to_owned()),
        }
    }
}

/// Where the log goes: what the function and its extensions write, and the platform's own records.
#[derive(Debug, Clone, Default)]
pub enum Logs {
    /// To our standard output, as they are, with the platform's own lines among them.
    #[default]
    Inherit,
    /// Into our own log, an event a line, with this name for `function`.
    Traced(String),
    /// To an embedder, record by record, the platform's own among them. The function is held up while nobody takes them; the
    /// platform's are dropped then.
    Records(tokio::sync::mpsc::Sender<Record>),
    /// Nowhere. (The Invoke API's log tail has them still.)
    Quiet,
}
