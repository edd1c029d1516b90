//! The live status: on a terminal one line a mapping, drawn below the log.

use std::{
    io::{IsTerminal, Write},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use crate::mapping::Status;

/// Where people look: stderr, with the live lines at its end.
#[derive(Debug, Default)]
pub struct Screen {
    drawn: Mutex<usize>,
}

static SCREEN: OnceLock<Screen> = OnceLock::new();

impl Screen {
    /// The one screen of the process.
    pub fn get() -> &'static Self {
        SCREEN.get_or_init(Self::default)
    }

    /// Replaces the live lines.
    fn draw(&self, lines: &[String]) {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = erase(*drawn);
        // Cut off at the edge: a line that went on below would not be erased.
        text.push_str("\x1b[?7l");
        lines.iter().for_each(|line| text.push_str(&format!("{}\n", line.replace(['\r', '\n'], " "))));
        text.push_str("\x1b[?7h");
        // A terminal that went away is no reason to stop.
        let _ = std::io::stderr().write_all(text.as_bytes());
        *drawn = lines.len();
    }

    /// Writes log lines where the live ones were; they are drawn again with the next second.
    pub fn log(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut err = std::io::stderr().lock();
        err.write_all(erase(std::mem::take(&mut *drawn)).as_bytes())?;
        err.write_all(bytes)
    }
}

/// Up, and clear to the end of the screen.
fn erase(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\x1b[{lines}A\x1b[J") }
}

/// Draws once a second until dropped; nothing where nobody looks.
pub(super) async fn show(statuses: Vec<Arc<Status>>) {
    if !std::io::stderr().is_terminal() {
        return std::future::pending().await;
    }
    let mut before: Vec<(u64, Instant)> = statuses.iter().map(|_| (0, Instant::now())).collect();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        let lines: Vec<String> =
            statuses.iter().zip(&mut before).map(|(status, before)| line(status, before)).collect();
        Screen::get().draw(&lines);
    }
}

fn line(status: &Status, before: &mut (u64, Instant)) -> String {
    let figures = &status.figures;
    // Queue: deleted. Log: what the checkpoint has passed.
    let delivered = figures.deleted.get() + figures.committed.get();
    let seconds = before.1.elapsed().as_secs_f64().max(0.001);
    let rate = (delivered.saturating_sub(before.0)) as f64 / seconds;
    *before = (delivered, Instant::now());
    let state =
        if status.is_ready() { status.last_processing_result() } else { "waiting for the source".into() };
    format!(
        "{:<20} polled {} · delivered {delivered} · failed {} · lag {} · {rate:.0}/s · {state}",
        status.name,
        figures.polled.get(),
        figures.failed.get(),
        figures.lag.get(),
    )
}
