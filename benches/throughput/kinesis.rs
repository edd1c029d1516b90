//! Kinesis: records of 1 KB in kinesis-mock, on four shards, in batches of 100. A shard gives two megabytes a second, which both
//! sides keep to: what is compared is CPU.

use std::process::Stdio;

use klr_test_support::kinesis::Stream;
use klr_test_support::klr::Setup;
use klr_test_support::servers::KinesisMock;

use super::pair::{self, Figures};
use super::process::{Process, this};
use super::sink::{Marks, Running};

const SHARDS: usize = 4;
/// `{` of the event; of each record, and of its `kinesis`.
const EVENT: Marks = Marks { byte: b'{', frame: 1, each: 2 };
/// The floor's bodies: a newline behind each record.
const LINES: Marks = Marks { byte: b'\n', frame: 0, each: 1 };

/// Nothing where there is no kinesis-mock. The stream stays as it is: each run reads it from its beginning.
pub fn compare(records: usize) {
    let Some(server) = KinesisMock::start() else { return };
    let stream = Stream::new(&server.endpoint, "bench", SHARDS as u32);
    for shard in 0..SHARDS {
        let record = |n: usize| format!("{n:0>1000}");
        stream.put_to(shard, &(0..records / SHARDS).map(record).collect::<Vec<_>>());
    }
    pair::compare(
        &format!("kinesis, {records} x 1 KB by 100"),
        || floor(&server, &stream, records),
        || bridge(&stream, records),
    );
}

fn floor(server: &KinesisMock, stream: &Stream, records: usize) -> Figures {
    let mut sink = Running::start(LINES);
    let args = ["floor", "kinesis", &server.endpoint, &stream.name, &sink.uri];
    let floor = Process::start(this().args(args).stdin(Stdio::null()));
    pair::watch(&mut sink, floor.0.id(), records)
}

fn bridge(stream: &Stream, records: usize) -> Figures {
    let mut sink = Running::start(EVENT);
    let mapping = stream.mapping(&sink.uri, "startingPosition: TRIM_HORIZON\nbatchSize: 100");
    let bridge = Setup::run(env!("CARGO_BIN_EXE_klr")).resources("stream.yaml", &mapping).start();
    pair::watch(&mut sink, bridge.pid(), records)
}
