//! An output for each of several workers that share a process's standard output: what one writes in two goes gets into nobody
//! else's line. A worker connects to a socket, and makes that its standard output, and its standard error.

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio::{net::UnixListener, task::JoinSet};
use uuid::Uuid;

use super::{Source, Stream, read};

/// The socket. Dropped, it is removed.
#[derive(Debug)]
pub(crate) struct Outlet {
    listener: UnixListener,
    path: PathBuf,
}

impl Outlet {
    /// In a folder that the workers see. (The system takes paths of some hundred bytes only.)
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join(format!("klr-{}", Uuid::new_v4().simple()));
        Ok(Self { listener: UnixListener::bind(&path)?, path })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its name in that folder.
    pub(crate) fn name(&self) -> &Path {
        self.path.file_name().map_or(Path::new(""), Path::new)
    }

    /// Passes on what the workers write, and after `end` what they had written.
    pub(crate) async fn serve(self, log: Stream, end: impl Future<Output = ()>) {
        let mut workers = JoinSet::new();
        let mut end = std::pin::pin!(end);
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((worker, _)) => drop(workers.spawn(read::lines(worker, Source::Function, log.clone()))),
                    Err(error) => {
                        tracing::warn!(%error, "a worker of the function is without its output");
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    }
                },
                Some(_) = workers.join_next() => {}
                () = end.as_mut() => break,
            }
        }
        drop(self);
        workers.join_all().await;
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
