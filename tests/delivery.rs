//! Promise: what a sink answers decides what becomes of a batch, as design.md §5 has it; and a sink is spoken to as Knative
//! says, over as few connections as it takes, without telling a log what was in the batch.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::collections::HashSet;
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::time::Duration;

use http::Version;
use klr_test_support::eventually;
use klr_test_support::klr::{Bridge, Setup};
use klr_test_support::servers::ElasticMq;
use klr_test_support::sink::{Answer, Request, Sink};
use klr_test_support::sqs::{self, Counts, Queue};
use klr_test_support::tls::Identity;

const KLR: &str = env!("CARGO_BIN_EXE_klr");
const PATIENCE: Duration = Duration::from_secs(30);
const REPORT: &str = "functionResponseTypes: [ReportBatchItemFailures]";
/// Seconds; what is tried again within them was not left to the queue, however slow the machine.
const VISIBILITY: u32 = 12;

fn ok(_: &Request) -> Answer {
    Answer::json("null")
}

fn emptied(queue: &Queue) -> bool {
    eventually(PATIENCE, || queue.counts() == Counts::EMPTY)
}

/// How often the queue had handed out the first message of a batch.
fn receives(request: &Request) -> String {
    sqs::text(&sqs::records(request)[0], "attributes.ApproximateReceiveCount")
}

/// Says a thing once to every path, and success afterwards.
fn once_each(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Sink {
    let heard = Mutex::new(HashSet::new());
    Sink::start(move |request| {
        let path = request.uri.path().trim_start_matches('/');
        if heard.lock().unwrap().insert(path.to_owned()) { answer(path) } else { ok(request) }
    })
}

/// What an answer means for the batch it is the answer to.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meaning {
    /// Not its fault: the same batch again, soon, as the same delivery of the queue.
    Again,
    /// The function's error: left to the queue, which hands it out again.
    Failed,
}
use Meaning::{Again, Failed};

fn each_row(rows: &[(&'static str, Meaning)], spec: &str, answer: fn(&str) -> Answer) {
    let Some(server) = ElasticMq::shared() else { return };
    let queues: Vec<_> =
        rows.iter().map(|(row, _)| Queue::standard(&server.endpoint, row, VISIBILITY)).collect();
    queues.iter().zip(rows).for_each(|(queue, (row, _))| queue.send(*row));
    let sink = once_each(answer);
    let mapping = |(queue, (row, _)): (&Queue, &(&str, Meaning))| {
        queue.mapping_spec(&format!("sink: {{uri: \"{}/{row}\"{spec}}}", sink.uri))
    };
    let mappings: String = queues.iter().zip(rows).map(mapping).collect();
    let bridge = Setup::run(KLR).resources("m.yaml", &mappings).start();

    for (queue, (row, meaning)) in queues.iter().zip(rows) {
        assert!(emptied(queue), "{row}: {:?}\n{}", queue.counts(), bridge.stderr());
        let requests = sink.requests();
        let of_row: Vec<_> =
            requests.iter().filter(|request| request.uri.path() == format!("/{row}")).collect();
        let [first, second] = &of_row[..] else { panic!("{row}: {} requests", of_row.len()) };
        let expected = if *meaning == Again { "1" } else { "2" };
        assert_eq!((receives(first).as_str(), receives(second).as_str()), ("1", expected), "{row}");
        assert_eq!(first.header("ce-id"), second.header("ce-id"), "{row}: one batch, one id");
    }
    for request in sink.requests() {
        assert_eq!(request.header("prefer"), None);
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_ne!(request.uri.path(), "/elsewhere", "redirects are not followed");
    }
}

/// Rows are named after what is answered: a status, and what comes with it.
fn answer(row: &str) -> Answer {
    let status = Answer::status(row[..3].parse().unwrap_or(200));
    match &row[3..] {
        "-redirect" => status.header("location", "/elsewhere"),
        "-after" => status.header("retry-after", "1"),
        "-error" => status.body(r#"{"errorType":"Runtime.ExitError"}"#),
        "-header" => status.header("x-amz-function-error", "Unhandled").body("{}"),
        _ if row == "cut" => Answer::cut(),
        _ => status,
    }
}

#[test]
fn what_the_functions_own_answer_means() {
    let rows = [
        ("200-header", Failed),
        ("400", Failed),
        ("410", Failed),
        ("418", Failed),
        ("422", Failed),
        ("500", Failed),
        ("502-error", Failed),
        ("504", Failed),
        ("307-redirect", Again),
        ("401", Again),
        ("403", Again),
        ("404", Again),
        ("405", Again),
        ("408", Again),
        ("409", Again),
        ("415", Again),
        ("429-after", Again),
        ("501", Again),
        ("502", Again),
        ("503", Again),
        ("cut", Again),
    ];
    each_row(&rows, "", answer);
}

#[test]
fn what_the_answer_of_a_sink_that_only_accepts_means() {
    let rows =
        [("400", Failed), ("404", Again), ("422", Again), ("500", Again), ("503", Again), ("cut", Again)];
    each_row(&rows, ", ackMode: accepted", answer);
}

#[test]
fn a_sink_that_only_accepts_has_the_batch_with_its_2xx() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "accepted", 30);
    queue.send_all(&["a".to_owned(), "b".to_owned()]);
    // Whatever else it says: it is not the function that says it.
    let sink = Sink::start(|_| Answer::status(202).header("x-amz-function-error", "Unhandled"));
    let spec = format!("sink: {{uri: \"{}\", ackMode: accepted}}", sink.uri);
    let _bridge = Setup::run(KLR).resources("m.yaml", &queue.mapping_spec(&spec)).start();
    assert!(emptied(&queue));
    assert_eq!(sink.count(), 1);
}

#[test]
fn what_is_too_large_for_the_sink_comes_in_halves() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "halves", 30);
    queue.send_all(&["a", "b", "c", "d"].map(str::to_owned));
    let sink = Sink::start(|request| match sqs::records(request).len() {
        1 => ok(request),
        _ => Answer::status(413),
    });
    let _bridge = Setup::run(KLR).resources("m.yaml", &queue.mapping(&sink.uri, "")).start();
    assert!(emptied(&queue));
    let requests = sink.requests();
    let sizes: Vec<_> = requests.iter().map(|request| sqs::records(request).len()).collect();
    assert_eq!(sizes, [4, 2, 1, 1, 2, 1, 1]);
    assert!(requests.iter().all(|request| receives(request) == "1"), "too large is no failure");
}

#[test]
fn a_request_takes_no_longer_than_the_sinks_timeout() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "timeout", 3);
    queue.send("slow");
    let sink = Sink::start(|request| match request.index {
        0 => ok(request).after(PATIENCE),
        _ => ok(request),
    });
    let spec = format!("sink: {{uri: \"{}\", timeout: 500ms}}", sink.uri);
    let bridge = Setup::run(KLR).resources("m.yaml", &queue.mapping_spec(&spec)).start();
    assert!(sink.wait_for(1, PATIENCE));
    let given_up = || bridge.metric("klr_invoke_error_count_total", "") == 1.0;
    assert!(eventually(Duration::from_secs(20), given_up), "{}", bridge.metrics());
    assert!(emptied(&queue));
    assert_eq!(receives(&sink.requests()[1]), "2", "an attempt was spent");
}

#[test]
fn a_function_must_not_run_longer_than_its_messages_stay_hidden() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "patient", 3);
    queue.send("hello");
    let sink = Sink::start(ok);
    let spec = format!("sink: {{uri: \"{}\", timeout: 4s}}", sink.uri);
    let mut bridge = Setup::run(KLR).resources("m.yaml", &queue.mapping_spec(&spec)).start();
    assert_eq!(bridge.wait_exit(PATIENCE), Some(2));
    let words = "Queue visibility timeout: 3 seconds is less than Function timeout: 4 seconds";
    assert!(bridge.stderr().contains(words), "{}", bridge.stderr());
    assert_eq!((sink.count(), queue.counts()), (0, Counts { visible: 1, hidden: 0 }));
}

#[test]
fn connections_are_kept() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "kept", 30);
    queue.send_all(&(0..40).map(|n| n.to_string()).collect::<Vec<_>>());
    let sink = Sink::start(ok);
    let spec = "batchSize: 1\nscalingConfig: {maximumConcurrency: 2}";
    let _bridge = Setup::run(KLR).resources("m.yaml", &queue.mapping(&sink.uri, spec)).start();
    assert!(emptied(&queue));
    assert_eq!(sink.count(), 40);
    assert!(sink.connections() <= 2, "{} connections for two lanes", sink.connections());
    assert!(sink.requests().iter().all(|request| request.version == Version::HTTP_11));
}

#[test]
fn http_2_where_the_sink_asks_for_it() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "h2c", 30);
    queue.send_all(&(0..20).map(|n| n.to_string()).collect::<Vec<_>>());
    let sink = Sink::start(ok);
    let spec = format!("batchSize: 1\nsink: {{uri: \"{}\", http: 2}}", sink.uri);
    let _bridge = Setup::run(KLR).resources("m.yaml", &queue.mapping_spec(&spec)).start();
    assert!(emptied(&queue));
    assert_eq!(sink.count(), 20);
    assert!(sink.requests().iter().all(|request| request.version == Version::HTTP_2));
}

#[test]
fn knatives_environment_says_where_and_how() {
    let Some(server) = ElasticMq::shared() else { return };
    let Some(identity) = Identity::new() else { return };
    let queue = Queue::standard(&server.endpoint, "knative", 30);
    queue.send("hello");
    let sink = Sink::https(&identity, ok);
    let setup = || {
        Setup::run(KLR)
            .env("K_SINK", &format!("{}/ns/orders?tier=gold", sink.uri))
            .env("K_CE_OVERRIDES", r#"{"extensions": {"team": "blue", "functionname": "renamed"}}"#)
            .resources("m.yaml", &queue.mapping_spec(""))
    };
    let mut stranger = setup().start();
    assert!(eventually(PATIENCE, || stranger.stderr().contains("PROBLEM")), "{}", stranger.stderr());
    assert_eq!(sink.count(), 0, "nobody vouches for the sink");
    stranger.sigterm();
    assert_eq!(stranger.wait_exit(PATIENCE), Some(0), "{}", stranger.stderr());

    let _bridge = setup().env("K_CA_CERTS", &identity.ca).start();
    assert!(sink.wait_for(1, PATIENCE));
    let request = &sink.requests()[0];
    assert_eq!(request.uri.path_and_query().unwrap().as_str(), "/ns/orders?tier=gold");
    assert_eq!(request.header("ce-type"), Some("com.amazonaws.sqs.batch"));
    assert_eq!(request.header("ce-subject"), Some(queue.name.as_str()));
    assert_eq!(request.header("ce-source"), Some(queue.arn().as_str()));
    assert_eq!(request.header("ce-team"), Some("blue"));
    assert_eq!(request.header("ce-functionname"), Some("renamed"), "put over ours");
}

/// Runs into its end, having asked nothing of the queue's server and opened no port.
fn refused(setup: Setup, server: &TcpListener) -> String {
    server.set_nonblocking(true).unwrap();
    let mut bridge = setup.start();
    assert_eq!(bridge.wait_exit(PATIENCE), Some(2), "{}", bridge.stderr());
    assert!(server.accept().is_err(), "something was started");
    assert!(TcpStream::connect(bridge.admin()).is_err());
    bridge.stderr()
}

#[test]
fn a_sink_that_cannot_give_the_functions_answer_is_refused_to_a_mapping_that_needs_it() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mapping = |spec: &str| {
        let endpoint = format!("http://{}", server.local_addr().unwrap());
        format!(
            "apiVersion: klr.dev/v1alpha1\nkind: EventSourceMapping\nmetadata: {{name: orders}}\nspec:\n  \
             eventSourceArn: arn:aws:sqs:us-east-1:123456789012:orders\n  endpoint: {endpoint}\n  \
             functionName: orders\n  {REPORT}\n  {spec}\n"
        )
    };
    let accepting = mapping("sink: {uri: \"http://orders.shop.svc\", ackMode: accepted}");
    let broker = "http://broker-ingress.knative-eventing.svc.cluster.local/shop/default";
    let by_host = mapping(&format!("sink: {{uri: \"{broker}\"}}"));
    for setup in [
        Setup::run(KLR).resources("m.yaml", &accepting),
        Setup::run(KLR).resources("m.yaml", &by_host),
        Setup::run(KLR).resources("m.yaml", &mapping("")).env("K_SINK", broker),
    ] {
        let words = refused(setup, &server);
        assert!(words.contains("m.yaml:") && words.contains("spec.functionResponseTypes"), "{words}");
        assert!(words.contains("ReportBatchItemFailures needs the function's own answer"), "{words}");
    }
    let nowhere = refused(Setup::run(KLR).resources("m.yaml", &mapping("")), &server);
    assert!(nowhere.contains("nowhere to deliver to"), "{nowhere}");
}

#[test]
fn an_answer_that_went_elsewhere_stops_only_the_mapping_that_needs_it() {
    let Some(server) = ElasticMq::shared() else { return };
    let [needy, easy] = ["needy", "easy"].map(|name| Queue::standard(&server.endpoint, name, 3));
    [&needy, &easy].iter().for_each(|queue| queue.send("hello"));
    let sink = Sink::start(|_| Answer::status(202));
    let mappings = needy.mapping(&sink.uri, REPORT) + &easy.mapping(&sink.uri, "");
    let bridge = Setup::run(KLR).resources("m.yaml", &mappings).start();

    assert!(emptied(&easy), "settled, for want of a better answer");
    assert!(bridge.stderr().contains("sends the function's answer elsewhere"), "{}", bridge.stderr());
    let stopped = || result(&bridge, &needy).starts_with("PROBLEM: ReportBatchItemFailures");
    assert!(eventually(PATIENCE, stopped), "{}", bridge.stderr());
    let left = Counts { visible: 1, hidden: 0 };
    assert!(eventually(PATIENCE, || needy.counts() == left), "unsettled: {:?}", needy.counts());
    let label = format!("mapping=\"{}\"", needy.name);
    assert_eq!(bridge.metric("klr_mapping_problem", &label), 1.0);
    assert_eq!(result(&bridge, &easy), "OK");
    easy.send("again");
    assert!(emptied(&easy) && result(&bridge, &needy).starts_with("PROBLEM"));
    assert!(eventually(PATIENCE, || needy.counts() == left), "the one runs on, the other has stopped");
}

/// `lastProcessingResult` of a queue's mapping; empty while nothing answers.
fn result(bridge: &Bridge, queue: &Queue) -> String {
    let Some((_, body)) = bridge.get("/readyz") else { return String::new() };
    let state: serde_json::Value = serde_json::from_str(&body).unwrap();
    let mappings = state["mappings"].as_array().unwrap();
    let mapping = mappings.iter().find(|mapping| mapping["name"] == queue.name.as_str()).unwrap();
    mapping["lastProcessingResult"].as_str().unwrap().to_owned()
}

#[test]
fn an_outage_is_told_and_so_is_its_end() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "outage", 30);
    let mut sink = Sink::start(ok);
    sink.down();
    let mut bridge = Setup::run(KLR).resources("m.yaml", &queue.mapping(&sink.uri, "")).start();
    bridge.wait_ready();
    assert_eq!(result(&bridge, &queue), "No records processed");
    queue.send("hello");
    assert!(eventually(PATIENCE, || result(&bridge, &queue).starts_with("PROBLEM: cannot connect to")));
    assert_eq!(bridge.metric("klr_mapping_problem", ""), 1.0);
    assert!(bridge.ready(), "an outage of the sink's is no reason to restart us");

    sink.up();
    assert!(emptied(&queue));
    assert_eq!(result(&bridge, &queue), "OK");
    assert_eq!(bridge.metric("klr_mapping_problem", ""), 0.0);
    assert_eq!(receives(&sink.requests()[0]), "1", "the outage cost the message nothing");
}

#[test]
fn the_log_keeps_secrets() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "secrets", 2);
    queue.send("hunter2-body");
    let mut sink = Sink::start(|request| match request.index {
        // A KLR timeout quotes the payload.
        0 => Answer::status(500).body(request.body.clone()),
        1 => Answer::status(404).body("hunter2-reply"),
        _ => Answer::json(r#"{"batchItemFailures":[{"itemIdentifier":"hunter2-item"}]}"#),
    });
    let uri = format!("{}/hunter2-path?key=hunter2-query", sink.uri);
    let own = ["klr", "klr_aws", "klr_host", "klr_sqs"].map(|name| format!("{name}=trace")).join(",");
    let mut bridge = Setup::run(KLR)
        .env("RUST_LOG", &format!("info,{own}"))
        .env("AWS_SECRET_ACCESS_KEY", "hunter2-key")
        .resources("m.yaml", &queue.mapping(&uri, REPORT))
        .start();
    assert!(sink.wait_for(3, PATIENCE));
    sink.down();
    let told = || result(&bridge, &queue).starts_with("PROBLEM: cannot connect");
    assert!(eventually(PATIENCE, told), "{}", bridge.stderr());
    let seen = bridge.metrics() + &bridge.get("/readyz").unwrap().1;
    bridge.sigterm();
    assert_eq!(bridge.wait_exit(PATIENCE), Some(0), "{}", bridge.stderr());
    let seen = seen + &bridge.stderr() + &bridge.stdout();
    assert!(!seen.contains("hunter2"), "{seen}");
}
