//! Promise: `klr pattern test` says of a pattern and an event what AWS would, and why, as cli.md has it.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::io::Write;
use std::process::{Command, Stdio};

use klr_test_support::fixtures;
use serde_json::{Value, json};

/// Exit code, stdout, stderr.
fn test(args: &[&str], stdin: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_klr"))
        .args(["pattern", "test"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = stdin.to_owned();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code().unwrap(), stdout, stderr)
}

#[test]
fn the_exit_code_is_the_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (pattern, event) =
        (path("pattern.json", "{\"a\": [\"x\"]}\n"), path("event.json", "{\"a\": \"x\"}\n"));
    let matched = |outcome: (i32, String, String)| (outcome.0, outcome.1);
    assert_eq!(matched(test(&["--pattern", &pattern, "--event", &event], "")), (0, "match\n".into()));
    assert_eq!(
        matched(test(&["--pattern", &pattern, "--event", "-"], "{\"a\": \"y\"}")),
        (1, "no-match\n".into())
    );
    assert_eq!(
        matched(test(&["--pattern", "-", "--event", &event], r#"{"a": [{"exists": true}]}"#)),
        (0, "match\n".into())
    );
    let (code, stdout, stderr) = test(&["--pattern", r#"{"a": [{"prefx": "x"}]}"#, "--event", "{}"], "");
    assert_eq!((code, stdout.as_str()), (2, ""));
    let why = "Event pattern is not valid. Reason: Unrecognized match type prefx (line 1, column 9: did you mean prefix?)";
    assert_eq!(stderr, format!("error: {why}\n"));
    assert_eq!(test(&["--pattern", "single-string", "--event", "{}"], "").0, 2);
    assert_eq!(test(&["--pattern", "null", "--event", "{}"], "").0, 2);
    assert_eq!(test(&["--pattern", &pattern, "--event", "{\"a\":"], "").0, 2, "no JSON");
    assert_eq!(test(&["--pattern", "no/such.json", "--event", "{}"], "").0, 2);
    assert_eq!(test(&["--pattern", "-", "--event", "-"], "").0, 2);
    assert_eq!(test(&["--pattern", "{}"], "").0, 2);
    assert_eq!(
        test(&["--pattern", &pattern, "--event", "{}", "--dialect", "lambda"], "").0,
        2,
        "whose records?"
    );
}

#[test]
fn the_clause_that_decides_is_named() {
    let pattern = r#"{"detail": {"$or": [{"n": [{"numeric": [">", 5]}]}, {"kind": ["order"]}]}}"#;
    let explained = |event: &str| test(&["--pattern", pattern, "--event", event, "--explain"], "").1;
    assert_eq!(
        explained(r#"{"detail": {"n": 3}}"#),
        "no-match\n\
         alternative 1: detail.n [{\"numeric\": [\">\", 5]}] (line 1, column 27): no value there is one of these\n\
         alternative 2: detail.kind [\"order\"] (line 1, column 62): the event has no value there\n"
    );
    assert_eq!(
        explained(r#"{"detail": {"kind": "order"}}"#),
        "match\ndetail.kind [\"order\"] (line 1, column 62): holds\n"
    );
}

#[test]
fn each_dialect_lays_an_event_out_in_its_own_way() {
    let of = |dialect: &[&str], pattern: &str, event: &str| {
        test(&[dialect, &["--pattern", pattern, "--event", event]].concat(), "").0
    };
    let lambda = |source| ["--dialect", "lambda", "--source", source];
    let order = r#"{"body": {"kind": ["order"]}}"#;
    assert_eq!(of(&lambda("sqs"), order, r#"{"messageId": "1", "body": "{\"kind\": \"order\"}"}"#), 0);
    assert_eq!(of(&lambda("sqs"), order, r#"{"messageId": "1", "body": "order"}"#), 1);
    let data = r#"{"data": {"a": [1]}, "partitionKey": ["p"]}"#;
    assert_eq!(
        of(&lambda("kinesis"), data, r#"{"kinesis": {"partitionKey": "p", "data": "eyJhIjoxfQ=="}}"#),
        0
    );
    assert_eq!(of(&lambda("kafka"), r#"{"value": {"a": [2]}}"#, r#"{"value": "eyJhIjoxfQ=="}"#), 1);
    assert_eq!(
        of(&lambda("kafka"), r#"{"value": {"a": [2]}}"#, r#"{"value": "b3JkZXI="}"#),
        0,
        "text passes"
    );
    assert_eq!(of(&lambda("mq"), r#"{"data": ["order"]}"#, r#"{"data": "b3JkZXI="}"#), 0);
    let image = r#"{"dynamodb": {"NewImage": {"id": {"S": ["x"]}}}}"#;
    assert_eq!(of(&lambda("dynamodb"), image, r#"{"dynamodb": {"NewImage": {"id": {"S": "x"}}}}"#), 0);
    let (policy, attributes) =
        (r#"{"store": ["a", {"numeric": ["<", 5]}]}"#, ["--dialect", "sns-attributes"]);
    assert_eq!(of(&attributes, policy, r#"{"store": {"Type": "String.Array", "Value": "[\"b\", 3]"}}"#), 0);
    assert_eq!(of(&attributes, policy, r#"{"store": {"Type": "Binary", "Value": "YQ=="}}"#), 1);
    assert_eq!(of(&attributes, r#"{"a": {"b": ["x"]}}"#, "{}"), 2, "flat only");
    assert_eq!(of(&["--dialect", "sns-body"], r#"{"a": {"b": ["x"]}}"#, r#"{"a": [{"b": "x"}]}"#), 0);
}

#[test]
fn lines_answer_lines_in_order() {
    let line = |pattern: &str, event: &str| json!({"pattern": pattern, "event": event}).to_string();
    let input = [
        line(r#"{"a": ["x"]}"#, r#"{"a": "x"}"#),
        line(r#"{"a": ["x"]}"#, r#"{"a": "y"}"#),
        line(r#"{"a": "x"}"#, r#"{"a": "x"}"#),
        line(r#"{"a": ["x"]}"#, "[1]"),
        "no line".to_owned(),
        r#"{"pattern": {"a": [10.0]}, "event": {"a": 1e1}}"#.to_owned(),
    ];
    let (code, stdout, _) = test(&["--lines"], &input.join("\n"));
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!((code, lines.len()), (0, 6));
    assert_eq!([lines[0], lines[1], lines[5]], ["match", "no-match", "match"]);
    assert!(
        lines[2]
            .starts_with("invalid: Event pattern is not valid. Reason: \"a\" must be an object or an array")
    );
    assert_eq!(lines[3], "invalid: the event: not JSON: expected an object at byte 0");
    assert!(lines[4].starts_with("invalid: the line is not"), "{}", lines[4]);
}

#[test]
fn recorded_verdicts_come_through_the_command_line() {
    let Some(fixtures) = fixtures() else { return };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for file in
        ["aws-test-event-pattern.json", "aws-extra.json", "array-consistency.json", "ruler-verdicts.json"]
    {
        let cases: Vec<Value> =
            serde_json::from_slice(&std::fs::read(fixtures.join("patterns").join(file)).unwrap()).unwrap();
        let input: String = cases
            .iter()
            .map(|case| {
                json!({"pattern": text(&case["pattern"]), "event": text(&case["event"])}).to_string() + "\n"
            })
            .collect();
        let (_, stdout, stderr) = test(&["--lines"], &input);
        let seen: Vec<&str> =
            stdout.lines().map(|line| if line.starts_with("invalid: ") { "error" } else { line }).collect();
        let expected: Vec<&str> = cases.iter().map(|case| case["expect"].as_str().unwrap()).collect();
        assert_eq!(seen, expected, "{file} {stderr}");
    }
}
