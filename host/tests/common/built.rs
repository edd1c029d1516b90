//! What tests need built or installed: made once, kept in `KLR_CACHE`, by the scripts that say how.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

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
