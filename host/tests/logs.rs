//! The log stream: the platform's lines, the function's records, and how many of them come as one.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use common::{BOOTSTRAP, built, code, header, invoke, invoke_with, provided, python, start};
use klr_host::{Host, Logs, Record, Settings, Source};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;

/// The log of a host, as an embedder gets it.
struct Log(mpsc::Receiver<Record>);

impl Log {
    /// Settings that write to it.
    fn of(settings: Settings) -> (Settings, Self) {
        let (sender, receiver) = mpsc::channel(10_000);
        (Settings { logs: Logs::Records(sender), ..settings }, Self(receiver))
    }

    /// What was written so far, and up to the `count`th record that begins so.
    async fn until(&mut self, beginning: &str, count: usize) -> Vec<(Source, String)> {
        self.until_all(|all| all.iter().filter(|(_, text)| text.starts_with(beginning)).count() == count)
            .await
    }

    /// What was written so far, and on until nothing is missing.
    async fn until_all(&mut self, there: impl Fn(&[(Source, String)]) -> bool) -> Vec<(Source, String)> {
        let mut all = Vec::new();
        while !there(&all) {
            let next = tokio::time::timeout(Duration::from_secs(20), self.0.recv()).await;
            all.push(read(next.unwrap_or_else(|_| panic!("{all:?}, and no more")).unwrap()));
        }
        all
    }

    /// One invocation: its report, `count` records of the function's, and any that should not be.
    async fn invocation(&mut self, report: &str, count: usize) -> Vec<(Source, String)> {
        // The pipes have their own pace: the report may come before the last of the function's.
        let reported = |all: &[(_, String)]| all.iter().any(|(_, text)| text.contains(report));
        let mut records = self.until_all(|all| reported(all) && functions(all).len() >= count).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        while let Ok(record) = self.0.try_recv() {
            records.push(read(record));
        }
        records
    }
}

fn read(record: Record) -> (Source, String) {
    (record.source, String::from_utf8(record.text.to_vec()).unwrap())
}

fn of(source: Source, records: &[(Source, String)]) -> Vec<&str> {
    records.iter().filter(|record| record.0 == source).map(|(_, text)| text.as_str()).collect()
}

fn platform(records: &[(Source, String)]) -> Vec<&str> {
    of(Source::Platform, records)
}

fn functions(records: &[(Source, String)]) -> Vec<&str> {
    of(Source::Function, records)
}

/// Invokes; the request's id. On a loaded machine a new environment may take longer to start than a caller waits.
async fn id(host: &Host, asked: &str) -> String {
    loop {
        let answer = invoke(host, asked.to_owned()).await;
        if answer.status() != 429 {
            return header(&answer, "x-amzn-requestid").unwrap().to_owned();
        }
    }
}

#[tokio::test]
async fn an_invocation_reads_as_on_lambda() {
    let code = code(BOOTSTRAP);
    let (settings, mut log) = Log::of(provided(&code));
    let host = start(settings).await;
    let first = id(&host, r#"{"do":"print","line":"one\rrecord"}"#).await;
    let records = log.until("REPORT", 1).await;
    let lines = platform(&records);
    let init = "INIT_START Runtime Version: provided:al2023.v1\tRuntime Version ARN: \
                arn:aws:lambda:us-east-1::runtime:provided.al2023"
        .to_owned();
    assert_eq!(
        lines[..3],
        [&init, &format!("START RequestId: {first} Version: $LATEST"), &format!("END RequestId: {first}")]
    );
    let fields: Vec<_> = lines[3].split('\t').collect();
    let names: Vec<_> = fields.iter().map(|field| field.split(':').next().unwrap()).collect();
    assert_eq!(
        names,
        [
            "REPORT RequestId",
            "Duration",
            "Billed Duration",
            "Memory Size",
            "Max Memory Used",
            "Init Duration",
            ""
        ]
    );
    assert_eq!(
        (fields[0], fields[3]),
        (format!("REPORT RequestId: {first}").as_str(), "Memory Size: 128 MB")
    );
    let number = |field: &str| field.split(' ').rev().nth(1).unwrap().parse::<f64>().unwrap();
    let beyond = number(fields[2]) - number(fields[1]) - number(fields[5]);
    // Each of them is rounded for itself, the bill is of what they are.
    assert!((-0.011..=1.011).contains(&beyond), "{}", lines[3]);
    assert!(number(fields[4]) > 1.0 && number(fields[5]) > 1.0, "{}", lines[3]);

    id(&host, "{}").await;
    let records = log.until("REPORT", 1).await;
    assert!(!records.last().unwrap().1.contains("Init Duration"), "{records:?}");
    let all: Vec<_> = records.iter().filter(|(source, _)| *source == Source::Function).collect();
    assert!(all.len() <= 1, "a carriage return ends no record: {all:?}");
}

/// It is written when the runtime asks for more, or when it is clear that it will not.
#[tokio::test]
async fn the_last_invocation_has_a_report_too() {
    let code = code(BOOTSTRAP);
    let (settings, mut log) = Log::of(provided(&code));
    let host = start(settings).await;
    let last = id(&host, r#"{"do":"dawdle"}"#).await;
    host.stop(Duration::from_secs(20)).await;
    let records = log.until("REPORT", 1).await;
    assert!(
        platform(&records).last().unwrap().starts_with(&format!("REPORT RequestId: {last}")),
        "{records:?}"
    );
}

#[tokio::test]
async fn timeouts_errors_and_losses_are_told() {
    let code = code(BOOTSTRAP);
    let (settings, mut log) = Log::of(Settings { timeout: Duration::from_millis(2500), ..provided(&code) });
    let host = start(settings).await;
    let late = id(&host, r#"{"do":"sleep","seconds":60}"#).await;
    let records = log.until("REPORT", 1).await;
    let lines = platform(&records);
    let [.., said, end, report] = lines[..] else { panic!("{lines:?}") };
    let (time, rest) = said.split_once(' ').unwrap();
    assert!(time.len() == "2026-11-22T10:00:00.000Z".len() && time.ends_with('Z'), "{said}");
    assert_eq!(rest, format!("{late} Task timed out after 2.50 seconds"));
    assert_eq!(end, format!("END RequestId: {late}"));
    assert!(report.contains("\tDuration: 2500.00 ms\t") && report.ends_with("\tStatus: timeout"), "{report}");

    let lost = id(&host, r#"{"do":"exit","code":3}"#).await;
    let records = log.until("REPORT", 1).await;
    let lines = platform(&records);
    let fault =
        format!("RequestId: {lost} Error: Runtime exited with error: exit status 3\nRuntime.ExitError");
    assert!(lines.contains(&fault.as_str()), "{lines:?}");
    assert!(lines.last().unwrap().ends_with("\tStatus: error\tError Type: Runtime.ExitError"), "{lines:?}");

    // What the runtime reports is the caller's to read, and nothing more.
    id(&host, r#"{"do":"error"}"#).await;
    let records = log.until("REPORT", 1).await;
    assert!(!records.last().unwrap().1.contains("Status: "), "{records:?}");
    id(&host, r#"{"do":"truncate"}"#).await;
    let records = log.until("REPORT", 1).await;
    let report = &records.last().unwrap().1;
    assert!(report.ends_with("\tStatus: error\tError Type: Runtime.TruncatedResponse"), "{report}");
}

#[tokio::test]
async fn an_error_that_the_runtime_reports_is_in_the_json_report() {
    let code = code(BOOTSTRAP);
    let environment = vec![("AWS_LAMBDA_LOG_FORMAT".to_owned(), "JSON".to_owned())];
    let (settings, mut log) = Log::of(Settings { environment, ..provided(&code) });
    let host = start(settings).await;
    id(&host, r#"{"do":"error"}"#).await;
    let mut record = Value::Null;
    while record["type"] != "platform.report" {
        record = serde_json::from_slice(&log.0.recv().await.unwrap().text).unwrap();
    }
    assert_eq!(
        (&record["record"]["status"], &record["record"]["errorType"]),
        (&"error".into(), &"Runtime.Unknown".into())
    );
}

#[tokio::test]
async fn a_start_that_fails_is_told() {
    let code = code(BOOTSTRAP);
    let environment = vec![("EXIT_INIT".to_owned(), "7".to_owned())];
    // Not ahead: it would be tried for nobody, too.
    let (settings, mut log) = Log::of(Settings { environment, ahead: false, ..provided(&code) });
    let host = start(settings).await;
    let id = id(&host, "{}").await;
    let records = log.until("REPORT", 1).await;
    let lines = platform(&records);
    // Once, though it was tried again within the invocation.
    let [begun, init, again, start, .., report] = lines[..] else { panic!("{lines:?}") };
    assert!(begun.starts_with("INIT_START ") && init.starts_with("INIT_REPORT Init Duration: "), "{lines:?}");
    assert!(init.ends_with(" ms\tPhase: init\tStatus: error\tError Type: Runtime.ExitError"), "{lines:?}");
    assert!(again.ends_with(" ms\tPhase: invoke\tStatus: error\tError Type: Runtime.ExitError"), "{lines:?}");
    assert_eq!(start, format!("START RequestId: {id} Version: $LATEST"));
    assert!(report.ends_with("\tStatus: error\tError Type: Runtime.ExitError"), "{lines:?}");
}

/// It is another start.
#[tokio::test]
async fn a_start_after_a_loss_is_told() {
    let code = code(BOOTSTRAP);
    let (settings, mut log) = Log::of(provided(&code));
    let host = start(settings).await;
    id(&host, r#"{"do":"kill"}"#).await;
    id(&host, "{}").await;
    let records = log.until("REPORT", 2).await;
    let starts = platform(&records).iter().filter(|line| line.starts_with("INIT_START")).count();
    assert_eq!(starts, 2, "{records:?}");
}

#[tokio::test]
async fn the_tail_has_the_platforms_lines_and_ends_with_the_report() {
    let code = code(BOOTSTRAP);
    let host = start(Settings { logs: Logs::Quiet, ..provided(&code) }).await;
    for asked in [r#"{"do":"print","line":"said"}"#, r#"{"do":"kill"}"#] {
        let answer = invoke_with(&host, &[("x-amz-log-type", "Tail")], asked).await;
        let id = header(&answer, "x-amzn-requestid").unwrap();
        let tail = BASE64_STANDARD.decode(header(&answer, "x-amz-log-result").unwrap()).unwrap();
        let tail = String::from_utf8(tail).unwrap();
        let lines: Vec<_> = tail.lines().collect();
        assert_eq!(lines[0], format!("START RequestId: {id} Version: $LATEST"), "{tail}");
        let report = format!("REPORT RequestId: {id}\t");
        assert!(lines.last().unwrap().starts_with(&report), "{tail}");
        assert_eq!(tail.matches(&report).count(), 1, "{tail}");
        assert!(tail.contains(if asked.contains("kill") { "signal: killed" } else { "said" }), "{tail}");
    }
}

#[tokio::test]
async fn each_environment_has_a_stream_of_its_own_and_knows_its_name() {
    let code = code(BOOTSTRAP);
    let (settings, mut log) = Log::of(Settings { concurrency: 2, ..provided(&code) });
    let host = std::sync::Arc::new(start(settings).await);
    let mut told = BTreeSet::new();
    while told.len() < 2 {
        let both = [0; 2].map(|_| {
            let host = std::sync::Arc::clone(&host);
            tokio::spawn(async move { common::json(invoke(&host, r#"{"do":"context"}"#).await).await })
        });
        for answer in both {
            let context = answer.await.unwrap();
            told.insert(context["env"]["AWS_LAMBDA_LOG_STREAM_NAME"].as_str().unwrap().to_owned());
        }
    }
    let mut streams = BTreeSet::new();
    while let Ok(record) = log.0.try_recv() {
        if record.text.starts_with(b"START") {
            streams.insert(record.stream.to_string());
        }
    }
    assert_eq!(streams, told);
}

const HANDLER: &str = r#"
import logging, os
logger = logging.getLogger()
logger.setLevel(os.environ.get("LEVEL", "INFO"))

def handler(event, context):
    try:
        raise ValueError("as asked")
    except ValueError:
        logger.exception("it went\nwrong")
    logger.debug("a detail")
    print("printed", flush=True)
    pipes = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
             if os.path.islink(f"/proc/self/fd/{fd}")]
    return {"pipes": sorted(set(pipe for pipe in pipes if pipe.startswith("pipe:")))}
"#;

/// A function under awslambdaric; nothing where there is none.
fn python_function() -> Option<(Settings, TempDir)> {
    let python = python()?;
    let code = tempfile::tempdir().unwrap();
    std::fs::write(code.path().join("app.py"), HANDLER).unwrap();
    let command = [python.to_str().unwrap(), "-m", "awslambdaric", "app.handler"].map(str::to_owned).to_vec();
    let directory = Some(code.path().to_owned());
    Some((Settings { command, directory, timeout: Duration::from_secs(30), ..Settings::default() }, code))
}

#[tokio::test]
async fn a_traceback_is_one_record_with_its_newlines() {
    let Some((settings, _code)) = python_function() else { return };
    let (settings, mut log) = Log::of(settings);
    let host = start(settings).await;
    invoke(&host, "{}").await;
    let records = log.invocation("REPORT", 2).await;
    let own = functions(&records);
    assert_eq!(own.len(), 2, "{own:?}");
    let traceback = own.iter().find(|text| text.starts_with("[ERROR]\t")).unwrap();
    assert!(traceback.contains("\tit went\nwrong\nTraceback (most recent call last):\n"), "{traceback:?}");
    assert!(traceback.ends_with("ValueError: as asked"), "{traceback:?}");
    assert!(own.contains(&"printed"), "{own:?}");
}

/// Node's client frames what it writes, as Python's does.
#[tokio::test]
async fn a_line_of_nodes_console_is_one_record_whatever_is_in_it() {
    let Some(client) = built::client("node") else { return };
    let code = tempfile::tempdir().unwrap();
    let handler = "exports.handler = async () => { console.log('one\\nrecord'); console.error(new Error('as\\nasked')); };";
    std::fs::write(code.path().join("index.js"), handler).unwrap();
    let ric = client.join("node_modules/.bin/aws-lambda-ric");
    let command = vec![ric.to_str().unwrap().to_owned(), "index.handler".to_owned()];
    let timeout = Duration::from_secs(30);
    let settings =
        Settings { command, directory: Some(code.path().to_owned()), timeout, ..Settings::default() };
    let (settings, mut log) = Log::of(settings);
    let host = start(settings).await;
    invoke(&host, "{}").await;
    let records = log.invocation("REPORT", 2).await;
    let [.., said, failed] = functions(&records)[..] else { panic!("{records:?}") };
    assert!(said.ends_with("\tINFO\tone\nrecord"), "{said:?}");
    assert!(failed.contains("\tERROR\t") && failed.contains("Error: as\nasked\n    at "), "{failed:?}");
}

fn pipes_of_this_process() -> BTreeSet<String> {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let links = descriptors.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links.map(|link| link.to_string_lossy().into_owned()).filter(|link| link.starts_with("pipe:")).collect()
}

#[tokio::test]
async fn no_process_has_the_descriptors_of_another() {
    let Some((settings, _code)) = python_function() else { return };
    // What whoever runs the tests has left open is everybody's.
    let everybodys = pipes_of_this_process();
    let host = start(Settings { concurrency: 3, logs: Logs::Quiet, ..settings }).await;
    let host = std::sync::Arc::new(host);
    let (mut seen, mut rounds) = (BTreeSet::new(), 0);
    // However many start, one may be quick enough to answer all three of a round.
    while rounds < 5 || (seen.len() < 2 && rounds < 20) {
        rounds += 1;
        let calls = [0; 3].map(|_| {
            let host = std::sync::Arc::clone(&host);
            tokio::spawn(async move { common::json(invoke(&host, "{}").await).await })
        });
        for call in calls {
            let mut pipes = call.await.unwrap()["pipes"].as_array().unwrap().clone();
            pipes.retain(|pipe| !everybodys.contains(pipe.as_str().unwrap()));
            assert_eq!(pipes.len(), 3, "output, error and frames: {pipes:?}");
            seen.insert(Value::from(pipes).to_string());
        }
    }
    assert!(seen.len() > 1, "more than one process was asked");
}

#[tokio::test]
async fn the_json_format_has_objects_and_levels() {
    let Some((settings, _code)) = python_function() else { return };
    for (level, detail) in [("INFO", false), ("DEBUG", true)] {
        let environment =
            [("AWS_LAMBDA_LOG_FORMAT", "JSON"), ("AWS_LAMBDA_LOG_LEVEL", level), ("LEVEL", "DEBUG")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let (settings, mut log) = Log::of(Settings { environment, ..settings.clone() });
        let host = start(settings).await;
        let id = id(&host, "{}").await;
        let records = log.invocation("platform.report", 2 + usize::from(detail)).await;
        let (mut platforms, mut own) = (Vec::new(), Vec::new());
        for (source, text) in records {
            match (source, serde_json::from_str::<Value>(&text)) {
                (Source::Platform, object) => platforms.push(object.unwrap()),
                (_, Ok(object)) => own.push(object),
                (_, Err(_)) => assert_eq!(text, "printed"),
            }
        }
        let kinds: Vec<_> = platforms.iter().map(|object| object["type"].as_str().unwrap()).collect();
        assert_eq!(
            kinds,
            ["platform.initStart", "platform.start", "platform.report"],
            "debug events are not kept"
        );
        assert_eq!(
            (&platforms[2]["record"]["requestId"], &platforms[2]["record"]["status"]),
            (&id.as_str().into(), &"success".into())
        );
        let error = own.iter().find(|object| object["level"] == "ERROR").unwrap();
        assert_eq!((&error["requestId"], &error["errorType"]), (&id.into(), &"ValueError".into()));
        assert_eq!(own.iter().any(|object| object["message"] == "a detail"), detail, "{own:?}");
    }
}
