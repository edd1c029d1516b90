//! Promise: the tools people have (boto3, the AWS CLI, Go's SDK) drive klr-bridge as they drive Lambda.
//!
//! Each of the Python files here is played by pytest against a bridge of its own, with real servers where it asks for
//! them; conftest.py holds every answer against botocore's model of the API.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{path::Path, process::Command};

use klr_test_support::{
    klr::{Bridge, Setup},
    python::venv,
    servers::free_ports,
};

/// The account a bridge stands for if it is told nothing.
const REGION: &str = "us-east-1";

/// A bridge with the Lambda API open, and what its callers need to know.
struct Stage {
    bridge: Bridge,
    endpoint: String,
    environment: Vec<(String, String)>,
}

impl Stage {
    /// `servers`: endpoints by the name AWS's variables have for them (`SQS`). `None`: no Python here.
    fn start(servers: &[(&str, &str)]) -> Option<Self> {
        let functions = venv(&["awslambdaric", "boto3"])?;
        let [port] = free_ports();
        let address = format!("127.0.0.1:{port}");
        let mut setup = Setup::run(env!("CARGO_BIN_EXE_klr"))
            .args(["--lambda-api", &address, "--runtime-fallback"])
            .env("KLR_PYTHON", functions.join("bin/python").to_str().unwrap());
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
        let Some(python) = venv(&["boto3", "pytest"]) else { return };
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

plays! { functions }
