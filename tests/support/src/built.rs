//! What scripts install or build: once per machine, kept in `KLR_CACHE`.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::servers::unavailable;
use crate::workspace;

/// A program in Go, whose source is in this folder of the checkout; it is `bootstrap` under the answer. `None`: no Go, or no
/// way to its modules.
pub fn go(source: &str) -> Option<PathBuf> {
    let script = workspace().join("host/tests/clients/build.sh");
    made("Go", Command::new(script).arg("go").arg(workspace().join(source)))
}

/// The host's test function in Java, with its runtime client. `None`: no Java, or no Maven.
pub fn java() -> Option<PathBuf> {
    let script = workspace().join("host/tests/clients/build.sh");
    made("Java", Command::new(script).arg("java"))
}

/// The runtime client of Node.js, compiled: what `KLR_NODE_RIC` is to be. `None`: no Node.js, or no compiler.
pub fn node_client() -> Option<PathBuf> {
    let script = workspace().join("host/tests/clients/build.sh");
    Some(made("Node.js", Command::new(script).arg("node"))?.join("node_modules/.bin/aws-lambda-ric"))
}

/// The path a script prints; it exits with 3 where this machine lacks something for it.
pub(crate) fn made(what: &str, script: &mut Command) -> Option<PathBuf> {
    let output = script.stderr(Stdio::inherit()).output().expect("bash runs the script");
    if output.status.success() {
        let path = String::from_utf8(output.stdout).expect("a path of ours is UTF-8");
        return Some(PathBuf::from(path.trim_end()));
    }
    assert_eq!(output.status.code(), Some(3), "{script:?} failed; its words are above");
    unavailable(what, &format!("{script:?} says why above"));
    None
}
