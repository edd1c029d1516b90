//! Promise: `klr mappings` and `klr export` tell what a bridge maps, and what they tell can be run again.

#![cfg(feature = "sqs")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::io::Write;
use std::process::{Command, Stdio};

use klr_test_support::klr::Setup;
use klr_test_support::servers::free_ports;
use serde_json::{Value, json};

const KLR: &str = env!("CARGO_BIN_EXE_klr");

const MAPPINGS: &str = "apiVersion: klr.dev/v1alpha1
kind: EventSourceMapping
metadata: {name: orders}
spec:
  eventSourceArn: arn:aws:sqs:us-east-1:123456789012:orders
  functionName: process-orders:live
  enabled: false
  batchSize: 20
  maximumBatchingWindowInSeconds: 5
  filterCriteria: {filters: [{pattern: '{\"body\":{\"kind\":[\"order\"]}}'}]}
  endpoint: http://localhost:9
  sink: {uri: \"http://localhost:9\"}
---
apiVersion: klr.dev/v1alpha1
kind: EventSourceMapping
metadata: {name: more}
spec:
  eventSourceArn: arn:aws:sqs:us-east-1:123456789012:more
  functionName: more
  enabled: false
  tags: {team: '007'}
  sink: {uri: \"http://localhost:9\"}
";

/// Exit code, stdout, stderr.
fn klr(args: &[&str], stdin: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(KLR);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code(), stdout, stderr)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_running_bridge_tells_what_it_maps() {
    let mut bridge = Setup::run(KLR).resources("mappings.yaml", MAPPINGS).start();
    bridge.wait_ready();
    let admin = bridge.admin();
    let (code, listed, _) = klr(&["mappings", "--admin", &admin, "--format", "json"], "");
    let listed = lines(&listed);
    assert_eq!((code, listed.len()), (Some(0), 2));
    assert_eq!(listed[1]["name"], "orders");
    assert!(listed[1]["origin"].as_str().unwrap().ends_with("mappings.yaml:4"), "{}", listed[1]);
    assert_eq!(
        [&listed[1]["eventSource"], &listed[1]["functionName"], &listed[1]["state"]],
        ["arn:aws:sqs:us-east-1:123456789012:orders", "process-orders:live", "Disabled"]
    );
    let (_, table, _) = klr(&["mappings", "--admin", &admin], "");
    assert!(table.starts_with("NAME    SOURCE") && table.lines().count() == 3, "{table}");

    let (code, exported, _) = klr(&["export", "--admin", &admin], "");
    assert_eq!(code, Some(0));
    assert_eq!(klr(&["validate", "-"], &exported).0, Some(0), "{exported}");
    let requests = |args: &[&str], stdin: &str| {
        let (code, told, _) = klr(&[&["export", "--to", "esm"], args].concat(), stdin);
        assert_eq!(code, Some(0));
        let mut requests: Vec<String> = told.lines().map(str::to_owned).collect();
        requests.sort_unstable();
        requests
    };
    assert_eq!(requests(&["--admin", &admin], ""), requests(&["-f", "-"], MAPPINGS));
    assert_eq!(requests(&["-f", "-"], &exported), requests(&["-f", "-"], MAPPINGS));
}

#[test]
fn a_file_is_told_as_awss_api_takes_it() {
    let (code, told, left_out) = klr(&["export", "--to", "esm", "-f", "-"], MAPPINGS);
    assert_eq!(code, Some(0));
    assert_eq!(
        lines(&told)[0],
        json!({
            "EventSourceArn": "arn:aws:sqs:us-east-1:123456789012:orders",
            "FunctionName": "process-orders:live",
            "Enabled": false,
            "BatchSize": 20,
            "MaximumBatchingWindowInSeconds": 5,
            "FilterCriteria": {"Filters": [{"Pattern": "{\"body\":{\"kind\":[\"order\"]}}"}]},
        })
    );
    assert_eq!(lines(&told)[1]["Tags"], json!({"team": "007"}));
    assert!(
        left_out.contains("EventSourceMapping orders: spec.endpoint: AWS has no such setting"),
        "{left_out}"
    );
    let (code, _, wrong) = klr(&["export", "-f", "-"], &MAPPINGS.replace("batchSize: 20", "batchSize: 0"));
    assert_eq!(code, Some(2), "{wrong}");
    assert!(wrong.contains("spec.batchSize"), "{wrong}");
}

#[test]
fn nobody_there_is_said() {
    let [port] = free_ports();
    for verb in ["mappings", "functions", "export"] {
        let (code, _, said) = klr(&[verb, "--admin", &format!("127.0.0.1:{port}")], "");
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("expected a running bridge at"), "{said}");
    }
}
