//! Tests that run in a process of their own, which may die or see another disk.

use std::{
    env::{current_exe, var, var_os},
    path::{Path, PathBuf},
    process::Command,
};

const WHERE: &str = "KLR_TEST_QUEUE";
const FIRST: &str = "KLR_TEST_QUEUE_FIRST";

/// This test binary, to run one test of this module's neighbours in `directory`, its events numbered from `first`.
pub(super) fn again(test: &str, directory: &Path, first: u64) -> Command {
    let mut command = Command::new(current_exe().unwrap());
    command.args(["--exact", &format!("queue::tests::{test}"), "--nocapture", "--test-threads", "1"]);
    command.env(WHERE, directory).env(FIRST, first.to_string());
    command
}

/// Where such a test works. `None`: it was not started by [`again`], and has nothing to do.
pub(super) fn told() -> Option<(PathBuf, u64)> {
    Some((var_os(WHERE)?.into(), var(FIRST).ok()?.parse().ok()?))
}
