//! Resources to running parts: sources, sinks, functions under the host.

mod destination;
#[cfg(feature = "lambda-api")]
mod made;
mod source;
#[cfg(feature = "state")]
mod state;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use klr_contract::Shape;
use klr_host::Host;
#[cfg(feature = "lambda-api")]
pub(super) use made::Made;
use reqwest::Url;
use serde::Deserialize;
use source::Read;
#[cfg(feature = "state")]
pub(super) use state::Place;

use crate::{
    config::{self, LARGEST_EVENT, Target},
    deliver::{
        Invoker,
        cloudevent::Headers,
        sink::{self, Delivery, Sink},
    },
    mapping::{Board, Lanes, Mapping, Means, Policy, Settings, Status, buffer::Buffer},
    metrics::Metrics,
};

/// What all parts of one process share.
pub(super) struct Wiring {
    pub buffer: Arc<Buffer>,
    pub metrics: Arc<Metrics>,
    /// What all mappings say of themselves.
    pub board: Arc<Board>,
    /// `K_CE_OVERRIDES`.
    pub overrides: Vec<(String, String)>,
    pub drain: Duration,
    pub once: bool,
    functions: Mutex<HashMap<String, Function>>,
    /// Where positions are kept that a source does not keep.
    #[cfg(feature = "state")]
    state: state::State,
}

/// A function that runs here.
struct Function {
    host: Host,
    timeout: Duration,
}

/// Where batches go, with what the target takes.
struct Way {
    sink: Sink,
    timeout: Option<Duration>,
    /// How long a request may wait at the target's door.
    queueing: Duration,
    places: Option<usize>,
    budget: usize,
}

/// What a mapping's batches are handed to.
trait Outlet: Send + Sync {
    /// How long one invocation may take.
    fn timeout(&self) -> Option<Duration>;
    /// How many batches run at once, at most, where that is ours to say: more would only wait.
    fn places(&self) -> Option<usize>;
    /// The largest event it takes.
    fn budget(&self) -> usize;
    /// For batches of this shape.
    fn invoker(&self, shape: &Arc<dyn Shape>, headers: Headers) -> Arc<dyn Invoker>;
}

impl Outlet for Way {
    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    fn places(&self) -> Option<usize> {
        self.places
    }

    fn budget(&self) -> usize {
        self.budget
    }

    fn invoker(&self, shape: &Arc<dyn Shape>, headers: Headers) -> Arc<dyn Invoker> {
        let (sink, shape, queueing) = (self.sink.clone(), Arc::clone(shape), self.queueing);
        Arc::new(Delivery { sink, shape, headers, queueing })
    }
}

impl Wiring {
    pub fn new(buffer: usize, drain: Duration, once: bool) -> anyhow::Result<Self> {
        Ok(Self {
            buffer: Buffer::new(buffer),
            metrics: Arc::default(),
            board: Arc::default(),
            overrides: overrides()?,
            drain,
            once,
            functions: Mutex::default(),
            #[cfg(feature = "state")]
            state: state::State::default(),
        })
    }

    /// Keeps positions there instead of in the usual place.
    #[cfg(feature = "state")]
    pub async fn keep_state_in(&mut self, place: Place) -> anyhow::Result<()> {
        self.state.keep_in(place).await
    }

    /// Forgets where a mapping was that is no more, if we keep that.
    #[cfg(feature = "lambda-api")]
    async fn forget_positions(&self, mapping: &config::Mapping) -> anyhow::Result<()> {
        match &mapping.source {
            #[cfg(feature = "kinesis")]
            config::Source::Kinesis(_) => self.state.forget(&mapping.uuid.to_string()).await,
            #[cfg(feature = "dynamodb")]
            config::Source::DynamoDb(_) => self.state.forget(&mapping.uuid.to_string()).await,
            #[allow(unreachable_patterns, reason = "with streams alone there is nothing else")]
            _ => Ok(()),
        }
    }

    /// Leaves the store of positions, after the last mapping has ended.
    pub async fn leave_state(&self) {
        #[cfg(feature = "state")]
        self.state.close().await;
    }

    fn functions(&self) -> MutexGuard<'_, HashMap<String, Function>> {
        self.functions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a function under the host, on a port of its own.
    pub async fn function(&self, function: &config::Function) -> anyhow::Result<()> {
        let settings = klr_host::Settings {
            name: function.name.clone(),
            command: function.command.clone(),
            runtime: function.runtime.clone(),
            handler: function.handler.clone(),
            directory: function.code.as_ref().map(PathBuf::from),
            timeout: function.timeout,
            memory_mb: function.memory_size,
            concurrency: function.concurrency,
            layers: function.layers.clone(),
            environment: function.environment.clone(),
            logs: klr_host::Logs::Traced(function.name.clone()),
            ..klr_host::Settings::default()
        };
        self.host(&function.name, settings).await.with_context(|| format!("function {}", function.name))
    }

    /// The same, by the host's own settings.
    pub async fn host(&self, name: &str, settings: klr_host::Settings) -> anyhow::Result<()> {
        let timeout = settings.timeout;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let host = Host::start(settings, listener).await?;
        self.functions().insert(name.to_owned(), Function { host, timeout });
        Ok(())
    }

    /// Where a function is served.
    #[cfg(all(feature = "kafka", feature = "s3"))]
    pub fn address(&self, name: &str) -> Option<std::net::SocketAddr> {
        Some(self.functions().get(name)?.host.address())
    }

    /// Whether a function has started and initialised.
    #[cfg(all(feature = "kafka", feature = "s3"))]
    pub fn ready(&self, name: &str) -> bool {
        self.functions().get(name).is_some_and(|function| function.host.ready())
    }

    /// Ends the functions, after nobody calls them any more.
    pub async fn stop_functions(&self) {
        let functions = std::mem::take(&mut *self.functions());
        let stops = functions.into_values().map(|function| function.host.stop(self.drain));
        futures::future::join_all(stops).await;
    }

    pub fn status(&self, name: &str) -> Arc<Status> {
        Arc::new(Status::new(name, self.metrics.of(name)))
    }

    fn way(&self, target: &Target) -> anyhow::Result<Way> {
        match target {
            Target::Sink(to) | Target::Environment(to) => Ok(Way {
                sink: Sink::new(sink::Settings {
                    uri: to.uri.clone(),
                    ack_mode: to.ack_mode(),
                    http2: to.http2,
                    ca_certs: to.ca_certs.clone(),
                    audience: to.audience.clone(),
                    timeout: to.timeout,
                })?,
                timeout: to.timeout,
                queueing: Duration::ZERO,
                places: None,
                budget: to.maximum_payload_bytes,
            }),
            Target::Function(name) => self.function_way(name),
            Target::Unresolved => bail!("no target: nothing says where its batches go"),
        }
    }

    fn function_way(&self, name: &str) -> anyhow::Result<Way> {
        let (address, timeout, places) = {
            let functions = self.functions();
            let function =
                functions.get(name).with_context(|| format!("function {name} does not run here"))?;
            (function.host.address(), function.timeout, function.host.places())
        };
        let uri = Url::parse(&format!("http://{address}")).context("the host's own address")?;
        let settings = sink::Settings {
            uri,
            ack_mode: Default::default(),
            http2: false,
            ca_certs: None,
            audience: None,
            timeout: Some(timeout),
        };
        Ok(Way {
            sink: Sink::new(settings)?,
            timeout: Some(timeout),
            // The host's own queue waits as long as the function may run; past that it says 429.
            queueing: timeout + Duration::from_secs(1),
            places: Some(places),
            budget: LARGEST_EVENT,
        })
    }

    /// One event source mapping, ready to run.
    pub async fn mapping(&self, mapping: &config::Mapping) -> anyhow::Result<Mapping> {
        let way = self.way(&mapping.target)?;
        self.deliver(mapping, &way, self.status(&mapping.name)).await
    }

    /// The same, wherever its batches go.
    async fn deliver(
        &self,
        mapping: &config::Mapping,
        outlet: &dyn Outlet,
        status: Arc<Status>,
    ) -> anyhow::Result<Mapping> {
        let lanes = source::lanes(mapping);
        // One is received while another runs.
        let places = outlet.places().map(|places| places.max(2));
        let settings = Settings {
            batch_size: mapping.batch_size,
            window: mapping.window,
            budget: outlet.budget(),
            lanes,
            policy: Policy {
                report: mapping.report_batch_item_failures,
                retries: mapping.maximum_retry_attempts,
                age: mapping.maximum_record_age,
                bisect: mapping.bisect,
                from_lowest: lanes != Lanes::Partitions,
                on_failure: mapping.on_failure(),
            },
            maximum_concurrency: mapping.maximum_concurrency.into_iter().chain(places).min(),
            timeout: outlet.timeout(),
            strict: true,
            drain: self.drain,
            once: self.once,
        };
        let Read { source, shape, info, mut envelope } = self.source(mapping).await?;
        envelope.function_name = Some(mapping.function_name().to_owned());
        envelope.mapping = Some(mapping.uuid);
        envelope.overrides.clone_from(&self.overrides);
        let destination = destination::open(mapping, &shape, info, &envelope).await?;
        let invoker = outlet.invoker(&shape, envelope.headers()?);
        let usage = self.buffer.usage();
        let filters = Arc::clone(&mapping.filters);
        Ok(Mapping { source, means: Means { settings, shape, filters, invoker, destination, status, usage } })
    }
}

#[cfg(feature = "s3")]
mod bucket {
    #[cfg(feature = "sqs")]
    use klr_contract::Source;

    use super::*;
    use crate::{config::Notification, trigger::bucket};

    impl Wiring {
        fn bucket(&self, notification: &Notification) -> anyhow::Result<(bucket::Delivery, Way)> {
            let way = self.way(&notification.target)?;
            let envelope = bucket::Envelope {
                function_name: Some(notification.function_name().to_owned()),
                overrides: self.overrides.clone(),
            };
            let status = self.status(&notification.name);
            let (sink, timeout, queueing) = (way.sink.clone(), way.timeout, way.queueing);
            Ok((bucket::Delivery { sink, envelope, timeout, queueing, status }, way))
        }

        /// A notification that is received over HTTP.
        pub(in crate::cli) async fn webhook(
            &self,
            notification: &Notification,
            token: Option<&config::SecretRef>,
        ) -> anyhow::Result<(axum::Router, Arc<Status>)> {
            let token = match token {
                Some(token) => Some(token.text().await?.trim().to_owned()),
                None => None,
            };
            let (delivery, _) = self.bucket(notification)?;
            let status = Arc::clone(&delivery.status);
            status.reached();
            Ok((klr_s3::router(notification.trigger.clone(), token, Arc::new(delivery)), status))
        }

        /// A notification that comes through a queue: a queue mapping whose batches are one message.
        #[cfg(feature = "sqs")]
        pub(in crate::cli) async fn carried(
            &self,
            notification: &Notification,
            queue: &klr_sqs::Config,
        ) -> anyhow::Result<Mapping> {
            let (delivery, way) = self.bucket(notification)?;
            let status = Arc::clone(&delivery.status);
            let settings = Settings {
                batch_size: 1,
                window: Duration::ZERO,
                budget: way.budget,
                lanes: Lanes::Partitions,
                policy: Policy::default(),
                maximum_concurrency: None,
                timeout: way.timeout,
                strict: true,
                drain: self.drain,
                once: self.once,
            };
            let queue = klr_sqs::Queue::open(queue.clone()).await;
            let source =
                Source::Queue(Box::new(bucket::Carried { queue, wanted: notification.trigger.clone() }));
            let (shape, invoker) = (Arc::new(bucket::Whole), Arc::new(delivery));
            let usage = self.buffer.usage();
            Ok(Mapping {
                source,
                means: Means {
                    settings,
                    shape,
                    filters: Arc::default(),
                    invoker,
                    destination: None,
                    status,
                    usage,
                },
            })
        }
    }
}

/// `K_CE_OVERRIDES`: `{"extensions": {"name": "value"}}`.
fn overrides() -> anyhow::Result<Vec<(String, String)>> {
    #[derive(Deserialize, Default)]
    struct Overrides {
        #[serde(default)]
        extensions: std::collections::BTreeMap<String, String>,
    }
    let Some(text) = std::env::var("K_CE_OVERRIDES").ok().filter(|text| !text.trim().is_empty()) else {
        return Ok(Vec::new());
    };
    let overrides: Overrides = serde_json::from_str(&text)
        .context(r#"K_CE_OVERRIDES: expected {"extensions": {"name": "value"}}"#)?;
    Ok(overrides.extensions.into_iter().collect())
}

/// What Knative says of the sink.
pub(super) fn environment() -> config::Environment {
    let variable = |name| std::env::var(name).ok();
    config::Environment { k_sink: variable("K_SINK"), k_ca_certs: variable("K_CA_CERTS") }
}
