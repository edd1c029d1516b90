//! Rows are written here, by one at a time: a version that is written twice would be refused.

use std::collections::HashMap;
use std::sync::Arc;

use klr_contract::{Error, Row};
use tokio::sync::MutexGuard;

use super::Service;
use super::source::Shared;

/// Who holds it writes.
pub(super) type Pen<'a> = MutexGuard<'a, ()>;

/// Writes everything that is to be written: checkpoints and releases. Many callers at once share one write.
///
/// In a task of its own: a write that was begun is finished and noted even if the caller is dropped.
pub(super) async fn flush<S: Service>(shared: &Arc<Shared<S>>) -> Result<(), Error> {
    let its = Arc::clone(shared);
    let task = tokio::spawn(async move {
        let pen = its.pen.lock().await;
        write_pending(&its, &pen).await
    });
    task.await
        .map_err(|error| Error::retry("shards-write", format!("the write of rows was cut off: {error}")))?
}

async fn write_pending<S: Service>(shared: &Shared<S>, pen: &Pen<'_>) -> Result<(), Error> {
    let identity = shared.identity();
    let rows = shared.state().pending(&identity, shared.store.member());
    if rows.is_empty() {
        return Ok(());
    }
    let refused = write(shared, pen, rows).await?;
    if refused.is_empty() {
        return Ok(());
    }
    // Somebody else's by now, or a write of ours whose answer was lost: our name is in the row then, and a second attempt
    // over its version is right. Nobody else writes a row with a living owner.
    let stored = rows_by_name(shared).await?;
    let mut again = Vec::new();
    for row in refused {
        match stored.get(&row.partition) {
            Some(known) if known.owner.as_deref() == Some(shared.store.member()) => {
                shared.state().adopt(&row.partition, known.version);
                again.push(Row { version: known.version, ..row });
            }
            _ => lost(shared, &row.partition),
        }
    }
    for row in write(shared, pen, again).await? {
        lost(shared, &row.partition);
    }
    Ok(())
}

/// Writes rows of what is held, notes those that were taken, and answers those that were refused.
async fn write<S: Service>(shared: &Shared<S>, _: &Pen<'_>, rows: Vec<Row>) -> Result<Vec<Row>, Error> {
    if rows.is_empty() {
        return Ok(rows);
    }
    let refused = shared.store.write(&shared.settings.mapping, &rows).await?;
    let (refused, taken): (Vec<Row>, Vec<Row>) =
        rows.into_iter().partition(|row| refused.contains(&row.partition));
    let mut state = shared.state();
    taken.into_iter().for_each(|row| state.written(row));
    Ok(refused)
}

pub(super) async fn rows_by_name<S: Service>(shared: &Shared<S>) -> Result<HashMap<String, Row>, Error> {
    let rows = shared.store.rows(&shared.settings.mapping).await?;
    Ok(rows.into_iter().map(|row| (row.partition.clone(), row)).collect())
}

fn lost<S: Service>(shared: &Shared<S>, shard: &str) {
    tracing::info!(stream = shared.settings.stream, shard, "another member has taken the shard");
    shared.state().lost(shard);
    shared.heard.notify_waiters();
}
