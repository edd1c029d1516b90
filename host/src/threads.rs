//! The threads that serve connections, those of callers and those of runtime clients, each by a runtime of its own.
//!
//! A connection stays with its thread. Threads that share a runtime take each other's work, and wake each other for it:
//! with work as short as this, that made each invocation a third dearer. One thread for everything is the cheapest, but a
//! process whose call waits for its turn there is idle, and a core with it: of two, a sixth of the time was lost so.

use std::{io, sync::Arc, thread};

use tokio::{
    net::TcpStream,
    runtime::{Builder, Handle},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Threads to choose from. They end when nobody chooses from them any more, with all they serve.
pub(crate) struct Threads {
    /// How often each was chosen is how often it is held.
    handles: Vec<Arc<Handle>>,
    stop: Arc<DropGuard>,
}

impl Threads {
    /// So many, with the runtime of whoever calls as the first.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let mut threads =
            Self { handles: vec![Arc::new(Handle::current())], stop: Arc::new(stop.clone().drop_guard()) };
        for _ in 1..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            threads.handles.push(Arc::new(runtime.handle().clone()));
            let stop = stop.clone();
            let serve = move || runtime.block_on(stop.cancelled());
            thread::Builder::new().name("klr-serve".to_owned()).spawn(serve)?;
        }
        Ok(threads)
    }

    /// The same threads, to be chosen from for something else.
    pub(crate) fn again(&self) -> Self {
        let handles = self.handles.iter().map(|handle| Arc::new(Handle::clone(handle))).collect();
        Self { handles, stop: Arc::clone(&self.stop) }
    }

    /// The one with the least to serve. It counts as serving something until what is returned is dropped.
    pub(crate) fn least(&self) -> Arc<Handle> {
        let least = self.handles.iter().min_by_key(|handle| Arc::strong_count(handle));
        Arc::clone(least.expect("there is one at least"))
    }
}

/// Hands an accepted connection to a thread.
pub(crate) fn hand_over(stream: TcpStream, thread: &Handle) -> io::Result<TcpStream> {
    let stream = stream.into_std()?;
    let _there = thread.enter();
    TcpStream::from_std(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_has_its_share_and_ends_with_the_last_who_chooses() {
        let threads = Threads::start(2).unwrap();
        let others = threads.again();
        let (first, second) = (threads.least(), threads.least());
        assert!(!Arc::ptr_eq(&first, &second));
        drop(second);
        assert!(!Arc::ptr_eq(&first, &threads.least()), "one of the two is free again");
        assert!(Arc::ptr_eq(&others.least(), &others.handles[0]), "others are counted by themselves");
        let other = Arc::clone(&threads.handles[1]);
        drop(threads);
        let here = thread::current().id();
        assert_ne!(other.spawn(async { thread::current().id() }).await.unwrap(), here);
        drop(others);
        assert!(other.spawn(std::future::pending::<()>()).await.unwrap_err().is_cancelled());
    }
}
