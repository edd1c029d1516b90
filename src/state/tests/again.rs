//! Tests that run in a process of their own, which may die or see another disk.

use std::{
    env::{current_exe, var_os},
    path::{Path, PathBuf},
    process::Command,
};

const WHERE: &str = "KLR_TEST_STATE";

/// This test binary, to run one test of this module's neighbours in `directory`.
pub(super) fn again(test: &str, directory: &Path) -> Command {
    let mut command = Command::new(current_exe().unwrap());
    command.args(["--exact", &format!("state::tests::{test}"), "--nocapture", "--test-threads", "1"]);
    command.env(WHERE, directory);
    command
}

/// Where such a test works. `None`: it was not started by [`again`], and has nothing to do.
pub(super) fn told() -> Option<PathBuf> {
    var_os(WHERE).map(Into::into)
}
