//! What happens in an environment, told to whoever is to know: its log stream, the subscribers of the Telemetry API, its
//! extensions.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::HeaderValue;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::{
    ending::{Ended, Ending},
    environment::ON_DEMAND,
    exit::OUT_OF_MEMORY,
    extension::{self, Registry},
    invocation::Invocation,
    launch::Launch,
    logs::{Stream, Tail, Writer},
    memory::Memory,
    settings::Settings,
    telemetry::event::{
        Cause, Event, Extension, Fault, InitMetrics, InitReport, InitRuntimeDone, InitStart, Instance, Phase,
        Report, ReportMetrics, RuntimeDone, RuntimeMetrics, Span, Start, Status, Tracing, Usage,
    },
    variables::Variables,
};

/// How long the runtime may take to ask for more, and so to have its report, when the caller wants the log's end.
const LOG_LAG: Duration = Duration::from_millis(20);

/// What the platform says of a function, the same for all of its environments.
#[derive(Debug)]
pub(crate) struct Facts {
    /// To extensions.
    pub(crate) function: extension::api::Function,
    runtime_version: String,
    runtime_version_arn: String,
    memory_mb: u32,
    timeout: Duration,
    several: bool,
}

impl Facts {
    pub(crate) fn new(settings: &Settings, launch: &Launch, variables: &Variables) -> Self {
        let runtime = launch.runtime.clone().or_else(|| settings.runtime.clone());
        let runtime = runtime.unwrap_or_else(|| "provided".to_owned());
        // Made up as the function's own is: `arn:aws:lambda:REGION:ACCOUNT:function:NAME`.
        let parts: Vec<&str> = variables.arn().split(':').collect();
        let (region, account) = (parts.get(3).copied(), parts.get(4).copied());
        let own = || format!("arn:{}:lambda:{}::runtime:{runtime}", parts[1], region.unwrap_or_default());
        Self {
            runtime_version_arn: settings.runtime_version_arn.clone().unwrap_or_else(own),
            runtime_version: version(&runtime),
            function: extension::api::Function {
                function_name: settings.name.clone(),
                function_version: settings.version.clone(),
                handler: launch.handler.clone().unwrap_or_default(),
                account_id: account.map(str::to_owned),
            },
            memory_mb: settings.memory_mb,
            timeout: settings.timeout,
            several: settings.max_concurrency.is_some(),
        }
    }
}

/// As AWS calls the builds of a runtime: `python:3.12.v36`. Here there is one of each.
fn version(runtime: &str) -> String {
    let runtime = runtime.strip_suffix(".x").unwrap_or(runtime);
    let digit = runtime.find(|c: char| c.is_ascii_digit()).unwrap_or(runtime.len());
    match runtime.split_once('.').filter(|(name, _)| name.len() < digit) {
        Some((name, system)) => format!("{name}:{system}.v1"),
        None if digit < runtime.len() => format!("{}:{}.v1", &runtime[..digit], &runtime[digit..]),
        None => format!("{runtime}.v1"),
    }
}

/// Who is told what happens in one environment, from a process's start to its end. It never waits: it is called between a
/// runtime's calls.
#[derive(Debug)]
pub(crate) struct Observer {
    facts: Arc<Facts>,
    /// How the environment came to be: `AWS_LAMBDA_INITIALIZATION_TYPE`.
    kind: &'static str,
    /// The log stream's name.
    name: String,
    log: Stream,
    extensions: Registry,
    memory: Memory,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The first report tells how long the initialisation took.
    init: Option<Duration>,
    /// An invocation the runtime is done with, and some extension is not.
    unreported: Option<Ended>,
    /// Extensions were told of the invocation that runs.
    engaged: bool,
}

impl Observer {
    /// Of an environment of this kind that writes to a log stream of this name; with the end of the log that is still to be
    /// told.
    pub(crate) fn new(
        facts: Arc<Facts>,
        kind: &'static str,
        name: String,
        writer: Writer,
        left: Vec<u8>,
    ) -> Self {
        // What a process with several in hand writes is nobody's in particular.
        let tail = if facts.several { Tail::default() } else { Tail::after(left) };
        let log = Stream::new(&name, writer, tail);
        let extensions = Registry::new(facts.several);
        Self { facts, kind, name, log, extensions, memory: Memory::default(), state: Mutex::default() }
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The log stream's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn log(&self) -> &Stream {
        &self.log
    }

    pub(crate) fn extensions(&self) -> &Registry {
        &self.extensions
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Its processes are about to be started. If that is a start tried `again`, the log has it already.
    pub(crate) fn init_start(&self, phase: Phase, again: bool) {
        let facts = &self.facts;
        let instance = Instance {
            function_name: &facts.function.function_name,
            function_version: &facts.function.function_version,
            instance_id: &self.name,
            instance_max_memory: u64::from(facts.memory_mb) * 1024 * 1024,
        };
        let event = Event::InitStart(InitStart {
            initialization_type: self.kind,
            phase,
            runtime_version: &facts.runtime_version,
            runtime_version_arn: &facts.runtime_version_arn,
            instance: Some(instance),
        });
        if again {
            self.log.telemetry().publish(Timestamp::now(), &event);
        } else {
            self.log.platform(&event);
        }
    }

    /// They asked for work, or failed to.
    pub(crate) fn init_done(&self, phase: Phase, took: Duration, ending: &Ending) {
        let initialization_type = self.kind;
        let (status, error_type) = (ending.status, ending.error_type.as_deref());
        self.log.platform(&Event::InitRuntimeDone(InitRuntimeDone {
            initialization_type,
            phase,
            status,
            error_type,
        }));
        for told in self.extensions.told() {
            self.log.platform(&Event::Extension(Extension {
                name: &told.name,
                state: told.state,
                events: &told.events,
                error_type: told.error_type.as_deref(),
            }));
        }
        let metrics = InitMetrics { duration_ms: millis(took) };
        self.log.platform(&Event::InitReport(InitReport {
            initialization_type,
            phase,
            metrics,
            status,
            error_type,
        }));
        // The first invocation may end with the process, which cannot be looked at then.
        self.memory.look();
        // Within an invocation it is a part of that one's duration.
        if phase == Phase::Init && status == Status::Success {
            self.lock().init = Some(took);
        }
    }

    /// An invocation is handed to the runtime.
    pub(crate) fn start(&self, invocation: &Invocation) {
        self.log.begin(invocation.tail);
        self.log.platform(&Event::Start(Start {
            request_id: &invocation.id,
            version: &self.facts.function.function_version,
            function_arn: text(Some(&invocation.arn)).unwrap_or_default(),
            tenant_id: text(invocation.tenant.as_ref()),
            tracing: text(Some(&invocation.trace)).and_then(Tracing::of),
        }));
    }

    /// Tells the extensions of it. Whether there are any to tell: the environment is then not free before they ask for what
    /// comes next.
    pub(crate) fn engage(&self, invocation: &Invocation, deadline: Instant) -> bool {
        if self.facts.several || self.extensions.is_empty() {
            return false;
        }
        let event = extension::api::invoke(invocation, deadline);
        let engaged = self.extensions.tell(extension::Event::Invoke, &event);
        self.lock().engaged = engaged;
        engaged
    }

    /// The runtime is done with an invocation: it asked for the next one, or is lost. (The answer went out before.) Whether
    /// [`settle`](Self::settle) is still to come, when the extensions are done with it too.
    pub(crate) fn runtime_done(&self, ended: Ended) -> bool {
        if !self.facts.several && self.log.telemetry().wanted() {
            let spans = spans(&ended);
            self.log.platform(&Event::RuntimeDone(RuntimeDone {
                request_id: &ended.id,
                status: ended.ending.status,
                error_type: ended.ending.error_type.as_deref(),
                metrics: RuntimeMetrics {
                    duration_ms: millis(ended.begun.elapsed()),
                    produced_bytes: ended.produced as u64,
                },
                spans: &spans,
                tenant_id: text(ended.tenant.as_ref()),
                tracing: text(Some(&ended.trace)).and_then(Tracing::of),
            }));
        }
        let answered = matches!(ended.ending.status, Status::Success | Status::Error | Status::Reported);
        let mut state = self.lock();
        if std::mem::take(&mut state.engaged) && answered {
            state.unreported = Some(ended);
            return true;
        }
        drop(state);
        self.report(&ended);
        false
    }

    /// The extensions are done with it.
    pub(crate) fn settle(&self) {
        let ended = self.lock().unreported.take();
        if let Some(ended) = ended {
            self.report(&ended);
        }
    }

    /// They will not be: the environment ends.
    pub(crate) fn abandon(&self, ending: Ending, why: Option<String>) {
        let ended = self.lock().unreported.take();
        if let Some(ended) = ended {
            self.report(&Ended { ending, why, ..ended });
        }
    }

    /// The function has written what it will.
    fn end(&self) {
        // Of several that run, a line may be another's.
        if !self.facts.several {
            self.log.end();
        }
    }

    fn report(&self, ended: &Ended) {
        self.end();
        let (request_id, error_type) = (&*ended.id, ended.ending.error_type.as_deref());
        let cause = match ended.ending.status {
            Status::Timeout => Some(Cause::TimedOut(self.facts.timeout)),
            Status::Failure => {
                let why = ended.why.as_deref().unwrap_or("the environment was lost");
                Some(Cause::Lost(why, error_type.unwrap_or("Runtime.Unknown")))
            }
            Status::Success | Status::Error | Status::Reported => None,
        };
        if let Some(cause) = cause {
            self.log.platform(&Event::Fault(Fault { request_id, cause }));
        }
        let init = self.lock().init.take();
        self.with_report(ended, init, |report| self.log.platform(report));
        self.log.tail().reported();
    }

    /// The report of an invocation, as of now.
    fn with_report<R>(&self, ended: &Ended, init: Option<Duration>, told: impl FnOnce(&Event<'_>) -> R) -> R {
        let took = ended.begun.elapsed();
        // What ending it took is not the function's.
        let took = match ended.ending.status {
            Status::Timeout => took.min(self.facts.timeout),
            _ => took,
        };
        let usage = || Usage {
            // AWS, since August 2025: an initialisation on demand is billed with the first invocation.
            billed_duration_ms: whole_millis(
                took + init.filter(|_| self.kind == ON_DEMAND).unwrap_or_default(),
            ),
            memory_size_mb: self.facts.memory_mb,
            max_memory_used_mb: match ended.ending.error_type.as_deref() {
                // What the kernel killed cannot be looked at any more.
                Some(OUT_OF_MEMORY) => self.facts.memory_mb.into(),
                _ => self.memory.peak_mb(),
            },
            init_duration_ms: init.map(millis),
        };
        let usage = (!self.facts.several).then(usage);
        told(&Event::Report(Report {
            request_id: &ended.id,
            status: ended.ending.status,
            error_type: ended.ending.error_type.as_deref(),
            metrics: ReportMetrics { duration_ms: millis(took), usage },
            tracing: text(Some(&ended.trace)).and_then(Tracing::of),
        }))
    }

    /// The end of the log, of an invocation that was just answered, or lost. Its report is in it in any case: as of now, if the
    /// runtime or an extension is not done with it yet.
    pub(crate) async fn log_tail(&self, ended: &Ended) -> Vec<u8> {
        tokio::time::sleep(LOG_LAG).await;
        if !self.facts.several {
            self.log.caught_up().await;
        }
        self.end();
        self.log.tail().end(|| {
            let init = self.lock().init;
            self.with_report(ended, init, |report| self.log.rendered(report))
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The parts of an invocation that was answered.
fn spans(ended: &Ended) -> Vec<Span> {
    let Some(answering) = ended.answering else { return Vec::new() };
    let (now, wall) = (Instant::now(), Timestamp::now());
    let span = |name, from: Instant, to: Instant| Span {
        name,
        start: wall - jiff::SignedDuration::try_from(now - from).unwrap_or_default(),
        duration_ms: millis(to - from),
    };
    vec![
        span("responseLatency", ended.begun, answering),
        span("responseDuration", answering, ended.answered),
        span("runtimeOverhead", ended.answered, now),
    ]
}

fn text(value: Option<&HeaderValue>) -> Option<&str> {
    value.and_then(|value| value.to_str().ok())
}

/// To the microsecond.
fn millis(span: Duration) -> f64 {
    (span.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

/// Rounded up, as Lambda bills.
fn whole_millis(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_are_called_as_aws_calls_them() {
        for (runtime, build) in [
            ("python3.12", "python:3.12.v1"),
            ("nodejs20.x", "nodejs:20.v1"),
            ("java8.al2", "java:8.al2.v1"),
            ("java17", "java:17.v1"),
            ("provided.al2023", "provided:al2023.v1"),
            ("provided", "provided.v1"),
            ("go1.x", "go:1.v1"),
        ] {
            assert_eq!(version(runtime), build);
        }
    }
}
