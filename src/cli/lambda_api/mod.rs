//! `--lambda-api`: Lambda's own API, served beside everything else.

#[cfg(feature = "aws")]
mod chain;
mod keys;

use std::{future::Future, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::wire::Place;
use crate::lambda_api::{
    self, Api, Identity,
    auth::{self, Auth, Keys},
    code::object::Objects,
};

/// How long a new function is `Pending`: tools expect to see it, nobody wants to wait for it.
const SETTLE: Duration = Duration::from_millis(200);

/// Where and for whom.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where Lambda's own API is served; needs no files
    #[arg(long, value_name = "ADDR")]
    pub lambda_api: Option<SocketAddr>,
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
    /// Run functions of any python3.N or nodejsN.x on the one that is installed
    #[arg(long, requires = "lambda_api")]
    runtime_fallback: bool,
}

fn account(text: &str) -> Result<String, String> {
    let digits = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { Ok(text.to_owned()) } else { Err("expected twelve digits".to_owned()) }
}

/// The API, open and not yet served.
pub(super) struct Served {
    pub api: Arc<Api>,
    listener: TcpListener,
    auth: Auth,
}

impl Args {
    /// Opens what is kept with the rest of the state, and the port; nothing if it was not asked for.
    pub async fn open(&self, state: &Place) -> anyhow::Result<Option<Served>> {
        let Some(address) = self.lambda_api else { return Ok(None) };
        let auth = self.auth(address).await?;
        let listener = TcpListener::bind(address).await.with_context(|| format!("--lambda-api {address}"))?;
        let identity = Identity { account: self.lambda_account.clone(), region: self.lambda_region.clone() };
        let settings = lambda_api::Settings {
            identity,
            directory: state.directory()?,
            settle: SETTLE,
            limits: Default::default(),
        };
        Ok(Some(Served { api: Api::open(settings, self.objects().await).await?, listener, auth }))
    }

    /// Where code in buckets is fetched from.
    async fn objects(&self) -> Option<Box<dyn Objects>> {
        #[cfg(feature = "s3-destination")]
        return Some(Box::new(klr_s3::Objects::open(&self.lambda_region, None).await));
        #[cfg(not(feature = "s3-destination"))]
        None
    }

    async fn auth(&self, address: SocketAddr) -> anyhow::Result<Auth> {
        if self.lambda_unsigned {
            if !address.ip().is_loopback() {
                bail!(
                    "--lambda-unsigned: only on loopback, {address} is not: whoever reaches this port runs code"
                );
            }
            return Ok(Auth::Off);
        }
        let keys: Arc<dyn Keys> = match &self.lambda_keys {
            Some(file) => Arc::new(keys::File::read(file)?),
            #[cfg(feature = "aws")]
            None => Arc::new(chain::Chain::open().await?),
            #[cfg(not(feature = "aws"))]
            None => bail!("--lambda-api: this klr was built without the AWS chain; give --lambda-keys FILE"),
        };
        Ok(Auth::Signed { keys, region: self.lambda_region.clone() })
    }
}

impl Served {
    /// Serves it until told to stop; who is being answered is waited for.
    pub fn serve(self, stop: CancellationToken) -> anyhow::Result<impl Future<Output = std::io::Result<()>>> {
        let address = self.listener.local_addr()?;
        let router = auth::guarded(lambda_api::router(self.api), self.auth, address);
        tracing::info!(%address, "Lambda's API");
        Ok(axum::serve(self.listener, router).with_graceful_shutdown(stop.cancelled_owned()).into_future())
    }
}
