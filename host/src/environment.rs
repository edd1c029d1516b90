//! What an execution environment has while its processes come and go.

use std::{
    fs, io, mem,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use uuid::Uuid;

use crate::{Folder, Settings, mount::Mounts, variables::Variables};

/// `AWS_LAMBDA_INITIALIZATION_TYPE` of those that are started for a caller.
pub(crate) const ON_DEMAND: &str = "on-demand";

/// What the environments of a function are made by.
#[derive(Debug)]
pub(crate) struct Environments {
    /// Whatever starts them, or `None`: the first are provisioned, the others on demand.
    kind: Option<&'static str>,
    /// The function's: their log streams are called by it.
    version: String,
    provisioned: usize,
    /// Where each has a folder that it sees as `/tmp`.
    temporary: Option<PathBuf>,
    mounts: Option<Mounts>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Environment {
    /// `AWS_LAMBDA_INITIALIZATION_TYPE`.
    pub(crate) kind: &'static str,
    /// The name of its log stream: what runs in it next writes on where the last one ended.
    pub(crate) stream: String,
    /// Something was started in it.
    began: AtomicBool,
    /// The last start in it failed.
    failed: AtomicBool,
    /// The end of the log of what ended without an invocation to tell it.
    left: Mutex<Vec<u8>>,
    /// What its processes see of the file system, if not all as it is.
    pub(crate) mounts: Option<Mounts>,
    /// Its `/tmp`. AWS: a reset does not clear it.
    temporary: Option<Folder>,
}

impl Environment {
    /// Whether what is written to `/tmp` nobody else sees.
    pub(crate) fn has_own_tmp(&self) -> bool {
        self.temporary.is_some()
    }

    /// Whether what is started now is the first in it.
    pub(crate) fn begin(&self) -> bool {
        !self.began.swap(true, Relaxed)
    }

    /// What was started has initialised, or failed to.
    pub(crate) fn settle(&self, failed: bool) {
        self.failed.store(failed, Relaxed);
    }

    /// Keeps the end of a log for what is started next.
    pub(crate) fn leave(&self, tail: Vec<u8>) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = tail;
    }

    /// What was left by what ran before.
    pub(crate) fn left(&self) -> Vec<u8> {
        mem::take(&mut self.left.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether what was started last failed to initialise.
    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Relaxed)
    }
}

impl Environments {
    pub(crate) fn new(settings: &Settings, mounts: Option<&Mounts>) -> Self {
        let kind = match settings.max_concurrency {
            Some(_) => Some("lambda-managed-instances"),
            None => settings.snap_start.then_some("snap-start"),
        };
        let (temporary, mounts) = (settings.temporary.clone(), mounts.cloned());
        let version = settings.version.clone();
        Self { kind, version, provisioned: settings.provisioned, temporary, mounts }
    }

    /// The environment of this number: they are counted from 0, in the order they are started.
    pub(crate) fn make(&self, number: usize) -> Environment {
        let on_demand = || if number < self.provisioned { "provisioned-concurrency" } else { ON_DEMAND };
        let mut mounts = self.mounts.clone();
        let parent = self.temporary.as_ref().filter(|_| mounts.as_ref().is_some_and(Mounts::may_hide_tmp));
        let temporary = parent.and_then(|parent| {
            let warned = |error| tracing::warn!(%error, folder = %parent.display(), "no /tmp of its own");
            below(parent).map_err(warned).ok()
        });
        if let (Some(mounts), Some(folder)) = (&mut mounts, &temporary) {
            mounts.show_as_tmp(folder.path());
        }
        let kind = self.kind.unwrap_or_else(on_demand);
        let stream = Variables::log_stream(&self.version);
        let (began, failed) = (AtomicBool::new(false), AtomicBool::new(false));
        Environment { kind, stream, began, failed, left: Mutex::default(), mounts, temporary }
    }
}

/// A new one below `parent`, which is made too.
fn below(parent: &Path) -> io::Result<Folder> {
    let path = parent.join(Uuid::new_v4().simple().to_string());
    fs::create_dir_all(&path)?;
    Ok(Folder::at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_provisioned_and_the_others_are_started_on_demand() {
        let kinds = |settings: Settings| {
            let environments = Environments::new(&settings, None);
            [0, 1, 2].map(|number| environments.make(number).kind)
        };
        let settings = Settings { provisioned: 2, ..Settings::default() };
        assert_eq!(kinds(settings), ["provisioned-concurrency", "provisioned-concurrency", "on-demand"]);
        assert_eq!(kinds(Settings { snap_start: true, ..Settings::default() }), ["snap-start"; 3]);
    }
}
