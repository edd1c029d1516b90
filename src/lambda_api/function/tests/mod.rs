//! Functions, asked for through the router as tools ask.

mod aliases;
mod full;
mod lives;
mod refusals;
mod tags;
mod versions;

use std::{
    io::{Cursor, Write},
    sync::Arc,
    time::Duration,
};

use axum::http::StatusCode;
use serde_json::{Value, json};
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::lambda_api::{
    Api,
    tests::{api, send},
};

const FUNCTIONS: &str = "/2015-03-31/functions";
const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function";
/// Of a tag.
const RESERVED: &str = "aws: prefixed tag key names are not allowed for external use.";

/// A zip with one file, in base64.
fn zip(content: &str) -> String {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("app.py", SimpleFileOptions::default()).unwrap();
    writer.write_all(content.as_bytes()).unwrap();
    base64_simd::STANDARD.encode_to_string(writer.finish().unwrap().into_inner())
}

/// A request of CreateFunction, with members more or other.
fn request(name: &str, other: Value) -> Value {
    let mut request = json!({
        "FunctionName": name,
        "Runtime": "python3.12",
        "Handler": "app.handler",
        "Role": "arn:aws:iam::000000000000:role/r",
        "Code": { "ZipFile": zip("def handler(event, context): return event") },
    });
    for (member, value) in other.as_object().unwrap() {
        request[member] = value.clone();
    }
    request
}

async fn create(api: &Arc<Api>, name: &str, other: Value) -> Value {
    let (status, answer) = send(api, "POST", FUNCTIONS, request(name, other)).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    answer
}

/// Until what was begun has settled.
async fn settle(api: &Api) {
    tokio::time::sleep(api.settings.settle + Duration::from_millis(20)).await;
}

/// An active function.
async fn active(name: &str) -> (Arc<Api>, tempfile::TempDir) {
    let (api, directory) = api().await;
    create(&api, name, json!({})).await;
    settle(&api).await;
    (api, directory)
}

async fn done(api: &Arc<Api>, method: &str, path: &str, body: Value) -> Value {
    let (status, answer) = send(api, method, path, body).await;
    assert!(status.is_success(), "{method} {path}: {status} {answer}");
    answer
}

async fn get(api: &Arc<Api>, path: &str) -> Value {
    done(api, "GET", path, Value::Null).await
}

/// The status and the words of a refusal.
async fn refused(api: &Arc<Api>, method: &str, path: &str, body: Value) -> (u16, String) {
    let (status, answer) = send(api, method, path, body).await;
    assert!(!status.is_success(), "{method} {path}: {answer}");
    let message = answer["message"].as_str().or(answer["Message"].as_str()).unwrap();
    (status.as_u16(), message.to_owned())
}
