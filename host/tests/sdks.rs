//! AWS's own callers: boto3, and the command line, through `--endpoint-url`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    path::{Path, PathBuf},
    process::Output,
};

use common::{BOOTSTRAP, built, code, provided, start};
use klr_host::{Host, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// A function named as its callers name it, and the folder of the programs; nothing where they cannot be had.
async fn orders() -> Option<(Host, TempDir, PathBuf)> {
    let programs = built::venv(&["boto3", "awscli"])?.join("bin");
    let code = code(BOOTSTRAP);
    let host = start(Settings { name: "orders".into(), ..provided(&code) }).await;
    Some((host, code, programs))
}

#[tokio::test]
async fn boto3_understands_every_answer() {
    let Some((host, _code, programs)) = orders().await else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk.py");
    let endpoint = format!("http://{}", host.address());
    let output = Command::new(programs.join("python")).arg(script).arg(endpoint).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ok = |payload| json!({"StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": payload});

    assert_eq!(told["reply"], ok(json!({"text": "é😀"})));
    let log = told["tail"]["Log"].as_str().unwrap();
    for line in ["START RequestId: ", "said\n", "END RequestId: ", "REPORT RequestId: "] {
        assert!(log.contains(line), "{log}");
    }
    assert_eq!(told["error"]["FunctionError"], "Unhandled");
    assert_eq!(told["error"]["Payload"]["errorMessage"], "as asked");
    assert_eq!((&told["event"]["StatusCode"], &told["event"]["Payload"]), (&json!(202), &Value::Null));
    assert_eq!(told["dry"]["StatusCode"], 204);
    let context = &told["context"]["Payload"]["headers"]["lambda-runtime-client-context"];
    assert_eq!(context.as_str().unwrap(), r#"{"custom": {"k": "\u00e9"}}"#);
    assert_eq!(told["by arn"]["x-amzn-remapped-content-length"], "0");

    assert_eq!(told["streamed"]["payload"], r#"{"streamed":true}"#);
    assert_eq!((&told["streamed"]["status"], &told["streamed"]["complete"]), (&json!(200), &json!({})));
    assert_eq!(told["buffered"]["payload"], "[1]");
    assert_eq!(told["failed"]["complete"]["ErrorCode"], "Mid");

    assert_eq!(told["unknown"], json!(["ResourceNotFoundException", 404]));
    assert_eq!(told["no json"], json!(["InvalidRequestContentException", 400]));
    assert_eq!(told["too large"], json!(["RequestTooLargeException", 413]));
}

/// `aws lambda invoke`, with what it prints and the reply it writes to a file.
async fn aws(host: &Host, programs: &Path, arguments: &[&str]) -> (Output, Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let reply = folder.path().join("reply");
    let endpoint = format!("http://{}", host.address());
    let mut command = Command::new(programs.join("python"));
    command.arg(programs.join("aws")).args([
        "lambda",
        "invoke",
        "--endpoint-url",
        &endpoint,
        "--region",
        "us-east-1",
    ]);
    command.args(["--function-name", "orders", "--output", "json"]).args(arguments).arg(&reply);
    command
        .env("AWS_ACCESS_KEY_ID", "AKIA")
        .env("AWS_SECRET_ACCESS_KEY", "none")
        .env("AWS_MAX_ATTEMPTS", "1");
    let output = command.output().await.unwrap();
    let told = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output, told, std::fs::read_to_string(reply).unwrap_or_default())
}

#[tokio::test]
async fn the_command_line_invokes() {
    let Some((host, _code, programs)) = orders().await else { return };
    let (output, told, reply) = aws(&host, &programs, &["--payload", r#"{"n":1}"#]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(told, json!({"StatusCode": 200, "ExecutedVersion": "$LATEST"}));
    assert_eq!(reply, r#"{"n":1}"#);

    let (_, told, reply) =
        aws(&host, &programs, &["--payload", r#"{"do":"error"}"#, "--log-type", "Tail"]).await;
    assert_eq!(told["FunctionError"], "Unhandled");
    assert!(told["LogResult"].is_string() && reply.contains("as asked"), "{told} {reply}");

    let (_, told, _) = aws(&host, &programs, &["--invocation-type", "Event", "--payload", "{}"]).await;
    assert_eq!(told, json!({"StatusCode": 202}));
    let (_, told, _) = aws(&host, &programs, &["--invocation-type", "DryRun"]).await;
    assert_eq!(told, json!({"StatusCode": 204}));
    let (output, _, _) = aws(&host, &programs, &["--payload", "{half"]).await;
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("InvalidRequestContentException"), "{text}");
}
