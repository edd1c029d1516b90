//! A function without a port, seen from both sides: as its embedder calls it, and as it sees itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{LOOKING, python};
use http::{Request, Response};
use http_body_util::BodyExt;
use klr_host::{Body, Embedded, Logs, Mount, OtherVersion, RequestId, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;

const HANDLER: &str = r#"
import os, traceback
from looking import read, write

def handler(event, context):
    if event.get("do") == "raise":
        raise ValueError("as asked")
    return {
        "id": context.aws_request_id, "arn": context.invoked_function_arn, "version": context.function_version,
        "stream": context.log_stream_name, "group": context.log_group_name,
        "env": os.environ.get("AWS_EXECUTION_ENV"), "region": os.environ["AWS_REGION"],
        "root": os.environ["LAMBDA_TASK_ROOT"], "file": __file__, "cwd": os.getcwd(),
        "layer": read("/opt/data.txt"), "writes": write("/var/task/new"), "imported": __import__("shelved").WHERE,
    }
"#;

/// A function as of a third version, with one layer; the folders are its code and the layer.
fn function() -> Option<(Settings, [TempDir; 2])> {
    let python = python()?;
    let (code, layer) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(code.path().join("app.py"), HANDLER).unwrap();
    std::fs::write(code.path().join("looking.py"), LOOKING).unwrap();
    std::fs::create_dir(layer.path().join("python")).unwrap();
    std::fs::write(layer.path().join("python/shelved.py"), "WHERE = __file__\n").unwrap();
    std::fs::write(layer.path().join("data.txt"), "from the layer").unwrap();
    let settings = Settings {
        name: "orders".into(),
        version: "3".into(),
        account: Some("000000000000".into()),
        region: Some("eu-west-1".into()),
        log_group: Some("/elsewhere/orders".into()),
        command: [python.to_str().unwrap(), "-m", "awslambdaric", "app.handler"].map(str::to_owned).to_vec(),
        runtime: Some("python3.99".into()),
        other_version: OtherVersion::Posing,
        directory: Some(code.path().to_owned()),
        layers: vec![layer.path().to_owned()],
        timeout: Duration::from_secs(30),
        mount: Mount::All,
        lazy: true,
        ahead: false,
        logs: Logs::Quiet,
        ..Settings::default()
    };
    Some((settings, [code, layer]))
}

async fn call(function: &Embedded, query: &str, body: &'static str) -> Response<Body> {
    let request = Request::post(format!("/2015-03-31/functions/orders/invocations{query}"))
        .header("x-amz-log-type", "Tail")
        .extension(RequestId("11111111-2222-4333-8444-555555555555".into()))
        .body(Bytes::from_static(body.as_bytes()));
    function.call(request.unwrap()).await
}

async fn json(response: Response<Body>) -> Value {
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

#[tokio::test]
async fn it_is_called_by_its_embedder_and_sees_itself_as_on_lambda() {
    let Some((settings, folders)) = function() else { return };
    let function = Embedded::start(settings).await.unwrap();
    let answer = call(&function, "?Qualifier=live", "{}").await;
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("x-amz-executed-version").as_deref(), Some("3"));
    assert_eq!(header("x-amzn-requestid").as_deref(), Some("11111111-2222-4333-8444-555555555555"));
    assert!(header("x-amz-log-result").is_some());
    let told = json(answer).await;
    assert_eq!(told["id"], "11111111-2222-4333-8444-555555555555");
    assert_eq!(told["arn"], "arn:aws:lambda:eu-west-1:000000000000:function:orders:live");
    assert_eq!((&told["version"], &told["region"]), (&json!("3"), &json!("eu-west-1")));
    assert_eq!(told["env"], "AWS_Lambda_python3.99");
    assert_eq!(told["group"], "/elsewhere/orders");
    assert!(told["stream"].as_str().unwrap().contains("/[3]"), "{told}");
    // Where the machine does not let us mount, all is where it lies.
    if told["root"] == "/var/task" {
        assert_eq!((&told["file"], &told["cwd"]), (&json!("/var/task/app.py"), &json!("/var/task")));
        assert_eq!((&told["layer"], &told["writes"]), (&json!("from the layer"), &json!(false)));
        assert_eq!(told["imported"], "/opt/python/shelved.py");
        assert!(!std::path::Path::new("/opt/data.txt").exists(), "nobody else sees it");
    } else {
        eprintln!("SKIP: this machine does not let us mount");
        let imported = told["imported"].as_str().unwrap();
        assert!(std::path::Path::new(imported).starts_with(folders[1].path()), "{told}");
    }
    function.stop(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn a_traceback_reads_as_on_lambda() {
    let Some((settings, folders)) = function() else { return };
    let function = Embedded::start(settings).await.unwrap();
    let failed = call(&function, "", r#"{"do":"raise"}"#).await;
    assert_eq!(failed.headers()["x-amz-function-error"], "Unhandled");
    let document = json(failed).await;
    let frame = document["stackTrace"][0].as_str().unwrap();
    let here = folders[0].path().join("app.py");
    let mounted = frame.contains("File \"/var/task/app.py\"");
    assert!(mounted || frame.contains(here.to_str().unwrap()), "{frame}");
}

#[tokio::test]
async fn another_version_than_asked_for_may_be_refused() {
    let Some((settings, _folders)) = function() else { return };
    let settings = Settings {
        command: Vec::new(),
        handler: Some("app.handler".into()),
        other_version: OtherVersion::Refused,
        ..settings
    };
    // Told so if there is a runtime client on the path, and that there is none if not.
    let refused = Embedded::start(settings).await.err().unwrap().to_string();
    assert!(refused.contains("python3.99"), "{refused}");
}
