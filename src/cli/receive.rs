//! Push triggers: their receivers, and the port they share.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use klr_host::cli;
use tokio::net::TcpListener;

use super::{run::Parts, wire::Wiring};
use crate::{
    config::{self, Resources},
    mapping::{Entry, Status},
};

/// Adds every notification's receiver, or its queue, to the parts, and opens the port.
pub(super) async fn notifications(
    wiring: &Wiring,
    resources: &Resources,
    listen: Option<SocketAddr>,
    parts: &mut Parts,
) -> anyhow::Result<()> {
    let mut router = None;
    for notification in &resources.notifications {
        let name = || format!("bucket notification {}", notification.name);
        match &notification.receive {
            config::Receive::Webhook { token } => {
                let address = cli::listen(listen)?;
                if token.is_none() && !address.ip().is_loopback() {
                    anyhow::bail!(
                        "{}: spec.webhook.token is needed to receive on {address}: anybody who reaches the port could invoke the function",
                        name()
                    );
                }
                let (webhook, status) =
                    wiring.webhook(notification, token.as_ref()).await.with_context(name)?;
                let path = format!("/bucketnotifications/{}", notification.name);
                router = Some(router.unwrap_or_else(axum::Router::new).nest(&path, webhook));
                show(wiring, notification, &status);
                parts.statuses.push(status);
            }
            #[cfg(feature = "sqs")]
            config::Receive::Queue(queue) => {
                let wired = wiring.carried(notification, queue).await.with_context(name)?;
                show(wiring, notification, &wired.means.status);
                parts.statuses.push(Arc::clone(&wired.means.status));
                parts.mappings.push(wired);
            }
        }
    }
    if let Some(router) = router {
        let address = cli::listen(listen)?;
        let listener = TcpListener::bind(address).await.map_err(cli::unbound("--listen", address))?;
        tracing::info!(address = %listener.local_addr()?, "push triggers receive");
        parts.receivers = Some((listener, router));
    }
    Ok(())
}

fn show(wiring: &Wiring, notification: &config::Notification, status: &Arc<Status>) {
    let (status, origin) = (Arc::clone(status), notification.place.to_string());
    wiring.board.show(Entry { status, awaited: true, origin, written: None });
}
