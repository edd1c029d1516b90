//! Extensions written against the documented API, beside unmodified functions.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::{
    BOOTSTRAP, Extensions, code, event, eventually, executable, header, invoke, json, provided, python, start,
};
use klr_host::{Logs, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;

const HANDLER: &str = "def handler(event, context):\n    return {'id': context.aws_request_id}\n";

/// A function under awslambdaric; nothing where there is none.
fn python_function(handler: &str) -> Option<(Settings, TempDir)> {
    let python = python()?;
    let code = tempfile::tempdir().unwrap();
    std::fs::write(code.path().join("app.py"), handler).unwrap();
    let command = [python.to_str().unwrap(), "-m", "awslambdaric", "app.handler"].map(str::to_owned).to_vec();
    let directory = Some(code.path().to_owned());
    Some((
        Settings {
            command,
            directory,
            timeout: Duration::from_secs(30),
            logs: Logs::Quiet,
            ..Settings::default()
        },
        code,
    ))
}

fn quiet(code: &TempDir) -> Settings {
    Settings { logs: Logs::Quiet, ..provided(code) }
}

fn event_types(extensions: &Extensions, who: &str) -> Vec<String> {
    let events = extensions.saw("event").into_iter().filter(|seen| seen["who"] == who);
    events.map(|seen| seen["event"]["eventType"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn one_is_told_of_each_invocation_and_of_the_end() {
    let Some((settings, _code)) = python_function(HANDLER) else { return };
    let extensions = Extensions::new(&[("ext", json!({"account": true}))]);
    let environment = vec![("TABLE".to_owned(), "orders".to_owned())];
    let host = start(extensions.beside(Settings { environment, ..settings })).await;
    assert!(host.ready());
    let registered = &extensions.saw("registered")[0];
    let expected = json!({"functionName": "function", "functionVersion": "$LATEST", "handler": "app.handler",
        "accountId": "123456789012"});
    assert_eq!((registered["status"].as_u64(), &registered["body"]), (Some(200), &expected));
    let env = &registered["env"];
    assert_eq!((&env["TABLE"], &env["AWS_LAMBDA_FUNCTION_NAME"]), (&"orders".into(), &"function".into()));
    for runtimes in ["_HANDLER", "LAMBDA_TASK_ROOT", "AWS_LAMBDA_LOG_STREAM_NAME", "_LAMBDA_TELEMETRY_LOG_FD"]
    {
        assert_eq!(env.get(runtimes), None, "{runtimes}");
    }

    let mut ids = Vec::new();
    for _ in 0..3 {
        let answer = invoke(&host, "{}").await;
        let trace = header(&answer, "x-amzn-trace-id").unwrap().to_owned();
        ids.push((json(answer).await["id"].clone(), trace));
    }
    eventually("it is told of all three", || extensions.saw("event").len() == 3).await;
    for (seen, (id, trace)) in extensions.saw("event").iter().zip(&ids) {
        let event = &seen["event"];
        assert_eq!((&event["eventType"], &event["requestId"]), (&"INVOKE".into(), id));
        let arn = "arn:aws:lambda:us-east-1:123456789012:function:function";
        assert_eq!(event["invokedFunctionArn"], arn);
        assert_eq!(event["tracing"], json!({"type": "X-Amzn-Trace-Id", "value": trace}));
        let left = event["deadlineMs"].as_f64().unwrap() / 1000.0 - seen["at"].as_f64().unwrap();
        assert!((15.0..=30.1).contains(&left), "{left} s");
        assert!(seen["id"].is_string());
    }
    host.stop(Duration::from_secs(5)).await;
    let last = extensions.saw("event").pop().unwrap();
    assert_eq!(last["event"]["eventType"], "SHUTDOWN");
    assert_eq!(last["event"]["shutdownReason"], "SPINDOWN");
    let left = last["event"]["deadlineMs"].as_f64().unwrap() / 1000.0 - last["at"].as_f64().unwrap();
    assert!(left <= 2.0, "{left} s");
}

/// Nothing is in hand: the drain ends with its time, and the environment in good order.
#[tokio::test]
async fn a_request_that_never_comes_does_not_keep_the_end_from_them() {
    let code = code(BOOTSTRAP);
    let extensions = Extensions::new(&[("ext", json!({}))]);
    let host = start(extensions.beside(quiet(&code))).await;
    let mut caller = std::net::TcpStream::connect(host.address()).unwrap();
    std::io::Write::write_all(&mut caller, b"POST / HTTP/1.1\r\nHo").unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    host.stop(Duration::from_millis(300)).await;
    assert_eq!(event_types(&extensions, "ext"), ["SHUTDOWN"]);
}

#[tokio::test]
async fn the_environment_is_free_when_the_extensions_are() {
    let code = code(BOOTSTRAP);
    let slow = json!({"invoke takes": 3});
    let extensions = Extensions::new(&[("slow", slow), ("silent", json!({"events": null}))]);
    let host = start(extensions.beside(quiet(&code))).await;
    let begin = Instant::now();
    assert_eq!(invoke(&host, "[1]").await.text().await.unwrap(), "[1]");
    let first = begin.elapsed();
    assert_eq!(invoke(&host, "[2]").await.text().await.unwrap(), "[2]");
    let second = begin.elapsed();
    assert!(second >= Duration::from_secs(3) && second - first >= Duration::from_millis(700), "{second:?}");
    assert!(event_types(&extensions, "silent").is_empty());
    host.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn one_that_hangs_is_bounded_by_the_timeout() {
    let code = code(BOOTSTRAP);
    let hang = json!({"invoke takes": 600});
    let extensions = Extensions::new(&[("hang", hang), ("watch", json!({}))]);
    let host = start(extensions.beside(Settings { timeout: Duration::from_secs(3), ..quiet(&code) })).await;
    assert_eq!(invoke(&host, "[1]").await.text().await.unwrap(), "[1]", "it is answered all the same");
    let told = || event_types(&extensions, "watch") == ["INVOKE", "SHUTDOWN"];
    eventually("the other is told of the end", told).await;
    let shutdown = extensions.saw("event").into_iter().find(|seen| seen["event"]["eventType"] == "SHUTDOWN");
    assert_eq!(shutdown.unwrap()["event"]["shutdownReason"], "TIMEOUT");
    let mut answer = invoke(&host, "[2]").await;
    for _ in 0..10 {
        if answer.status() != 429 {
            break;
        }
        answer = invoke(&host, "[2]").await;
    }
    assert_eq!(answer.text().await.unwrap(), "[2]", "a new environment");
}

#[tokio::test]
async fn what_ends_an_extension_ends_the_environment_and_is_told() {
    let code = code(BOOTSTRAP);
    for (what, kind, message) in [
        ("exit before registering", "Extension.Crash", "exit status 3"),
        ("init error", "Extension.InitError", "Extension.NoKey"),
        ("exit on invoke", "Extension.Crash", "exit status 4"),
        ("exit error", "Extension.ExitError", "E.Gone"),
    ] {
        let extensions = Extensions::new(&[("bad", json!({"do": what})), ("watch", json!({}))]);
        let host = start(extensions.beside(quiet(&code))).await;
        for _ in 0..2 {
            let failed = event(&host, r#"{"do":"sleep","seconds":20}"#).send().await.unwrap();
            assert_eq!(failed.status(), 502, "{what}");
            let document = json(failed).await;
            assert_eq!(document["errorType"], kind, "{what}");
            assert!(document["errorMessage"].as_str().unwrap().ends_with(message), "{document}");
        }
        if what == "init error" {
            assert_eq!(extensions.saw("init error")[0]["missing"], "Extension.MissingHeader");
        }
        let ends = extensions.saw("event");
        let reasons = ends.iter().filter_map(|seen| seen["event"]["shutdownReason"].as_str());
        assert!(reasons.clone().all(|reason| reason == "FAILURE"), "{what}");
        // At the start it depends on who was first.
        let started = ["exit on invoke", "exit error"].contains(&what);
        assert!(!started || reasons.count() > 0, "{what}: the other is told");
        host.stop(Duration::from_secs(5)).await;
    }
}

/// The runtime is there first, and is gone before the extension is there, too.
#[tokio::test]
async fn a_runtime_that_ends_while_an_extension_initialises_is_missed_at_once() {
    let code = code(BOOTSTRAP);
    let extensions = Extensions::new(&[("slow", json!({"init takes": 8}))]);
    let environment = vec![("ASK_AND_EXIT".to_owned(), "3".to_owned())];
    let begin = Instant::now();
    let host = start(extensions.beside(Settings { environment, ..quiet(&code) })).await;
    assert!(!host.ready() && begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    let document = json(event(&host, "{}").send().await.unwrap()).await;
    assert_eq!(document["errorType"], "Runtime.ExitError");
    assert!(document["errorMessage"].as_str().unwrap().ends_with("exit status 3"), "{document}");
    host.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn one_that_cannot_be_started_is_told() {
    let code = code(BOOTSTRAP);
    let extensions = Extensions::new(&[("bad", json!({}))]);
    executable(&extensions.file("bad"), "#!/no/such/interpreter\n");
    let host = start(extensions.beside(quiet(&code))).await;
    let document = json(event(&host, "{}").send().await.unwrap()).await;
    assert_eq!(document["errorType"], "Extension.LaunchError");
}

#[tokio::test]
async fn one_that_does_not_end_is_killed_in_time() {
    let code = code(BOOTSTRAP);
    let extensions =
        Extensions::new(&[("stay", json!({"do": "stay"})), ("other", json!({"events": ["INVOKE"]}))]);
    let host = start(extensions.beside(quiet(&code))).await;
    // A function that ignores SIGTERM, too.
    let family = json(invoke(&host, r#"{"do":"family"}"#).await).await;
    let begin = Instant::now();
    host.stop(Duration::from_secs(5)).await;
    let took = begin.elapsed();
    assert!((Duration::from_millis(1900)..Duration::from_secs(4)).contains(&took), "{took:?}");
    let pids = family["pids"].as_array().unwrap().iter().map(|pid| pid.as_u64().unwrap());
    for pid in pids {
        eventually("nothing is left", || !common::exists(pid)).await;
    }
    assert_eq!(event_types(&extensions, "stay"), ["INVOKE", "SHUTDOWN"]);
}

const INTERNAL: &str = r#"
import http.client, json, os, threading

def call(method, path, body=None, headers={}):
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    connection.request(method, "/2020-01-01/extension/" + path, body, headers)
    answer = connection.getresponse()
    return answer, json.loads(answer.read() or "null")

def register(name, body):
    answer, body = call("POST", "register", body, {"Lambda-Extension-Name": name} if name else {})
    return answer.headers["Lambda-Extension-Identifier"], answer.status, body.get("errorType")

told, refused = [], []
me, status, _ = register("inner", '{"events":["INVOKE"]}')
assert status == 200
go, status, _ = register("go", '{"events":null}')
assert status == 200
for name, body in [("inner", "{}"), ("other", '{"events":["SHUTDOWN"]}'), ("other", '{"events":["REBOOT"]}'),
                   ("other", "no JSON"), (None, "{}")]:
    refused.append(register(name, body)[1:])
for headers in [{}, {"Lambda-Extension-Identifier": "x"},
                {"Lambda-Extension-Identifier": "5d7c7ec9-e363-4d6b-bff5-3383069d7840"}]:
    answer, body = call("GET", "event/next", None, headers)
    refused.append((answer.status, body["errorType"]))
more = [register(f"more{n}", "{}")[0] for n in range(8)]
refused.append(register("one too many", "{}")[1:])

def listen(id):
    while True:
        told.append(call("GET", "event/next", None, {"Lambda-Extension-Identifier": id})[1]["requestId"])

for id in [me, go] + more:
    threading.Thread(target=listen, args=[id], daemon=True).start()

def handler(event, context):
    late = register("late", "{}")[1:]
    return {"id": context.aws_request_id, "told": list(told), "refused": refused, "late": late}
"#;

#[tokio::test]
async fn internal_ones_register_with_the_function_and_every_refusal_has_its_name() {
    let Some((settings, _code)) = python_function(INTERNAL) else { return };
    let host = start(settings).await;
    let first = json(invoke(&host, "{}").await).await;
    let second = json(invoke(&host, "{}").await).await;
    let told: Vec<Value> = second["told"].as_array().unwrap().clone();
    assert!(told.contains(&first["id"]) && told.len() <= 2, "{second}");
    let refused: Vec<_> =
        second["refused"].as_array().unwrap().iter().map(|it| it[1].as_str().unwrap()).collect();
    assert_eq!(
        refused,
        [
            "Extension.InvalidExtensionState",
            "Extension.InvalidEventType",
            "Extension.InvalidEventType",
            "InvalidRequestFormat",
            "Extension.InvalidExtensionName",
            "Extension.MissingExtensionIdentifier",
            "Extension.InvalidExtensionIdentifier",
            "Extension.UnknownExtensionIdentifier",
            "Extension.TooManyExtensions",
        ]
    );
    assert!(second["refused"].as_array().unwrap().iter().all(|it| it[0] == 403));
    assert_eq!(second["late"], json!([403, "Extension.RegistrationClosed"]));
    let begin = Instant::now();
    host.stop(Duration::from_secs(5)).await;
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}
