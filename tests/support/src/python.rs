//! Python, with packages.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::servers::unavailable;

/// A virtual environment with these packages (`awslambdaric`, `boto3==1.40`), made once per machine; its interpreter is
/// `bin/python` under the answer. `None`: no Python, or no way to the packages.
pub fn venv(packages: &[&str]) -> Option<PathBuf> {
    let output = Command::new(crate::workspace().join("tests/servers/venv.sh"))
        .args(packages)
        .stderr(Stdio::inherit())
        .output()
        .expect("bash runs the script");
    if output.status.success() {
        let path = String::from_utf8(output.stdout).expect("a path of ours is UTF-8");
        return Some(PathBuf::from(path.trim_end()));
    }
    assert_eq!(
        output.status.code(),
        Some(3),
        "no environment with {packages:?}; the script's words are above"
    );
    unavailable("Python", &format!("no environment with {packages:?}; the script says why above"));
    None
}
