//! Calls of the AWS SDK from tests that do not wait otherwise.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::runtime::Runtime;

/// Blocks on a call that has to succeed. One runtime for all: the SDK's connections belong to it.
pub(crate) fn done<T, E: std::fmt::Debug>(call: impl Future<Output = Result<T, E>>) -> T {
    answer(call).unwrap_or_else(|error| panic!("the server did not do as it was told: {error:?}"))
}

/// Blocks on a call, however it ends.
pub(crate) fn answer<T>(call: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().expect("a runtime can be made")).block_on(call)
}

/// Different in every call of every process.
pub(crate) fn ending() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
