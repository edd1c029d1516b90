//! What tests need built or installed: made once, kept in `KLR_CACHE`, by the scripts that say how.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use klr_host::Settings;

/// A Python with these packages. `None`, loudly, where it cannot be had; under `CI=true` a panic.
pub fn venv(packages: &[&str]) -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/servers/venv.sh");
    made(Command::new(script).args(packages))
}

/// The code directory of a test function, `tests/clients/NAME`, with its runtime client. `None` as above.
pub fn client(name: &str) -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/build.sh");
    made(Command::new(script).arg(name))
}

/// What differs between the clients where one of their functions is to be run.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// Its folder in `tests/clients`.
    pub name: &'static str,
    pub runtime: &'static str,
    pub handler: &'static str,
}

pub const PYTHON: Client = Client { name: "python", runtime: "python3.11", handler: "app.handler" };
pub const NODE: Client = Client { name: "node", runtime: "nodejs20.x", handler: "index.handler" };
pub const GO: Client = Client { name: "go", runtime: "provided.al2023", handler: "none" };
pub const RUST: Client = Client { name: "rust", runtime: "provided.al2023", handler: "none" };
pub const JAVA: Client = Client { name: "java", runtime: "java17", handler: "example.Fn::handleRequest" };
pub const SHELL: Client = Client { name: "shell", runtime: "provided", handler: "none" };

impl Client {
    /// With another handler.
    pub const fn with(self, handler: &'static str) -> Self {
        Self { handler, ..self }
    }

    /// What runs its function. `None` as above.
    pub fn settings(self) -> Option<Settings> {
        Some(self.with_code(&client(self.name)?))
    }

    /// What runs its function, which is in that folder.
    pub fn with_code(self, code: &Path) -> Settings {
        Settings {
            runtime: Some(self.runtime.into()),
            handler: Some(self.handler.into()),
            directory: Some(code.to_owned()),
            timeout: Duration::from_secs(60),
            logs: klr_host::Logs::Quiet,
            ..Settings::default()
        }
    }
}

/// Runs a script that prints the path of what it made, and exits with 3 where this machine lacks something for it.
fn made(command: &mut Command) -> Option<PathBuf> {
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => return Some(String::from_utf8(output.stdout).unwrap().trim().into()),
        Some(3) => {}
        _ => panic!("{command:?}: {told}"),
    }
    assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "{command:?}: {told}");
    eprintln!("SKIP: {command:?}: {told}");
    None
}
