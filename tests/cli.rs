//! Promise: the command line does what cli.md says: its output, its exit codes, its ports.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use klr_test_support::client::{Response, send};
use klr_test_support::klr::Setup;
use klr_test_support::servers::ElasticMq;
use klr_test_support::sink::{Answer, Sink};
use klr_test_support::sqs::{self, Queue};
use klr_test_support::{eventually, python};
use serde_json::{Value, json};

const KLR: &str = env!("CARGO_BIN_EXE_klr");
const PATIENCE: Duration = Duration::from_secs(60);

const GOOD: &str = "apiVersion: klr.dev/v1alpha1\nkind: EventSourceMapping\nmetadata: {name: orders}\nspec:\n  \
    eventSourceArn: arn:aws:sqs:us-east-1:123456789012:orders\n  functionName: orders\n  \
    sink: {uri: \"http://localhost:9\"}\n";
const JSON: &str = r#"{"apiVersion": "klr.dev/v1alpha1", "kind": "BucketNotification", "metadata": {"name": "uploads"},
    "spec": {"functionName": "thumbs", "webhook": {}, "sink": {"uri": "http://localhost:9"}}}"#;
const BAD: &str = "apiVersion: klr.dev/v1alpha1\nkind: EventSourceMapping\nmetadata: {name: bad}\nspec:\n  \
    eventSourceArn: arn:aws:sqs:us-east-1:123456789012:bad\n  functionName: bad\n  batchsize: 10\n---\n\
    apiVersion: klr.dev/v1alpha1\nkind: EventSourceMaping\nmetadata: {name: worse}\n";
const WORDS: [&str; 2] = [
    ":7: spec.batchsize: unknown field, did you mean batchSize?\n",
    ":10: kind: unknown kind, did you mean EventSourceMapping?\n",
];

/// How a run ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn command(args: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(KLR);
    command.args(args).current_dir(dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn klr(args: &[&str], dir: &Path, stdin: &str) -> Ended {
    let mut child = command(args, dir).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    ended(child)
}

fn ended(child: Child) -> Ended {
    let output = child.wait_with_output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    Ended { code: output.status.code(), stdout, stderr }
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, text)| std::fs::write(dir.path().join(name), text).unwrap());
    dir
}

#[test]
fn validate_says_what_is_wrong_where() {
    let dir =
        folder(&[("good.yaml", GOOD), ("good.json", JSON), ("bad.yaml", BAD), ("broken.yaml", "a: [1")]);
    let validate = |files: &[&str], stdin: &str| klr(&[&["validate"], files].concat(), dir.path(), stdin);
    let named = |file: &str| WORDS.map(|words| format!("{file}{words}")).concat();

    let good = validate(&["good.yaml", "good.json"], "");
    assert_eq!((good.code, good.stdout + &good.stderr), (Some(0), String::new()));
    let bad = validate(&["good.yaml", "bad.yaml"], "");
    assert_eq!((bad.code, bad.stdout), (Some(1), named("bad.yaml")));
    assert_eq!(bad.stderr, "");
    let bad = validate(&["-"], BAD);
    assert_eq!((bad.code, bad.stdout), (Some(1), named("<stdin>")));
    assert_eq!(validate(&["-"], JSON).code, Some(0));
    for (file, words) in [("broken.yaml", "not YAML"), ("missing.yaml", "cannot be read")] {
        let unreadable = validate(&["good.yaml", file], "");
        assert_eq!((unreadable.code, unreadable.stdout.as_str()), (Some(2), ""));
        assert!(unreadable.stderr.starts_with(&format!("error: {file}: {words}")), "{}", unreadable.stderr);
    }
    let twice = validate(&["good.yaml", "good.yaml"], "");
    assert_eq!(twice.code, Some(1), "two of one name");
    assert_eq!(validate(&[], "").code, Some(2), "bad usage");
}

#[test]
fn run_starts_nothing_when_anything_is_invalid() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let good = format!("{GOOD}  endpoint: http://{}\n", server.local_addr().unwrap());
    let webhook = JSON.replace("uploads", "more");
    let mut bridge = Setup::run(KLR)
        .listening()
        .resources("good.yaml", &good)
        .resources("hook.json", &webhook)
        .resources("bad.yaml", BAD)
        .start();
    assert_eq!(bridge.wait_exit(PATIENCE), Some(2));
    for words in WORDS {
        assert!(bridge.stderr().contains(&format!("bad.yaml{words}")), "{}", bridge.stderr());
    }
    assert!(server.accept().is_err(), "the queue was asked");
    for address in [bridge.admin(), bridge.listen()] {
        assert!(TcpStream::connect(&address).is_err(), "{address} is open");
    }
}

const RECORDS: [&str; 3] = [
    r#"{"topic":"t","partition":0,"offset":7,"timestamp":1795341600000,"timestampType":"CREATE_TIME","key":"aw==","value":"djE=","headers":[{"h":"eA=="}]}"#,
    r#"{"topic":"t","partition":1,"offset":3,"timestamp":1795341600001,"timestampType":"CREATE_TIME","key":null,"value":null,"headers":[]}"#,
    r#"{"topic":"t","partition":0,"offset":8,"timestamp":1795341600002,"timestampType":"CREATE_TIME","key":"aw==","value":"djI=","headers":[]}"#,
];
const SHAPED: [&str; 3] = [
    r#"{"topic":"t","partition":0,"offset":7,"timestamp":1795341600000,"timestampType":"CREATE_TIME","key":"aw==","value":"djE=","headers":[{"h":[120]}]}"#,
    r#"{"topic":"t","partition":1,"offset":3,"timestamp":1795341600001,"timestampType":"CREATE_TIME","headers":[]}"#,
    r#"{"topic":"t","partition":0,"offset":8,"timestamp":1795341600002,"timestampType":"CREATE_TIME","key":"aw==","value":"djI=","headers":[]}"#,
];

fn kafka_event(records: &str) -> String {
    format!(
        r#"{{"eventSource":"SelfManagedKafka","bootstrapServers":"a:9092,b:9092","records":{{{records}}}}}"#
    )
}

#[test]
fn shape_makes_events_of_native_messages() {
    let dir = folder(&[]);
    let servers = ["--bootstrap-servers", "a:9092,b:9092"];
    let kafka = |args: &[&str], stdin: &str| {
        klr(&[&["shape", "kafka"], &servers[..], args].concat(), dir.path(), stdin)
    };
    let [first, second, third] = SHAPED;
    let whole = kafka_event(&format!(r#""t-0":[{first},{third}],"t-1":[{second}]"#)) + "\n";
    let shaped = kafka(&[], &RECORDS.join("\n"));
    assert_eq!((shaped.code, &shaped.stdout), (Some(0), &whole), "{}", shaped.stderr);

    let one_each =
        [(0, first), (1, second), (0, third)].map(|(n, r)| kafka_event(&format!("\"t-{n}\":[{r}]")) + "\n");
    assert_eq!(kafka(&["--batch-size", "1"], &RECORDS.join("\n\n")).stdout, one_each.concat());

    let kcat = r#"{"topic":"t","partition":0,"offset":7,"tstype":"create","ts":1795341600000,"broker":1,"headers":["h","x"],"key":"k","payload":"v1"}"#;
    assert_eq!(kafka(&[], kcat).stdout, one_each[0]);

    let envelope: Value = serde_json::from_str(&kafka(&["--envelope"], RECORDS[0]).stdout).unwrap();
    assert_eq!(envelope["type"], "com.amazonaws.kafka.batch");
    assert_eq!(envelope["source"], "kafka://a:9092/t");
    assert_eq!((&envelope["subject"], &envelope["partitionkey"]), (&json!("t"), &json!("t-0")));
    assert_eq!(envelope["data"], serde_json::from_str::<Value>(&one_each[0]).unwrap());
}

#[test]
fn shape_refuses_what_it_cannot_read() {
    let dir = folder(&[]);
    for (args, stdin, words) in [
        (&["kafka"][..], "", "--bootstrap-servers"),
        (&["sqs"], "", "--event-source-arn"),
        (&["sqs", "--event-source-arn", "orders"], "", "expected an ARN"),
        (&["kafka", "--bootstrap-servers", "b"], "\n{", "line 2: expected one Kafka message"),
        (&["s3"], "[]", "line 1: expected an object with a list Records"),
        (&["pigeon"], "", "sqs, kafka, kinesis, dynamodb, s3"),
    ] {
        let refused = klr(&[&["shape"], args].concat(), dir.path(), stdin);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(refused.stderr.contains(words), "{args:?}: {}", refused.stderr);
    }
    let test = klr(&["shape", "s3"], dir.path(), r#"{"Service":"Amazon S3","Event":"s3:TestEvent"}"#);
    assert_eq!((test.code, test.stdout.as_str()), (Some(0), ""), "no event, and nothing wrong");
}

/// A record as the function got it, as the AWS command line prints the message.
fn native(record: &Value) -> String {
    let message = json!({
        "MessageId": record["messageId"],
        "ReceiptHandle": record["receiptHandle"],
        "MD5OfBody": record["md5OfBody"],
        "Body": record["body"],
        "Attributes": record["attributes"],
    });
    message.to_string()
}

#[test]
fn shape_writes_what_run_delivers_byte_for_byte() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "shaped", 30);
    queue.send_all(&["plain".to_owned(), "tab\t \"quoted\" \\ \u{7f} \u{2028} é 😀".to_owned()]);
    let sink = Sink::start(|_| Answer::json("null"));
    let _bridge = Setup::run(KLR).resources("m.yaml", &queue.mapping(&sink.uri, "")).start();
    assert!(sink.wait_for(1, PATIENCE));
    let request = &sink.requests()[0];
    let lines: Vec<_> = sqs::records(request).iter().map(native).collect();
    let args = ["shape", "sqs", "--event-source-arn", &queue.arn()];
    let shaped = klr(&args, &std::env::temp_dir(), &lines.join("\n"));
    assert_eq!(shaped.stdout.trim_end().as_bytes(), &request.body[..], "{}", shaped.stderr);
}

const HANDLER: &str = r#"
def handler(event, context):
    if event.get("fail"):
        raise ValueError("as told")
    return {"echo": event}
"#;

#[test]
fn host_serves_a_function_to_cloudevents_and_to_the_invoke_api() {
    let Some(venv) = python::venv(&["awslambdaric"]) else { return };
    let python = venv.join("bin/python").display().to_string();
    let setup = Setup::host(KLR).args(["--", &python, "-m", "awslambdaric", "app.handler"]);
    setup.file("app.py", HANDLER);
    let mut host = setup.start();
    host.wait_ready();
    let attributes = [
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "test"),
        ("ce-type", "test"),
        ("content-type", "application/json"),
    ];
    let event = |body: &str| send("POST", &host.listen(), &attributes, body).unwrap();
    let path = "/2015-03-31/functions/function/invocations";
    let invoke = |body: &str| send("POST", &(host.listen() + path), &[], body).unwrap();
    let body = |answer: &Response| serde_json::from_slice::<Value>(&answer.body).unwrap();
    for (status, answer) in [(500, event(r#"{"fail": 1}"#)), (200, invoke(r#"{"fail": 1}"#))] {
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.header("x-amz-function-error"), Some("Unhandled"));
        assert_eq!(
            (&body(&answer)["errorType"], &body(&answer)["errorMessage"]),
            (&json!("ValueError"), &json!("as told"))
        );
    }
    for answer in [event(r#"{"n": 1}"#), invoke(r#"{"n": 1}"#)] {
        assert_eq!((answer.status, body(&answer)), (200, json!({"echo": {"n": 1}})));
    }
    host.sigterm();
    assert_eq!(host.wait_exit(PATIENCE), Some(0), "{}", host.stderr());
}

fn demo(python: &Path) -> Ended {
    ended(
        command(&["demo", "--records", "25"], &std::env::temp_dir())
            .env("KLR_PYTHON", python)
            .spawn()
            .unwrap(),
    )
}

#[test]
fn demo_shows_the_main_job_and_ends() {
    // One environment has AWS's runtime client, the other has not.
    for (package, under) in
        [("awslambdaric", "under awslambdaric"), ("moto[server]==5.2.5", "a bootstrap of its own")]
    {
        let Some(venv) = python::venv(&[package]) else { return };
        let Ended { code, stdout, stderr } = demo(&venv.join("bin/python"));
        assert_eq!(code, Some(0), "{stdout}\n{stderr}");
        let total = stdout.lines().last().unwrap();
        assert!(stdout.lines().next().unwrap().contains(under), "{stdout}");
        assert!(
            total.starts_with("total: ")
                && total.contains(" 25 Kafka records, 3 S3 notifications, 0 failed,"),
            "{total}"
        );
        for words in
            ["com.amazonaws.kafka.batch  id ", "com.amazonaws.s3.ObjectCreated:Put  id ", r#"{"orders": "#]
        {
            assert!(stdout.contains(words), "{words}\n{stdout}");
        }
    }
}

#[test]
fn demo_without_python_says_what_is_missing() {
    let Ended { code, stderr, .. } = demo(Path::new("/nonexistent/python3"));
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("needs python3"), "{stderr}");
}

/// Reads one line, or none, and goes away.
fn with_a_reader_that_leaves(mut child: Child, lines: usize, stdin: &str) {
    let mut input = child.stdin.take().unwrap();
    let stdin = stdin.to_owned();
    // It may end before it has read everything.
    let writer = thread::spawn(move || drop(input.write_all(stdin.as_bytes())));
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    (0..lines).for_each(|_| assert!(reader.read_line(&mut String::new()).unwrap() > 0));
    drop(reader);
    writer.join().unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let code = child.wait().unwrap().code();
    assert!(code.is_some() && !stderr.contains("panicked"), "{code:?} {stderr}");
}

#[test]
fn a_reader_that_leaves_is_no_panic() {
    let dir = folder(&[("bad.yaml", BAD)]);
    let shape = ["shape", "kafka", "--bootstrap-servers", "b", "--batch-size", "1"];
    with_a_reader_that_leaves(
        command(&shape, dir.path()).spawn().unwrap(),
        1,
        &format!("{}\n", RECORDS[0]).repeat(5000),
    );
    with_a_reader_that_leaves(command(&["validate", "bad.yaml"], dir.path()).spawn().unwrap(), 0, "");
    with_a_reader_that_leaves(command(&["demo"], dir.path()).spawn().unwrap(), 1, "");
}

fn webhook(sink: &str) -> String {
    JSON.replace("http://localhost:9", sink)
}

#[test]
fn a_port_that_is_taken_is_told_and_nothing_is_started() {
    let mut first = Setup::run(KLR).listening().resources("n.json", &webhook("http://localhost:9")).start();
    first.wait_ready();
    let dir = folder(&[("n.json", &webhook("http://localhost:9"))]);
    for (flag, taken) in [("--admin", first.admin()), ("--listen", first.listen())] {
        let other = if flag == "--admin" { "--listen" } else { "--admin" };
        let args = ["run", "-f", "n.json", flag, &taken, other, "127.0.0.1:0"];
        let second = klr(&args, dir.path(), "");
        assert_eq!(second.code, Some(2), "{}", second.stderr);
        assert!(second.stderr.contains(&format!("error: {flag} {taken}: ")), "{}", second.stderr);
    }
    assert!(first.ready(), "the first goes on");
}

#[test]
fn a_state_directory_is_one_process_s_whatever_it_runs() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().to_str().unwrap();
    let sink = Sink::start(|_| Answer::status(200));
    let run = || {
        let setup = Setup::run(KLR).listening().args(["--state", path]);
        setup.resources("a.yaml", &webhook(&sink.uri)).start()
    };
    let mut first = run();
    first.wait_ready();
    let mut second = run();
    assert_eq!(second.wait_exit(PATIENCE), Some(2), "{}", second.stderr());
    assert!(second.stderr().contains("another klr uses it"), "{}", second.stderr());
    first.kill9();
    run().wait_ready();
}

#[test]
fn the_admin_port_is_for_probes_and_local_tools() {
    let sink = Sink::start(|_| Answer::json("null").after(Duration::from_secs(5)));
    let mut bridge = Setup::run(KLR).listening().resources("n.json", &webhook(&sink.uri)).start();
    bridge.wait_ready();
    let ask = |method: &str, path: &str, headers: &[(&str, &str)]| {
        send(method, &(bridge.admin() + path), headers, "").unwrap()
    };
    assert_eq!(ask("GET", "/healthz", &[]).text(), "ok\n");
    let ready = serde_json::from_str::<Value>(&ask("GET", "/readyz", &[]).text()).unwrap();
    let mapping = json!({
        "name": "uploads",
        "ready": true,
        "state": "Enabled",
        "stateTransitionReason": "User action",
        "lastProcessingResult": "No records processed",
    });
    assert_eq!(ready, json!({"ready": true, "draining": false, "mappings": [mapping]}));
    let metrics = ask("GET", "/metrics", &[]);
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(
        metrics.text().contains("klr_polled_event_count_total{mapping=\"uploads\"} 0\n"),
        "{}",
        metrics.text()
    );
    for path in ["/healthz", "/readyz", "/metrics", "/mappings"] {
        assert_eq!(ask("GET", path, &[("origin", "http://localhost")]).status, 403, "{path}");
        assert_eq!(ask("GET", path, &[("host", "evil.example:9090")]).status, 403, "{path}");
        assert_eq!(ask("GET", path, &[("host", "localhost:9090")]).status, 200, "{path}");
        assert_eq!(ask("POST", path, &[]).status, 405, "{path}");
    }
    assert_eq!(ask("GET", "/", &[]).status, 404);

    let hook = format!("{}/bucketnotifications/uploads", bridge.listen());
    let body = r#"{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"k"}}}]}"#;
    let sender = thread::spawn(move || send("POST", &hook, &[], body).unwrap().status);
    assert!(sink.wait_for(1, PATIENCE));
    bridge.sigterm();
    assert!(eventually(PATIENCE, || ask("GET", "/readyz", &[]).status == 503), "draining is not ready");
    assert!(ask("GET", "/readyz", &[]).text().contains(r#""draining":true"#));
    assert_eq!(ask("GET", "/healthz", &[]).status, 200, "and alive");
    assert_eq!(sender.join().unwrap(), 200);
    assert_eq!(bridge.wait_exit(PATIENCE), Some(0));
}
