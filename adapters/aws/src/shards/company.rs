//! Who else is there, between two rounds.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Service;
use super::source::Shared;

/// A round may take long and the next is seconds away: too long for who may be taken for dead already.
const LOOK: Duration = Duration::from_millis(2_500);

/// Looks at the members for as long as the source lives.
pub(super) async fn run<S: Service>(shared: Arc<Shared<S>>) {
    let mut known: Option<Vec<String>> = None;
    loop {
        sleep(LOOK).await;
        match shared.store.members().await {
            Ok(members) => {
                if known.as_ref().is_some_and(|known| *known != members) {
                    shared.look.notify_one();
                }
                known = Some(members);
            }
            Err(error) => {
                // Others may read already what was ours. Rounds claim again, what is still there to be claimed.
                shared.state().lost_all();
                shared.tell(error);
                shared.look.notify_one();
            }
        }
    }
}
