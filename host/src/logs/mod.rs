//! The log stream of an execution environment: what the function, its extensions and the platform have to say, in one order.
//!
//! It goes where [`Logs`] says, to the subscribers of the Telemetry API, and to callers who ask for the log's end.

mod behind;
mod console;
mod frame;
pub(crate) mod outlet;
pub(crate) mod read;
mod tail;
mod unfinished;

use std::{
    os::fd::AsFd,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use self::{behind::Pipes, unfinished::Unfinished};
pub(crate) use self::{behind::Watched, console::Console, tail::Tail};
use crate::{
    Logs,
    telemetry::{
        Telemetry,
        event::{Event, Written},
        level::Level,
    },
};

/// Records that the function's leave room for: the platform's do not wait.
const PLATFORMS: usize = 64;
/// Between looks at a channel that has no room for the function's.
const BEHIND: Duration = Duration::from_millis(1);

/// Whose record it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Ours: `START`, `END`, `REPORT` and their kin.
    Platform,
    /// The function's.
    Function,
    /// An extension's.
    Extension,
}

/// One record of a log: a line, or all the lines of one that was written as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The name of the log stream: one for each execution environment.
    pub stream: Arc<str>,
    /// When it was written.
    pub at: std::time::SystemTime,
    /// Who wrote it.
    pub source: Source,
    /// Without a newline at its end.
    pub text: Bytes,
}

/// `AWS_LAMBDA_LOG_FORMAT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

/// How a function's logs are written; the same for all of its environments.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    sink: Sink,
    format: Format,
    /// `AWS_LAMBDA_LOG_LEVEL`: the function's records below it are not kept, where the format is JSON.
    application: Level,
    /// The same for the platform's.
    system: Level,
}

#[derive(Debug, Clone)]
enum Sink {
    Console(Console),
    Traced(String),
    Records(mpsc::Sender<Record>),
    Quiet,
}

impl Writer {
    /// With the function's own variables for the format and the level.
    pub(crate) fn new<'a>(
        logs: &Logs,
        system_level: Option<&str>,
        variable: impl Fn(&str) -> Option<&'a str>,
    ) -> Self {
        let sink = match logs {
            Logs::Inherit => Sink::Console(Console::stdout()),
            Logs::Traced(function) => Sink::Traced(function.clone()),
            Logs::Records(records) => Sink::Records(records.clone()),
            Logs::Quiet => Sink::Quiet,
        };
        let json =
            variable("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("JSON"));
        let level = |name| variable(name).and_then(|level| Level::from_str(level).ok());
        Self {
            sink,
            format: if json { Format::Json } else { Format::Text },
            application: level("AWS_LAMBDA_LOG_LEVEL").unwrap_or(Level::Info),
            system: system_level.and_then(|level| Level::from_str(level).ok()).unwrap_or(Level::Info),
        }
    }

    #[cfg(test)]
    pub(crate) fn quiet() -> Self {
        Self::new(&Logs::Quiet, None, |_| None)
    }

    /// Waits until what was written is out of our hands.
    pub(crate) async fn flush(&self) {
        if let Sink::Console(console) = &self.sink {
            console.flush().await;
        }
    }
}

/// One environment's log stream.
#[derive(Debug, Clone)]
pub(crate) struct Stream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: Arc<str>,
    writer: Writer,
    telemetry: Telemetry,
    tail: Tail,
    unfinished: Unfinished,
    pipes: Pipes,
    /// The time of the last record that was handed on.
    latest: Mutex<Timestamp>,
}

impl Stream {
    pub(crate) fn new(name: &str, writer: Writer, tail: Tail) -> Self {
        let telemetry = Telemetry::new();
        let latest = Mutex::new(Timestamp::MIN);
        let (unfinished, pipes) = (Unfinished::default(), Pipes::default());
        Self(Arc::new(Inner { name: name.into(), writer, telemetry, tail, unfinished, pipes, latest }))
    }

    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.0.telemetry
    }

    pub(crate) fn tail(&self) -> &Tail {
        &self.0.tail
    }

    /// A pipe the function writes to, to be read for this log.
    pub(crate) fn watch<R: AsFd>(&self, pipe: R) -> Watched<R> {
        self.0.pipes.watch(pipe)
    }

    /// Whether the function has written what is not in the log yet.
    pub(crate) fn behind(&self) -> bool {
        self.0.pipes.behind()
    }

    /// Waits until what it has written is in the log, or takes too long.
    pub(crate) async fn caught_up(&self) {
        self.0.pipes.caught_up().await;
    }

    /// An invocation begins; whether its caller asks for the log's end.
    pub(crate) fn begin(&self, asked: bool) {
        self.0.tail.begin(asked);
        self.0.unfinished.begin();
    }

    /// The function's invocation ends, and with it the lines it has begun.
    pub(crate) fn end(&self) {
        for line in self.0.unfinished.end() {
            let at = Timestamp::now();
            if self.keeps(Source::Function, at, None, &line) {
                self.0.tail.push(&line);
                self.put(Source::Function, at, &line);
            }
        }
    }

    /// Writes what the platform has to say. It never waits: it is called between a runtime's calls.
    pub(crate) fn platform(&self, event: &Event<'_>) {
        let (at, writer) = (Timestamp::now(), &self.0.writer);
        self.0.telemetry.publish(at, event);
        if !self.0.tail.wanted() && matches!(writer.sink, Sink::Traced(_) | Sink::Quiet) {
            return;
        }
        // AWS: a tail has what an initialisation wrote, and how one failed, but not its first line.
        let tail = !matches!(event, Event::InitStart(_));
        let put = |text: &[u8]| {
            if tail {
                self.0.tail.push(text);
            }
            self.put(Source::Platform, at, text);
        };
        match writer.format {
            Format::Text => event.lines(at, |line| put(line.as_bytes())),
            // The report's status says it there.
            Format::Json if matches!(event, Event::Fault(_)) => {}
            Format::Json if event.level() >= writer.system => put(&event.json(at)),
            Format::Json => {}
        }
    }

    /// What [`platform`](Self::platform) would write of an event, a record a line.
    pub(crate) fn rendered(&self, event: &Event<'_>) -> String {
        let (at, mut text) = (Timestamp::now(), String::new());
        match self.0.writer.format {
            Format::Text => event.lines(at, |line| text.extend([line, "\n"])),
            Format::Json => text = String::from_utf8_lossy(&event.json(at)).into_owned() + "\n",
        }
        text
    }

    /// Hands a record on without waiting: where nobody takes it, it is dropped.
    fn put(&self, source: Source, at: Timestamp, text: &[u8]) {
        match &self.0.writer.sink {
            Sink::Console(console) => console.try_write(text),
            Sink::Records(records) => {
                let text = Bytes::copy_from_slice(text);
                if records.try_send(self.record(source, at, text)).is_err() {
                    tracing::warn!(stream = %self.0.name, "a record is dropped: nobody takes them");
                }
            }
            // Among our own log the platform's would say what our log says already.
            Sink::Traced(function) if source != Source::Platform => traced(function, text),
            Sink::Traced(_) | Sink::Quiet => {}
        }
    }

    /// Writes what the function or an extension wrote, and waits while whoever reads the log is behind.
    pub(crate) async fn write(&self, source: Source, at: Timestamp, level: Option<Level>, text: Bytes) {
        if !self.keeps(source, at, level, &text) {
            return;
        }
        self.0.tail.push(&text);
        match &self.0.writer.sink {
            Sink::Console(console) => console.write(&text).await,
            Sink::Traced(function) => traced(function, &text),
            // Nobody takes them any more when the embedder is ending.
            Sink::Records(records) => {
                // Not in the channel's own queue: who waits there is given every place before anybody else.
                let left = PLATFORMS.min(records.max_capacity() / 2);
                while records.capacity() <= left && !records.is_closed() {
                    tokio::time::sleep(BEHIND).await;
                }
                drop(records.send(self.record(source, at, text)).await);
            }
            Sink::Quiet => {}
        }
    }

    /// Tells the subscribers of a record, and whether the log keeps it: by its level, where the format is JSON.
    fn keeps(&self, source: Source, at: Timestamp, level: Option<Level>, text: &[u8]) -> bool {
        let writer = &self.0.writer;
        let object = if writer.format == Format::Json { json_object(text) } else { None };
        self.publish(source, at, text, object);
        if writer.format != Format::Json {
            return true;
        }
        // AWS: an object that does not say is INFO; text is not looked at.
        let level = level.or_else(|| object.map(|object| level_of(object).unwrap_or(Level::Info)));
        level.is_none_or(|level| level >= writer.application)
    }

    fn publish(&self, source: Source, at: Timestamp, text: &[u8], object: Option<&RawValue>) {
        if !self.0.telemetry.wanted() {
            return;
        }
        let lossy = String::from_utf8_lossy(text);
        let written = object.map_or(Written::Text(&lossy), Written::Object);
        self.0.telemetry.publish(
            at,
            &match source {
                Source::Extension => Event::ExtensionRecord(written),
                _ => Event::FunctionRecord(written),
            },
        );
    }

    /// A line is as old as our reading of it, a framed record as it says: put in order by that, which log services do, a
    /// traceback would come before what was printed ahead of it. So no record is older than the one before.
    fn record(&self, source: Source, at: Timestamp, text: Bytes) -> Record {
        let mut latest = self.0.latest.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = at.max(*latest);
        let at = *latest;
        Record { stream: Arc::clone(&self.0.name), at: at.into(), source, text }
    }
}

fn traced(function: &str, text: &[u8]) {
    tracing::info!(function, "{}", String::from_utf8_lossy(text));
}

/// The record, if it is a JSON object.
fn json_object(text: &[u8]) -> Option<&RawValue> {
    let text = text.trim_ascii_start();
    if text.first() != Some(&b'{') {
        return None;
    }
    serde_json::from_slice(text).ok()
}

fn level_of(object: &RawValue) -> Option<Level> {
    #[derive(Deserialize)]
    struct Levelled<'a> {
        // Python's client has a name of its own for it.
        #[serde(borrow, alias = "log_level")]
        level: std::borrow::Cow<'a, str>,
    }
    let levelled: Levelled<'_> = serde_json::from_str(object.get()).ok()?;
    levelled.level.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_record_is_older_than_the_one_before() {
        let stream = Stream::new("s", Writer::quiet(), Tail::default());
        let times = [20, 10, 30].map(|second| {
            let at = Timestamp::from_second(second).unwrap();
            Timestamp::try_from(stream.record(Source::Function, at, Bytes::new()).at).unwrap().as_second()
        });
        assert_eq!(times, [20, 20, 30]);
    }
}
