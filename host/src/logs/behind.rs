//! How far our reading of what a process writes is behind its writing.
//!
//! What it wrote before it asked for work is in its pipes by then, and belongs before the `END` of its invocation. Its pipes and
//! its calls are read by different tasks, and which of them is first is chance.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{
            AtomicBool, AtomicU32,
            Ordering::{Relaxed, SeqCst},
        },
    },
    task::{Context, Poll},
    time::Duration,
};

use rustix::io::ioctl_fionread;
use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{sleep, timeout},
};

/// How long a log may be waited for. Who takes it may be stuck, and the function need not be.
const PATIENCE: Duration = Duration::from_millis(100);
/// Between looks.
const LOOK: Duration = Duration::from_millis(1);
/// A look is a system call for each pipe, a twentieth of what an invocation takes in all. Who has written nothing for so many
/// is not looked at until something is read again.
const SILENT: u32 = 100;

/// The pipes of one process.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    all: Mutex<Vec<Weak<State>>>,
    /// Looks that found nothing since something was read.
    silent: Arc<AtomicU32>,
}

#[derive(Debug)]
struct State {
    pipe: OwnedFd,
    silent: Arc<AtomicU32>,
    /// Its reader has taken something that is not passed on yet.
    busy: AtomicBool,
}

impl State {
    /// In this order: what has left the pipe has made its reader busy before.
    fn behind(&self) -> bool {
        ioctl_fionread(&self.pipe).is_ok_and(|waiting| waiting > 0) || self.busy.load(SeqCst)
    }
}

impl Pipes {
    /// The same pipe, watched as long as it is read. Where that cannot be done it counts as read.
    pub(super) fn watch<R: AsFd>(&self, pipe: R) -> Watched<R> {
        let state = pipe.as_fd().try_clone_to_owned().ok();
        let silent = Arc::clone(&self.silent);
        let state = state.map(|pipe| Arc::new(State { pipe, silent, busy: AtomicBool::new(false) }));
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(state.iter().map(Arc::downgrade));
        Watched { pipe, state }
    }

    /// Whether something was written that is not passed on yet.
    pub(super) fn behind(&self) -> bool {
        let silent = self.silent.load(Relaxed);
        if silent >= SILENT {
            return false;
        }
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let behind = all.iter().filter_map(Weak::upgrade).any(|state| state.behind());
        self.silent.store(if behind { 0 } else { silent + 1 }, Relaxed);
        behind
    }

    /// Waits until what was written is passed on, or takes too long.
    pub(super) async fn caught_up(&self) {
        let _ = timeout(PATIENCE, async {
            while self.behind() {
                sleep(LOOK).await;
            }
        })
        .await;
    }
}

/// A pipe that is read by one who passes on what he has before he reads more.
#[derive(Debug)]
pub(crate) struct Watched<R> {
    pipe: R,
    state: Option<Arc<State>>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Watched<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { pipe, state } = &mut *self;
        let Some(state) = state else { return Pin::new(pipe).poll_read(cx, buffer) };
        state.busy.store(true, SeqCst);
        let read = Pin::new(pipe).poll_read(cx, buffer);
        match read.is_pending() {
            true => state.busy.store(false, SeqCst),
            false => state.silent.store(0, Relaxed),
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tokio::{io::AsyncReadExt, net::unix::pipe};

    use super::*;

    #[tokio::test]
    async fn what_is_in_the_pipe_or_in_hand_is_not_passed_on() {
        let (ours, mut theirs) = io::pipe().unwrap();
        let pipes = Pipes::default();
        let mut read = pipes.watch(pipe::Receiver::from_owned_fd(ours.into()).unwrap());
        assert!(!pipes.behind());
        theirs.write_all(b"a line").unwrap();
        assert!(pipes.behind(), "in the pipe");
        let mut line = [0; 6];
        read.read_exact(&mut line).await.unwrap();
        assert!(pipes.behind(), "in hand");
        let more = timeout(LOOK, read.read(&mut line)).await;
        assert!(more.is_err() && !pipes.behind(), "its reader asks for more");
        theirs.write_all(b"one nobody reads").unwrap();
        timeout(10 * PATIENCE, pipes.caught_up()).await.expect("not for ever");
        let mut rest = [0; 16];
        read.read_exact(&mut rest).await.unwrap();
        assert!(timeout(LOOK, read.read(&mut rest)).await.is_err());
        assert!(!(0..SILENT).any(|_| pipes.behind()));
        theirs.write_all(b"again").unwrap();
        assert!(!pipes.behind(), "it was silent for long");
        read.read_exact(&mut rest[..5]).await.unwrap();
        assert!(pipes.behind(), "and is not any more");
        drop(read);
        assert!(!pipes.behind(), "nobody will");
    }
}
