//! A bridge is started, watched and ended; a shell script plays the binary.

#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::time::Duration;

use klr_test_support::klr::{Bridge, Setup};

fn start(script: &str) -> (Bridge, tempfile::TempDir) {
    // One after the other: what the other test forks has this one's script open for writing until it executes its own.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("klr");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    (Setup::run(&program).resources("orders.yaml", "kind: X").start(), dir)
}

#[test]
fn it_gets_its_arguments_and_exits() {
    let (mut bridge, _dir) = start(r#"echo "$@"; cat orders.yaml; echo oops >&2; exit 7"#);
    assert_eq!(bridge.wait_exit(Duration::from_secs(5)), Some(7));
    assert!(bridge.stdout().starts_with("run --admin 127.0.0.1:"), "{}", bridge.stdout());
    assert!(bridge.stdout().ends_with("kind: X") && bridge.stderr() == "oops\n");
}

#[test]
fn it_can_be_told_to_leave_killed_and_started_again() {
    let (mut bridge, _dir) =
        start("trap 'exit 0' TERM; echo up; i=0; while :; do i=$((i+1)); [ $((i % 100000)) ] ; done");
    assert!(klr_test_support::eventually(Duration::from_secs(5), || bridge.cpu_seconds() > 0.05));
    assert!(bridge.rss_bytes() > 100_000 && bridge.peak_rss_bytes() >= bridge.rss_bytes());
    assert!(!bridge.ready());
    bridge.kill9();
    assert_eq!(bridge.wait_exit(Duration::ZERO), None, "a signal is no exit code");
    bridge.start_again();
    assert!(klr_test_support::eventually(Duration::from_secs(5), || bridge.stdout() == "up\nup\n"));
    bridge.sigterm();
    assert_eq!(bridge.wait_exit(Duration::from_secs(5)), Some(0));
}
