//! What the command line says of the API: who may call it, whose it is, and what `klr logs` tells of its functions.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use klr_test_support::{client::send, klr::Setup, python::venv, servers::free_ports};

use crate::Stage;

const KLR: &str = env!("CARGO_BIN_EXE_klr");

#[test]
fn unsigned_calls_are_for_loopback() {
    let [port] = free_ports();
    let unsigned = |host: &str| {
        let address = format!("{host}:{port}");
        Setup::run(KLR).args(["--lambda-api", &address, "--lambda-unsigned"]).start()
    };
    let mut open = unsigned("0.0.0.0");
    assert_eq!(open.wait_exit(Duration::from_secs(60)), Some(2));
    assert!(open.stderr().contains("--lambda-unsigned: only on loopback"), "{}", open.stderr());

    let mut own = unsigned("127.0.0.1");
    own.wait_ready();
    let asked = |headers: &[(&str, &str)]| {
        send("GET", &format!("127.0.0.1:{port}/2015-03-31/functions"), headers, "").unwrap().status
    };
    assert_eq!(asked(&[]), 200);
    // A page somebody's browser shows, and a name that somebody else points here.
    assert_eq!(asked(&[("origin", "http://example.com")]), 403);
    assert_eq!(asked(&[("host", &format!("example.com:{port}"))]), 403);
}

#[test]
fn account_region_keys_and_rate() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let profile =
        |name, secret| format!("[{name}]\naws_access_key_id = {name}\naws_secret_access_key = {secret}\n");
    std::fs::write(&keys, profile("first", "one") + &profile("second", "two")).unwrap();
    let told = ["--lambda-account", "111122223333", "--lambda-region", "eu-west-1", "--lambda-rate", "10"];
    let told = [&told[..], &["--lambda-keys", keys.to_str().unwrap()]].concat();
    let Some(stage) = Stage::told(&told, &[]) else { return };
    stage.play("test_settings.py");
}

#[test]
fn a_functions_log() {
    let Some(stage) = Stage::start(&[]) else { return };
    let Some(python) = venv(&["boto3", "pytest"]) else { return };
    let call = |script: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lambda_api");
        let script = format!("from conftest import *\nlam = client('lambda')\n{script}");
        let mut python = stage.caller(python.join("bin/python"));
        let output = python.args(["-B", "-c", &script]).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{output:?}\n{}", stage.bridge.stderr());
    };
    let logs = |arguments: &[&str]| {
        let mut klr = Command::new(KLR);
        klr.args(["logs", "--admin", &stage.bridge.admin()]).args(arguments).stdout(Stdio::piped());
        klr
    };
    call(
        "lam.create_function(FunctionName='told', Runtime='python3.12', Handler='app.handler', Role=ROLE, \
         Code={'ZipFile': make_zip(app__py='def handler(event, context):\\n    print(event)\\n')})\n\
         lam.get_waiter('function_active_v2').wait(FunctionName='told', WaiterConfig={'Delay': 1})\n\
         lam.invoke(FunctionName='told', Payload=b'\"first\"')",
    );
    let kept = logs(&["told"]).output().unwrap();
    let kept = String::from_utf8(kept.stdout).unwrap();
    let about = |line: &str| line.split_once(' ').map(|(_, record)| record.to_owned());
    let records: Vec<_> = kept.lines().filter_map(about).collect();
    let first = records.iter().position(|record| record == "first").unwrap();
    assert!(records[first - 1].starts_with("START RequestId: "), "{kept}");
    assert!(records[first + 1].starts_with("END RequestId: "), "{kept}");
    assert_eq!(logs(&["nobody"]).output().unwrap().status.code(), Some(1));

    let mut following = logs(&["told", "-f", "--tail", "0"]).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines().map(Result::unwrap);
    let heard = std::thread::spawn(move || lines.any(|line| line.ends_with(" second")));
    // It may have begun to follow a little later: what is said again is heard at last.
    for _ in (0..20).take_while(|_| !heard.is_finished()) {
        call("lam.invoke(FunctionName='told', Payload=b'\"second\"')");
    }
    following.kill().unwrap();
    following.wait().unwrap();
    assert!(heard.join().unwrap());
}
