//! SQS: messages of 1 KB in ElasticMQ, in batches of 10, five lanes.

use std::process::Stdio;

use klr_test_support::klr::Setup;
use klr_test_support::servers::ElasticMq;
use klr_test_support::sqs::Queue;

use super::pair::{self, Figures};
use super::process::{Process, this};
use super::sink::{Marks, Running};

const LANES: usize = 5;
/// `{` of the event; of each record, its `attributes` and its `messageAttributes`.
const EVENT: Marks = Marks { byte: b'{', frame: 1, each: 3 };

/// The floor's bodies: a newline behind each message.
const LINES: Marks = Marks { byte: b'\n', frame: 0, each: 1 };

/// Nothing where there is no ElasticMQ.
pub fn compare(messages: usize) {
    let Some(server) = ElasticMq::start_with_heap("1g") else { return };
    let bodies: Vec<String> = vec!["x".repeat(1_000); messages];
    let queue = || {
        let queue = Queue::standard(&server.endpoint, "bench", 300);
        queue.send_all(&bodies);
        queue
    };
    pair::compare(
        &format!("sqs, {messages} x 1 KB by 10"),
        || floor(&server, &queue(), messages),
        || bridge(&queue(), messages),
    );
}

fn floor(server: &ElasticMq, queue: &Queue, messages: usize) -> Figures {
    let mut sink = Running::start(LINES);
    let (_, url) = queue.client();
    let lanes = LANES.to_string();
    let args = ["floor", "sqs", &server.endpoint, url, &sink.uri, &lanes];
    let floor = Process::start(this().args(args).stdin(Stdio::null()));
    pair::watch(&mut sink, floor.0.id(), messages)
}

fn bridge(queue: &Queue, messages: usize) -> Figures {
    let mut sink = Running::start(EVENT);
    let spec = format!("batchSize: 10\nscalingConfig: {{maximumConcurrency: {LANES}}}");
    let mapping = queue.mapping(&sink.uri, &spec);
    let bridge = Setup::run(env!("CARGO_BIN_EXE_klr")).resources("orders.yaml", &mapping).start();
    pair::watch(&mut sink, bridge.pid(), messages)
}
