//! The end of the log, for a caller who asks for it, under AWS's own Python client: what an initialisation wrote, and lines without
//! an end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use common::{header, invoke_with, python, start};
use klr_host::{Host, Logs, Record, Settings, Source};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// A function under awslambdaric that nothing is started ahead for; nothing where there is none.
fn function(source: &str) -> Option<(Settings, TempDir)> {
    let python = python()?;
    let code = tempfile::tempdir().unwrap();
    std::fs::write(code.path().join("app.py"), source).unwrap();
    let command = [python.to_str().unwrap(), "-m", "awslambdaric", "app.handler"].map(str::to_owned).to_vec();
    let (directory, timeout) = (Some(code.path().to_owned()), Duration::from_secs(30));
    let settings =
        Settings { command, directory, timeout, ahead: false, logs: Logs::Quiet, ..Settings::default() };
    Some((settings, code))
}

async fn tail(host: &Host, event: &'static str) -> String {
    let answer = invoke_with(host, &[("x-amz-log-type", "Tail")], event).await;
    let tail = BASE64_STANDARD.decode(header(&answer, "x-amz-log-result").unwrap()).unwrap();
    String::from_utf8(tail).unwrap()
}

/// Where each of these begins, in this order.
fn places(text: &str, what: &[&str]) -> Vec<usize> {
    let mut from = 0;
    let places = what.iter().map(|what| {
        let at = text[from..].find(what).unwrap_or_else(|| panic!("no {what} there: {text}"));
        from += at + what.len();
        from - what.len()
    });
    places.collect()
}

const CHATTY: &str = r#"
import sys, threading, time
print("in the initialisation")

def after():
    time.sleep(0.4)
    print("between two invocations", flush=True)

def handler(event, context):
    print("in the invocation")
    if event == 1:
        threading.Thread(target=after).start()
"#;

#[tokio::test]
async fn the_first_invocations_has_the_initialisation_and_the_next_what_came_between() {
    let Some((settings, _code)) = function(CHATTY) else { return };
    let host = start(settings).await;
    let first = tail(&host, "1").await;
    places(
        &first,
        &["in the initialisation\n", "START RequestId: ", "in the invocation\n", "REPORT RequestId: "],
    );
    assert!(first.starts_with("in the initialisation\n"), "without INIT_START: {first}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let second = tail(&host, "2").await;
    places(&second, &["between two invocations\n", "START RequestId: ", "in the invocation\n"]);
    assert!(!second.contains("initialisation") && second.matches("REPORT").count() == 1, "{second}");
    // Nobody asks for this one's, and so nobody gets it.
    invoke_with(&host, &[], "3").await;
    let last = tail(&host, "4").await;
    assert!(last.starts_with("START RequestId: ") && last.matches("START").count() == 1, "{last}");
}

#[tokio::test]
async fn a_start_that_fails_is_in_the_first_invocations_twice() {
    let Some((settings, _code)) = function("import nowhere\n") else { return };
    let host = start(settings).await;
    let tail = tail(&host, "{}").await;
    let error = "[ERROR] Runtime.ImportModuleError: Unable to import module 'app': No module named 'nowhere'";
    places(
        &tail,
        &[
            error,
            "INIT_REPORT Init Duration: ",
            "Phase: init\tStatus: error\tError Type: Runtime.ImportModuleError\n",
            error,
            "INIT_REPORT Init Duration: ",
            "Phase: invoke\tStatus: error\tError Type: Runtime.ImportModuleError\n",
            "START RequestId: ",
            "END RequestId: ",
            "REPORT RequestId: ",
            "Status: error\tError Type: Runtime.ImportModuleError\n",
        ],
    );
    assert!(!tail.contains("INIT_START Runtime") && tail.matches("INIT_REPORT").count() == 2, "{tail}");
}

const UNFINISHED: &str = r#"
import sys

def handler(event, context):
    sys.stdout.write(f"line {event}")
    sys.stdout.flush()
    sys.stderr.write("another\nand more")
    sys.stderr.flush()
"#;

#[tokio::test]
async fn a_line_without_an_end_is_in_its_invocations_log() {
    let Some((settings, _code)) = function(UNFINISHED) else { return };
    let (sender, mut records) = mpsc::channel(10_000);
    let host = start(Settings { logs: Logs::Records(sender), ..settings }).await;
    let first = tail(&host, "1").await;
    for line in ["\nline 1\n", "\nand more\n"] {
        places(&first, &["START RequestId: ", line]);
        assert!(
            !first.contains("END RequestId: ") || first.find(line) < first.find("END RequestId: "),
            "{first}"
        );
    }
    // Without anybody who waits for it.
    for event in ["2", "3"] {
        invoke_with(&host, &[], event).await;
    }
    let next = async |records: &mut mpsc::Receiver<Record>| {
        let record = tokio::time::timeout(Duration::from_secs(20), records.recv()).await.unwrap().unwrap();
        (record.source, String::from_utf8(record.text.to_vec()).unwrap())
    };
    for event in 1..=3 {
        let mut own = Vec::new();
        loop {
            match next(&mut records).await {
                (Source::Function, text) => own.push(text),
                (_, text) if text.starts_with("END ") => break,
                _ => {}
            }
        }
        own.sort();
        assert_eq!(own, ["and more".to_owned(), "another".to_owned(), format!("line {event}")]);
    }
}
