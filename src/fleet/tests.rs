//! Functions from code, run for real: Python under awslambdaric, a `bootstrap` of our own, Node where its client is built.

use std::{
    collections::BTreeMap,
    io::{Cursor, Write},
    path::{Path, PathBuf},
    process::Command,
};

use axum::body::to_bytes;
use serde_json::{Value, json};
use tempfile::TempDir;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;

const HANDLER: &str = r#"
import os, time
import helper

def handler(event, context):
    do = event.get("do")
    if do == "raise":
        raise ValueError("as asked")
    if do == "sleep":
        print("asleep", flush=True)
        time.sleep(event["seconds"])
    if do == "print":
        print("one line")
    return {
        "version": context.function_version, "arn": context.invoked_function_arn, "pid": os.getpid(),
        "key": os.environ.get("AWS_ACCESS_KEY_ID"), "told": os.environ.get("TOLD"), "root": os.environ["LAMBDA_TASK_ROOT"],
        "helper": helper.WHO, "at": helper.__file__, "env": os.environ.get("AWS_EXECUTION_ENV"),
    }
"#;

/// A Runtime API client in the shell: it answers with its event, or fails if that says so.
pub(crate) const BOOTSTRAP: &str = r#"#!/bin/sh
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
head=$(mktemp)
while true; do
    event=$(curl -sS -D "$head" "$api/next")
    id=$(sed -n 's/^[Ll]ambda-[Rr]untime-[Aa]ws-[Rr]equest-[Ii]d: *//p' "$head" | tr -d '\r')
    case "$event" in
        *raise*) curl -sS -o /dev/null "$api/$id/error" --data-raw '{"errorType":"Asked","errorMessage":"as asked"}' ;;
        *) curl -sS -o /dev/null "$api/$id/response" --data-raw "$event" ;;
    esac
done
"#;

struct Stage {
    fleet: Arc<Fleet>,
    directory: TempDir,
}

impl Stage {
    fn new() -> Self {
        Self::with(|settings| Settings { runtime_fallback: true, ..settings })
    }

    fn with(change: impl FnOnce(Settings) -> Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let logs = Logs::open(directory.path(), None).unwrap();
        let settings = change(Settings::new(directory.path().to_owned()));
        Self { fleet: Fleet::new(settings, logs).unwrap(), directory }
    }

    /// A zip on disk.
    fn zip(&self, files: &[(&str, &str, u32)]) -> Archive {
        self.zip_with(files, None)
    }

    /// The same, with all that is in a folder.
    fn zip_with(&self, files: &[(&str, &str, u32)], folder: Option<&Path>) -> Archive {
        let zip = zip_of(files, folder);
        let sha256 = Uuid::new_v4().to_string();
        let path = self.directory.path().join(format!("{sha256}.zip"));
        std::fs::write(&path, zip).unwrap();
        Archive { sha256, path }
    }

    fn python(&self) -> Option<Spec> {
        let files = [("app.py", HANDLER, 0o644), ("helper.py", "WHO = 'code'\n", 0o644)];
        let code = self.zip_with(&files, Some(&python()?));
        Some(Spec {
            runtime: Some("python3.12".into()),
            handler: Some("app.handler".into()),
            ..provided(code)
        })
    }

    async fn invoke(&self, spec: &Spec, event: &Value) -> Response<Body> {
        self.invoke_as(spec, "", event).await
    }

    async fn invoke_as(&self, spec: &Spec, query: &str, event: &Value) -> Response<Body> {
        let path = format!("/2015-03-31/functions/{}/invocations{query}", spec.function);
        let request = Request::post(path).body(Bytes::from(event.to_string())).unwrap();
        self.fleet.invoke(&Arc::new(spec.clone()), request).await
    }

    async fn reply(&self, spec: &Spec, event: &Value) -> Value {
        let answer = self.invoke(spec, event).await;
        assert_eq!((answer.status().as_u16(), header(&answer, "x-amz-function-error")), (200, None));
        body(answer).await
    }

    async fn written(&self, spec: &Spec, enough: impl Fn(&str) -> bool) -> Vec<Arc<logs::Entry>> {
        let log = self.fleet.logs().of(&spec.function).await;
        for _ in 0..500 {
            let (entries, _) = log.from(0);
            if entries.iter().any(|entry| enough(&entry.text)) {
                return entries;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("not written: {:?}", log.from(0));
    }
}

/// A zip of files, and of all that is in a folder.
pub(crate) fn zip_of(files: &[(&str, &str, u32)], folder: Option<&Path>) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content, mode) in files {
        writer.start_file(*name, SimpleFileOptions::default().unix_permissions(*mode)).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    if let Some(folder) = folder {
        add(&mut writer, folder, "");
    }
    writer.finish().unwrap().into_inner()
}

/// Whether there is what [`BOOTSTRAP`] needs. `false` is said loudly, and fails under `CI=true`.
pub(crate) fn has_curl() -> bool {
    let there = Command::new("curl").arg("--version").output().is_ok();
    assert!(there || !std::env::var("CI").is_ok_and(|ci| ci == "true"), "no curl");
    if !there {
        eprintln!("SKIP: no curl");
    }
    there
}

fn provided(code: Archive) -> Spec {
    Spec {
        function: "orders".into(),
        version: "$LATEST".into(),
        revision: "1".into(),
        account: "000000000000".into(),
        region: "eu-west-1".into(),
        runtime: Some("provided.al2023".into()),
        runtime_version_arn: None,
        handler: Some("none".into()),
        timeout: Duration::from_secs(30),
        memory_mb: 128,
        environment: BTreeMap::from([("TOLD".into(), "so".into())]),
        code: Code::Zip(code),
        layers: Vec::new(),
        logging: Logging {
            group: "/aws/lambda/orders".into(),
            json: false,
            application_level: None,
            system_level: None,
        },
        snap_start: false,
        reserved: None,
        provisioned: 0,
    }
}

/// Where Python's runtime client is, to be packaged with the code as users may. `None`, loudly, where it cannot be had.
fn python() -> Option<PathBuf> {
    let lib = klr_test_support::python::venv(&["awslambdaric"])?.join("lib");
    let version = std::fs::read_dir(lib).unwrap().next().unwrap().unwrap();
    Some(version.path().join("site-packages"))
}

/// Adds a folder of packages, without those that only install others.
fn add(writer: &mut ZipWriter<Cursor<Vec<u8>>>, folder: &Path, below: &str) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{below}{name}");
        if ["pip", "setuptools", "pkg_resources", "__pycache__"].contains(&name.as_str()) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            add(writer, &entry.path(), &format!("{path}/"));
        } else {
            writer.start_file(path, SimpleFileOptions::default().unix_permissions(0o644)).unwrap();
            writer.write_all(&std::fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

fn header<'a>(answer: &'a Response<Body>, name: &str) -> Option<&'a str> {
    answer.headers().get(name).and_then(|value| value.to_str().ok())
}

async fn body(answer: Response<Body>) -> Value {
    serde_json::from_slice(&to_bytes(answer.into_body(), usize::MAX).await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_run_side_by_side_and_a_change_replaces_its_own() {
    let stage = Stage::new();
    let Some(latest) = stage.python() else { return };
    let one = Spec { version: "1".into(), revision: "r".into(), ..latest.clone() };
    let first = stage.reply(&latest, &json!({})).await;
    assert_eq!((&first["version"], &first["told"]), (&json!("$LATEST"), &json!("so")));
    assert_eq!(first["env"], "AWS_Lambda_python3.12", "whatever is installed");
    assert!(first["key"].is_string(), "signed with something");
    let other = stage.invoke_as(&one, "?Qualifier=live", &json!({})).await;
    assert_eq!(header(&other, "x-amz-executed-version"), Some("1"));
    let other = body(other).await;
    assert_eq!(other["arn"], "arn:aws:lambda:eu-west-1:000000000000:function:orders:live");
    assert_ne!(first["pid"], other["pid"]);
    assert_eq!(stage.reply(&latest, &json!({})).await["pid"], first["pid"], "it is kept");
    let changed = Spec {
        revision: "2".into(),
        environment: BTreeMap::from([("TOLD".into(), "otherwise".into())]),
        ..latest.clone()
    };
    let changed = stage.reply(&changed, &json!({})).await;
    assert_eq!(changed["told"], "otherwise");
    assert_ne!(changed["pid"], first["pid"]);
    assert_eq!(stage.reply(&one, &json!({})).await["pid"], other["pid"], "the other version is not touched");
    gone(&first["pid"]).await;
    stage.fleet.stop(Duration::from_secs(20)).await;
    assert!(!alive(&other["pid"]) && !alive(&changed["pid"]));
    assert_eq!(stage.invoke(&one, &json!({})).await.status(), 500, "nothing is invoked after");
    let flushed = stage.fleet.logs().flush(Duration::from_secs(60));
    tokio::time::timeout(Duration::from_secs(20), flushed).await.expect("nobody writes any more");
}

fn alive(pid: &Value) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

async fn gone(pid: &Value) {
    for _ in 0..500 {
        if !alive(pid) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("process {pid} lives on");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_finished_when_the_function_goes() {
    let stage = Arc::new(Stage::new());
    let Some(spec) = stage.python() else { return };
    let first = stage.reply(&spec, &json!({})).await;
    let slow = {
        let (stage, spec) = (Arc::clone(&stage), spec.clone());
        tokio::spawn(async move { stage.reply(&spec, &json!({"do": "sleep", "seconds": 2})).await })
    };
    stage.written(&spec, |text| text == "asleep").await;
    stage.fleet.retire(&spec.function, None);
    assert_eq!(slow.await.unwrap()["pid"], first["pid"]);
    gone(&first["pid"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_are_merged_and_a_later_one_wins() {
    let stage = Stage::new();
    let Some(spec) = stage.python() else { return };
    let code = Code::Zip(stage.zip_with(&[("app.py", HANDLER, 0o644)], python().as_deref()));
    let layer = |who: &str| stage.zip(&[("python/helper.py", &format!("WHO = '{who}'\n"), 0o644)]);
    let spec = Spec { code, layers: vec![layer("first"), layer("second")], ..spec };
    let reply = stage.reply(&spec, &json!({})).await;
    assert_eq!(reply["helper"], "second");
    if reply["root"] == "/var/task" {
        assert_eq!(reply["at"], "/opt/python/helper.py");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reserved_concurrency_is_of_all_versions_and_nothing_waits_for_it() {
    let stage = Arc::new(Stage::new());
    let Some(spec) = stage.python() else { return };
    let none = stage.invoke(&Spec { reserved: Some(0), ..spec.clone() }, &json!({})).await;
    assert_eq!(none.status(), 429);
    assert_eq!(header(&none, "x-amzn-errortype"), Some("TooManyRequestsException"));
    let expected = json!({
        "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded", "Type": "User", "message": "Rate Exceeded."
    });
    assert_eq!(body(none).await, expected);
    let one = Spec { reserved: Some(1), ..spec };
    stage.reply(&one, &json!({})).await;
    let slow = {
        let (stage, one) = (Arc::clone(&stage), one.clone());
        tokio::spawn(async move { stage.reply(&one, &json!({"do": "sleep", "seconds": 3})).await })
    };
    stage.written(&one, |text| text == "asleep").await;
    for version in ["$LATEST", "7"] {
        let other = Spec { version: version.into(), ..one.clone() };
        assert_eq!(stage.invoke(&other, &json!({})).await.status(), 429, "{version}");
    }
    slow.await.unwrap();
    stage.reply(&one, &json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_provisioned_is_there_before_anybody_calls() {
    if !has_curl() {
        return;
    }
    let stage = Stage::new();
    // Not in `/tmp`, where the function has one of its own.
    let seen = tempfile::tempdir_in("/var/tmp").unwrap();
    let mark = seen.path().join("mark");
    let told = "echo $AWS_LAMBDA_INITIALIZATION_TYPE >> $MARK\napi=";
    let code = stage.zip(&[("bootstrap", &BOOTSTRAP.replacen("api=", told, 1), 0o755)]);
    let environment = BTreeMap::from([("MARK".into(), mark.to_str().unwrap().to_owned())]);
    let spec = Arc::new(Spec { environment, provisioned: 1, ..provided(code) });
    stage.fleet.prepare(&spec);
    let started = async {
        loop {
            match std::fs::read_to_string(&mark) {
                Ok(told) if told.ends_with('\n') => return told,
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(60), started).await.unwrap();
    assert_eq!(told, "provisioned-concurrency\n");
    stage.fleet.prepare(&spec);
    assert_eq!(stage.reply(&spec, &json!({"a": 1})).await, json!({"a": 1}));
    assert_eq!(std::fs::read_to_string(&mark).unwrap(), told, "the one that was there answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_has_a_record_for_each_event() {
    let stage = Stage::new();
    let Some(spec) = stage.python() else { return };
    stage.reply(&spec, &json!({"do": "print"})).await;
    let failed = stage.invoke(&spec, &json!({"do": "raise"})).await;
    assert_eq!(header(&failed, "x-amz-function-error"), Some("Unhandled"));
    let id = header(&failed, "x-amzn-requestid").unwrap().to_owned();
    let entries = stage.written(&spec, |text| text.starts_with(&format!("REPORT RequestId: {id}"))).await;
    let of = |what: &str| entries.iter().find(|entry| entry.text.contains(what)).unwrap();
    assert_eq!(of("one line").text, "one line");
    let traceback = of("as asked");
    assert!(traceback.text.starts_with("[ERROR] ValueError: as asked"), "{}", traceback.text);
    assert!(traceback.text.contains("Traceback") && traceback.text.contains("app.py"), "one event");
    let start = of(&format!("START RequestId: {id}"));
    assert_eq!((start.group.as_str(), start.source), ("/aws/lambda/orders", logs::Writer::Platform));
    assert!(start.stream.contains("/[$LATEST]"), "{}", start.stream);
    assert!(entries.iter().all(|entry| entry.stream == start.stream), "one environment, one stream");
    // And for whoever asks the bridge.
    let router = logs::router(Arc::clone(stage.fleet.logs()));
    let request = Request::get("/functions/orders/logs?tail=2").body(Body::empty()).unwrap();
    let answer = tower::ServiceExt::oneshot(router.clone(), request).await.unwrap();
    let lines = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    assert_eq!(lines.iter().filter(|&&byte| byte == b'\n').count(), 2);
    let request = Request::get("/functions/nobody/logs").body(Body::empty()).unwrap();
    assert_eq!(tower::ServiceExt::oneshot(router, request).await.unwrap().status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_keeps_its_mode_and_one_that_is_missing_is_the_functions_error() {
    if !has_curl() {
        return;
    }
    let stage = Stage::new();
    let spec = provided(stage.zip(&[("bootstrap", BOOTSTRAP, 0o755)]));
    assert_eq!(stage.reply(&spec, &json!({"a": 1})).await, json!({"a": 1}));
    for (files, why) in [
        (&[("other", "", 0o644)], "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"),
        (&[("bootstrap", BOOTSTRAP, 0o644)], "fork/exec /var/task/bootstrap: permission denied"),
    ] {
        let spec = Spec { revision: why.into(), ..provided(stage.zip(files)) };
        let failed = stage.invoke(&spec, &json!({})).await;
        assert_eq!(header(&failed, "x-amz-function-error"), Some("Unhandled"));
        assert_eq!(header(&failed, "x-amz-executed-version"), Some("$LATEST"));
        let id = header(&failed, "x-amzn-requestid").unwrap().to_owned();
        let expected = json!({
            "errorType": "Runtime.InvalidEntrypoint", "errorMessage": format!("RequestId: {id} Error: {why}")
        });
        assert_eq!(body(failed).await, expected);
        let told = format!("RequestId: {id} Error: {why}\nRuntime.InvalidEntrypoint");
        let log = stage.written(&spec, |text| text.contains("REPORT") && text.contains(&id)).await;
        assert!(log.iter().any(|entry| entry.text == told), "{log:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_here_is_refused_in_lambdas_words() {
    let stage = Stage::with(|settings| settings);
    let code = stage.zip(&[("app.py", "", 0o644)]);
    let image = Spec { code: Code::Image("repository/image:tag".into()), ..provided(code.clone()) };
    let broken = Archive { sha256: "b".into(), path: stage.directory.path().join("broken") };
    std::fs::write(&broken.path, "no zip").unwrap();
    let unknown = Spec {
        runtime: Some("python2.7".into()),
        handler: Some("app.handler".into()),
        revision: "3".into(),
        ..provided(code)
    };
    for (spec, status, name) in [
        (image, 502, "InvalidRuntimeException"),
        (Spec { revision: "2".into(), ..provided(broken) }, 502, "InvalidZipFileException"),
        (unknown, 502, "InvalidRuntimeException"),
    ] {
        let refused = stage.invoke(&spec, &json!({})).await;
        assert_eq!((refused.status().as_u16(), header(&refused, "x-amzn-errortype")), (status, Some(name)));
        assert!(body(refused).await["Message"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_function_ends_and_comes_back() {
    let stage = Stage::with(|settings| Settings { idle: Duration::ZERO, runtime_fallback: true, ..settings });
    let Some(spec) = stage.python() else { return };
    let first = stage.reply(&spec, &json!({})).await;
    stage.fleet.sweep();
    gone(&first["pid"]).await;
    let folders = stage.directory.path().join("fleet");
    for _ in 0..500 {
        if std::fs::read_dir(&folders).unwrap().count() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(std::fs::read_dir(&folders).unwrap().count(), 0, "its code is not left unpacked");
    assert_ne!(stage.reply(&spec, &json!({})).await["pid"], first["pid"]);
}
