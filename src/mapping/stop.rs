use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How a mapping is told to end: on its own, while the process goes on, or with the process, which has no time.
#[derive(Debug, Clone)]
pub struct Stop {
    stop: CancellationToken,
    end: CancellationToken,
}

impl Stop {
    /// With `stop` nothing new is taken on, and what is in flight is finished; from `end` on that has the drain timeout.
    pub fn new(stop: CancellationToken, end: CancellationToken) -> Self {
        Self { stop, end }
    }

    /// Nothing new is taken on.
    pub(super) fn token(&self) -> &CancellationToken {
        &self.stop
    }

    /// Waits until it is told to stop.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Waits until what is in flight has had its time.
    pub(super) async fn out_of_time(&self, drain: Duration) {
        // A mapping that ends by itself was told nothing.
        if self.stop.is_cancelled() {
            self.end.cancelled().await;
        }
        tokio::time::sleep(drain).await;
    }
}

/// With the process.
impl From<CancellationToken> for Stop {
    fn from(stop: CancellationToken) -> Self {
        Self { end: stop.clone(), stop }
    }
}
