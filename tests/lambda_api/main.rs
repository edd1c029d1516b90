//! Promise: the tools people have (boto3, the AWS CLI, Go's SDK) drive klr-bridge as they drive Lambda.
//!
//! Each of the Python files here is played by pytest against a bridge of its own, with real servers where it asks for
//! them; conftest.py holds every answer against botocore's model of the API.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cli;

use std::{path::Path, process::Command};

use klr_test_support::{
    built,
    klr::{Bridge, Setup},
    python::venv,
    servers::{DynamoDbLocal, ElasticMq, Kafka, KinesisMock, Moto, free_ports},
    sqs::Queue,
};

/// Whom a bridge stands for if it is told nothing.
const ACCOUNT: &str = "000000000000";
const REGION: &str = "us-east-1";

/// A bridge with the Lambda API open, and what its callers need to know.
struct Stage {
    bridge: Bridge,
    endpoint: String,
    environment: Vec<(String, String)>,
}

impl Stage {
    /// `servers`: endpoints by the name AWS's variables have for them (`SQS`). `None`: no Python or Node.js here.
    fn start(servers: &[(&str, &str)]) -> Option<Self> {
        Self::told(&[], servers)
    }

    /// The same, with more arguments.
    fn told(arguments: &[&str], servers: &[(&str, &str)]) -> Option<Self> {
        let (python, node) = (venv(&["awslambdaric", "boto3"])?, built::node_client()?);
        let [port] = free_ports();
        let address = format!("127.0.0.1:{port}");
        let mut setup = Setup::run(env!("CARGO_BIN_EXE_klr"))
            .args(["--lambda-api", &address, "--runtime-fallback"])
            .args(arguments.iter().copied())
            .env("KLR_PYTHON", python.join("bin/python").to_str().unwrap())
            .env("KLR_NODE_RIC", node.to_str().unwrap());
        let mut environment = vec![("AWS_ENDPOINT_URL_LAMBDA".to_owned(), format!("http://{address}"))];
        for (service, endpoint) in servers {
            let name = format!("AWS_ENDPOINT_URL_{service}");
            setup = setup.env(&name, endpoint);
            environment.push((name, (*endpoint).to_owned()));
        }
        let mut bridge = setup.start();
        bridge.wait_ready();
        Some(Self { bridge, endpoint: format!("http://{address}"), environment })
    }

    /// A program that calls it, as its user.
    fn caller(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_REGION", REGION)
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    /// Plays one file of tests.
    fn play(&self, file: &str) {
        let Some(python) = venv(&["boto3", "pytest", "kafka-python"]) else { return };
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lambda_api"));
        let output = self
            .caller(python.join("bin/python"))
            .args(["-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", file])
            .current_dir(folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}\n=== klr at {}:\n{}", self.endpoint, self.bridge.stderr());
        eprintln!("{said}");
    }
}

/// A file of tests that need nothing but the API.
macro_rules! plays {
    ($($name:ident)+) => {$(
        #[test]
        fn $name() {
            let Some(stage) = Stage::start(&[]) else { return };
            stage.play(concat!("test_", stringify!($name), ".py"));
        }
    )+};
}

plays! {
    functions versions aliases tags layers permissions concurrency event_config urls code invoke failures environments
}

#[test]
fn logs() {
    let Some(moto) = Moto::shared() else { return };
    let Some(stage) = Stage::start(&[("CLOUDWATCH_LOGS", &moto.endpoint)]) else { return };
    stage.play("test_logs.py");
}

#[test]
fn asynchronous() {
    let (Some(queues), Some(moto)) = (ElasticMq::shared(), Moto::shared()) else { return };
    let mut servers = vec![("SQS", &*queues.endpoint)];
    servers.extend(["S3", "SNS", "EVENTBRIDGE"].map(|service| (service, &*moto.endpoint)));
    let Some(stage) = Stage::told(&["--async-retry-delay", "500ms"], &servers) else { return };
    stage.play("test_async.py");
}

#[test]
fn buckets() {
    let Some(moto) = Moto::shared() else { return };
    let Some(stage) = Stage::start(&[("S3", &moto.endpoint)]) else { return };
    stage.play("test_buckets.py");
}

#[test]
fn runtimes() {
    let (Some(go), Some(java)) = (built::go("host/tests/clients/go"), built::java()) else { return };
    let Some(mut stage) = Stage::start(&[]) else { return };
    let folders = [("GO", go), ("JAVA", java)];
    let named = folders.map(|(name, folder)| (name.to_owned(), folder.to_str().unwrap().to_owned()));
    stage.environment.extend(named);
    stage.play("test_runtimes.py");
}

/// The servers of every source a mapping may have here.
fn sources() -> Option<[(&'static str, &'static str); 4]> {
    let (queues, streams, tables) = (ElasticMq::shared()?, KinesisMock::shared()?, DynamoDbLocal::shared()?);
    Some([
        ("SQS", &queues.endpoint),
        ("KINESIS", &streams.endpoint),
        ("DYNAMODB", &tables.endpoint),
        ("DYNAMODB_STREAMS", &tables.endpoint),
    ])
}

#[test]
fn mappings() {
    let Some(sources) = sources() else { return };
    let Some(stage) = Stage::start(&sources) else { return };
    stage.play("test_mappings.py");
}

#[test]
fn kafka() {
    let (Some(queues), Some(kafka)) = (ElasticMq::shared(), Kafka::shared()) else { return };
    let servers = [("SQS", &*queues.endpoint)];
    let Some(mut stage) = Stage::start(&servers) else { return };
    stage.environment.push(("KAFKA".to_owned(), kafka.bootstrap.clone()));
    stage.play("test_kafka.py");
}

/// Go's SDK sends other headers than Python's, and signs more of them.
#[test]
fn a_program_in_go() {
    let Some(queues) = ElasticMq::shared() else { return };
    let Some(stage) = Stage::start(&[("SQS", &queues.endpoint)]) else { return };
    let Some(caller) = built::go("tests/lambda_api/go") else { return };
    let arn = Queue::standard(&queues.endpoint, "from-go", 30).arn();
    let output = stage.caller(caller.join("bootstrap")).arg(arn).output().unwrap();
    assert!(output.status.success(), "{output:?}\n{}", stage.bridge.stderr());
    let gone = format!("gone Function not found: arn:aws:lambda:{REGION}:{ACCOUNT}:function:from-go");
    let said = [
        "made Pending 1",
        r#"replied 200 $LATEST {"got": {"n": 1}}"#,
        "mapped Creating 5",
        "enabled",
        "version $LATEST",
        "version 1",
        &gone,
    ];
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().collect::<Vec<_>>(), said);
}

#[test]
fn the_command_line_and_a_restart() {
    let Some(mut stage) = Stage::start(&[]) else { return };
    let Some(tools) = venv(&["boto3", "awscli"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let zip = folder.path().join("code.zip");
    let code = "def handler(event, context):\n    return {'got': event}\n";
    let make = "import sys, zipfile\nzipfile.ZipFile(sys.argv[1], 'w').writestr('app.py', sys.argv[2])";
    let made = Command::new(tools.join("bin/python")).args(["-c", make]).arg(&zip).arg(code).status();
    assert!(made.unwrap().success());
    let aws = |stage: &Stage, arguments: &[&str]| {
        let output = stage.caller(tools.join("bin/aws")).arg("lambda").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}\n{}", stage.bridge.stderr());
        String::from_utf8(output.stdout).unwrap()
    };
    let file = format!("fileb://{}", zip.display());
    let role = format!("arn:aws:iam::{ACCOUNT}:role/any");
    let create = ["create-function", "--function-name", "cli", "--runtime", "python3.12", "--handler"];
    aws(&stage, &[&create[..], &["app.handler", "--role", &role, "--zip-file", &file]].concat());
    aws(&stage, &["wait", "function-active-v2", "--function-name", "cli"]);
    aws(&stage, &["publish-version", "--function-name", "cli"]);
    aws(&stage, &["create-alias", "--function-name", "cli", "--name", "live", "--function-version", "1"]);
    let reply = folder.path().join("reply");
    let payload = ["--payload", r#"{"n":1}"#];
    let invoke = |stage: &Stage| {
        let call = ["invoke", "--function-name", "cli:live", reply.to_str().unwrap()];
        let told = aws(stage, &[&call[..], &payload].concat());
        assert!(told.contains(r#""ExecutedVersion": "1""#), "{told}");
        assert_eq!(std::fs::read_to_string(&reply).unwrap(), r#"{"got": {"n": 1}}"#);
    };
    invoke(&stage);
    stage.bridge.kill9();
    stage.bridge.start_again();
    stage.bridge.wait_ready();
    invoke(&stage);
    assert!(aws(&stage, &["list-functions"]).contains("function:cli"));
}

#[test]
fn who_has_not_the_key_is_refused() {
    let Some(stage) = Stage::start(&[]) else { return };
    let Some(python) = venv(&["boto3", "pytest"]) else { return };
    let script = "import boto3, sys\nc = boto3.client('lambda', aws_access_key_id=sys.argv[1], aws_secret_access_key=sys.argv[2])\n\
                  try: c.list_functions()\nexcept Exception as e: print(e.response['Error']['Code'], e.response['ResponseMetadata']['HTTPStatusCode'])\n\
                  else: print('let in')";
    let called = |id: &str, secret: &str| {
        let output =
            stage.caller(python.join("bin/python")).args(["-c", script, id, secret]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(called("test", "test"), "let in");
    assert_eq!(called("test", "guessed"), "InvalidSignatureException 403");
    assert_eq!(called("other", "test"), "UnrecognizedClientException 403");
}
