//! Partial batch responses. The one place where `batchItemFailures` is read: the live path, replay and tests call it.
//!
//! AWS: one bad entry poisons the whole response, even if other entries are valid (spec/esm.md §1.9).

use klr_contract::{Record, Shape};
use serde_json::Value;

/// What a reply says about a batch of a mapping with `ReportBatchItemFailures`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    /// Every record succeeded.
    None,
    /// These failed (indices into the batch, ascending, no duplicates, at least one), the others succeeded.
    Some(Vec<usize>),
    /// The reply cannot be trusted: the whole batch failed. Says why, for the log.
    All(&'static str),
}

/// Reads a reply. `shape` says which records an identifier names.
pub fn parse(body: &[u8], batch: &[Record], shape: &dyn Shape) -> Failed {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Failed::None;
    }
    let Ok(reply) = serde_json::from_slice::<Value>(body) else {
        return Failed::All("the reply is not JSON");
    };
    // AWS: `null`, `""`, `[]` and an object without the list are success; other non-objects carry no list either.
    let Some(list) = reply.get("batchItemFailures") else { return Failed::None };
    let entries = match list {
        Value::Null => return Failed::None,
        Value::Array(entries) => entries,
        _ => return Failed::All("batchItemFailures is not a list"),
    };
    let mut failed = Vec::new();
    for entry in entries {
        let Some(identifier) = entry.get("itemIdentifier") else {
            return Failed::All("an entry of batchItemFailures has no itemIdentifier");
        };
        let named = shape.locate(identifier, batch);
        if named.is_empty() {
            return Failed::All("an itemIdentifier names no record of the batch");
        }
        failed.extend(named);
    }
    failed.sort_unstable();
    failed.dedup();
    if failed.is_empty() { Failed::None } else { Failed::Some(failed) }
}
