//! `--lambda-api`: Lambda's own API, served beside everything else, with what runs behind it.

mod chain;
mod keys;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use aws_credential_types::provider::SharedCredentialsProvider;
use axum::Router;
use futures::future::BoxFuture;
use klr_host::cli::unbound;
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    run::serving,
    units,
    wire::{Made, Place, Wiring},
};
use crate::{
    fleet::{
        self, Fleet,
        logs::{self, Logs},
    },
    lambda_api::{
        self, Api, Identity,
        auth::{self, Auth, Keys},
        code::object::Objects,
        mapping, throttle, url,
    },
    mapping::Ending,
    metrics::Metrics,
    queue::{self, Queue},
    web,
};

/// How long a new function is `Pending`: tools expect to see it, nobody wants to wait for it.
const SETTLE: Duration = Duration::from_millis(200);
/// How long the last log records may take to be delivered.
const LAST_LOGS: Duration = Duration::from_secs(3);

/// Where and for whom.
#[derive(Debug, clap::Args)]
// Another `Args` is flattened around it; clap makes a group of each by its name.
#[group(skip)]
pub(super) struct Args {
    /// Where Lambda's own API is served; needs no files
    #[arg(long, value_name = "ADDR", conflicts_with = "once")]
    lambda_api: Option<SocketAddr>,
    /// Who may call it: keys as in ~/.aws/credentials [default: the AWS chain's own]
    #[arg(long, value_name = "FILE", requires = "lambda_api")]
    lambda_keys: Option<PathBuf>,
    /// Take unsigned calls, on loopback alone: whoever reaches the port runs code
    #[arg(long, requires = "lambda_api", conflicts_with = "lambda_keys")]
    lambda_unsigned: bool,
    /// The account of its functions
    #[arg(long, value_name = "ID", default_value = "000000000000", value_parser = account)]
    lambda_account: String,
    /// The region of its functions
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    lambda_region: String,
    /// Calls a second that are answered, invocations not counted; AWS has 15 [default: no limit]
    #[arg(long, value_name = "N", requires = "lambda_api", value_parser = clap::value_parser!(u32).range(1..))]
    lambda_rate: Option<u32>,
    /// Where function URLs are reached: http://ID.lambda-url.REGION.DOMAIN [default: http://localhost:PORT]
    #[arg(long, value_name = "http://DOMAIN", requires = "lambda_api")]
    lambda_urls: Option<url::Base>,
    /// Run functions of any python3.N or nodejsN.x on the one that is installed
    #[arg(long, requires = "lambda_api")]
    runtime_fallback: bool,
    /// Between the first attempt of an asynchronous invocation and the second; twice as long before the third
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = units::duration)]
    async_retry_delay: Duration,
}

/// What functions call Lambda by: this API, unless whoever runs us named another. On AWS they find each other too.
fn endpoint(address: SocketAddr) -> Vec<(String, String)> {
    const NAME: &str = "AWS_ENDPOINT_URL_LAMBDA";
    if std::env::var(NAME).is_ok_and(|url| !url.is_empty()) {
        return Vec::new();
    }
    let host = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    vec![(NAME.to_owned(), format!("http://{}", SocketAddr::new(host, address.port())))]
}

fn account(text: &str) -> Result<String, String> {
    let digits = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { Ok(text.to_owned()) } else { Err("expected twelve digits".to_owned()) }
}

/// Everything behind the API, open and not yet served.
pub(super) struct Plane {
    api: Arc<Api>,
    fleet: Arc<Fleet>,
    queue: Arc<Queue>,
    logs: Arc<Logs>,
    listener: TcpListener,
    auth: Auth,
    rate: Option<u32>,
    region: String,
}

/// The same, at work.
pub(super) struct Running {
    api: Arc<Api>,
    fleet: Arc<Fleet>,
    logs: Arc<Logs>,
    mappings: Arc<Made>,
    queue: Arc<Queue>,
    emptying: JoinHandle<()>,
}

impl Args {
    /// Opens what is kept with the rest of the state, and the port; nothing if it was not asked for.
    pub async fn open(&self, state: &Place, metrics: &Metrics) -> anyhow::Result<Option<Plane>> {
        let Some(address) = self.lambda_api else { return Ok(None) };
        let credentials = self.credentials().await;
        let auth = self.auth(address, credentials.clone()).await?;
        let listener = TcpListener::bind(address).await.map_err(unbound("--lambda-api", address))?;
        let (directory, region) = (state.directory()?, self.lambda_region.clone());
        let port = listener.local_addr()?.port();
        let identity = Identity { account: self.lambda_account.clone(), region: region.clone() };
        let settings = lambda_api::Settings {
            identity,
            directory: directory.clone(),
            settle: SETTLE,
            limits: Default::default(),
            urls: self.lambda_urls.clone().unwrap_or_else(|| url::Base::local(port)),
        };
        let api = Api::open(settings, self.objects().await).await?;
        let logs = Logs::open(&directory, self.delivery().await)
            .with_context(|| format!("logs in {}", directory.display()))?;
        let settings = fleet::Settings {
            runtime_fallback: self.runtime_fallback,
            credentials,
            variables: endpoint(listener.local_addr()?),
            ..fleet::Settings::new(directory.clone())
        };
        let fleet = Fleet::new(settings, Arc::clone(&logs))
            .with_context(|| format!("functions in {}", directory.display()))?;
        let delays = queue::Delays { retry: self.async_retry_delay, ..Default::default() };
        let options = queue::Options { delays, ..Default::default() };
        let queue = Queue::open(&directory.join("queue"), options, metrics.queue.clone()).await?;
        api.run_by(Arc::clone(&fleet));
        api.submit_to(Arc::clone(&queue));
        let rate = self.lambda_rate;
        Ok(Some(Plane { api, fleet, queue, logs, listener, auth, rate, region }))
    }

    async fn auth(
        &self,
        address: SocketAddr,
        credentials: Option<SharedCredentialsProvider>,
    ) -> anyhow::Result<Auth> {
        if self.lambda_unsigned {
            if !address.ip().is_loopback() {
                bail!(
                    "--lambda-unsigned: only on loopback, {address} is not: whoever reaches this port runs code"
                );
            }
            return Ok(Auth::Off);
        }
        let keys: Arc<dyn Keys> = match (&self.lambda_keys, credentials) {
            (Some(file), _) => Arc::new(keys::File::read(file)?),
            (None, Some(credentials)) => Arc::new(chain::Chain::of(credentials).await?),
            (None, None) => {
                bail!("--lambda-api: this klr was built without the AWS chain; give --lambda-keys FILE")
            }
        };
        Ok(Auth::Signed { keys, region: self.lambda_region.clone() })
    }

    /// Where code in buckets is fetched from.
    async fn objects(&self) -> Option<Box<dyn Objects>> {
        #[cfg(feature = "s3-destination")]
        return Some(Box::new(klr_s3::Objects::open(&self.lambda_region, None).await));
        #[cfg(not(feature = "s3-destination"))]
        None
    }

    /// Where logs go beside our own files.
    async fn delivery(&self) -> Option<logs::Delivery> {
        #[cfg(feature = "cloudwatch-logs")]
        return logs::cloudwatch(&self.lambda_region).await;
        #[cfg(not(feature = "cloudwatch-logs"))]
        None
    }

    /// What functions call AWS with, and callers of ours are checked by; `None`: built without the AWS chain.
    async fn credentials(&self) -> Option<SharedCredentialsProvider> {
        #[cfg(feature = "aws")]
        return Some(klr_aws::standard_chain(&self.lambda_region).await);
        #[cfg(not(feature = "aws"))]
        None
    }
}

impl Plane {
    /// What the admin port has of it.
    pub fn admin(&self) -> Router {
        queue::router(Arc::clone(&self.queue)).merge(logs::router(Arc::clone(&self.logs)))
    }

    /// What the admin port tells of its functions.
    pub fn functions(&self) -> web::Functions {
        let api = Arc::clone(&self.api);
        Box::new(move || lambda_api::function::told(&api))
    }

    /// Serves the API, runs its mappings and empties its queue, until told to stop.
    /// The future serves callers, and ends when the last of them is answered, or `drain` after that.
    pub fn start(
        self,
        wiring: &Arc<Wiring>,
        stop: &CancellationToken,
        drain: Duration,
    ) -> anyhow::Result<(Running, BoxFuture<'static, (String, Ending)>)> {
        let Self { api, fleet, queue, logs, listener, auth, rate, region } = self;
        let mappings = Made::new(Arc::clone(wiring), stop.clone());
        mapping::run(&api, Arc::clone(&mappings) as _);
        let means = queue::Means {
            attempt: Arc::clone(&api) as _,
            policy: Arc::clone(&api) as _,
            destinations: Arc::new(queue::Aws::new(&queue, &region, None)),
        };
        let until = stop.clone();
        let emptied = Arc::clone(&queue);
        let emptying = tokio::spawn(async move { emptied.run(means, until).await });
        let address = listener.local_addr()?;
        let router = lambda_api::router(Arc::clone(&api));
        // Behind the check of signatures: who may not call uses nothing up.
        let router = match rate {
            Some(rate) => throttle::limited(router, rate),
            None => router,
        };
        let router = auth::guarded(router, auth.clone(), address);
        let router =
            url::beside(router, Arc::clone(&api), auth).into_make_service_with_connect_info::<SocketAddr>();
        let serve = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        tracing::info!(%address, "Lambda's API");
        let serving = serving("Lambda's API", serve, stop.clone(), drain);
        Ok((Running { api, fleet, logs, mappings, queue, emptying }, Box::pin(serving)))
    }
}

impl Running {
    /// After everybody was told to stop and callers are answered: waits for mappings and for what the queue has with
    /// functions, and ends the functions.
    pub async fn stop(self, drain: Duration) {
        let end = Instant::now() + drain;
        mapping::end(&self.api);
        let finished = futures::future::join(self.mappings.stop_all(), self.emptying);
        if tokio::time::timeout_at(end, finished).await.is_err() {
            tracing::warn!("drain timeout: what the queue has with functions will be tried again");
        }
        self.fleet.stop(end.saturating_duration_since(Instant::now())).await;
        self.queue.close().await;
        self.logs.flush(LAST_LOGS).await;
    }
}
