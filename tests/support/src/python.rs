//! Python, with packages.

use std::path::PathBuf;
use std::process::Command;

use crate::built::made;
use crate::workspace;

/// A virtual environment with these packages (`awslambdaric`, `boto3==1.40`), made once per machine; its interpreter is
/// `bin/python` under the answer. `None`: no Python, or no way to the packages.
pub fn venv(packages: &[&str]) -> Option<PathBuf> {
    made("Python", Command::new(workspace().join("tests/servers/venv.sh")).args(packages))
}
