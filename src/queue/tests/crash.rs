//! Killed at any moment, again and again: what was accepted is done, and done twice only if it was under way.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Write, stdout},
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use klr_test_support::random::Random;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    again::{again, told},
    world::{World, event, eventually, open, options},
};
use crate::queue::{Attempt, Event, Means, Metrics, Options, Outcome, Queue};

const KILLS: u64 = 20;
const EVENTS: u64 = 100_000;
const SENDERS: usize = 64;
/// Two seconds, and a loaded machine's allowance for a build that is not optimised.
const SOON: Duration = Duration::from_secs(10);

fn many() -> Options {
    Options { segment: 1 << 20, ..options() }
}

/// A function that says what it has been given.
struct Aloud(World);

#[async_trait]
impl Attempt for Aloud {
    async fn attempt(&self, event: &Event) -> Outcome {
        say(&format!("RUN {}\n", event.id.as_u128()));
        self.0.attempt(event).await
    }
}

fn say(line: &str) {
    // A line in one write: cut off only if the process is.
    stdout().lock().write_all(line.as_bytes()).unwrap();
}

/// Accepts events, runs functions, and says both, until it is killed.
#[tokio::test(flavor = "multi_thread")]
async fn worker() {
    let Some((directory, first)) = told() else { return };
    let queue = Queue::open(&directory, many(), Metrics::default()).await.unwrap();
    let world = Arc::new(World::default());
    let means = Means {
        attempt: Arc::new(Aloud(World::default())),
        policy: Arc::clone(&world) as _,
        destinations: world as _,
    };
    let (next, mut senders) = (Arc::new(AtomicU64::new(first)), JoinSet::new());
    for _ in 0..SENDERS {
        let (queue, next) = (Arc::clone(&queue), Arc::clone(&next));
        senders.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                queue.accept(event(&format!("f{}", n % 5), n)).await.unwrap();
                say(&format!("ACCEPTED {n}\n"));
            }
        });
    }
    queue.run(means, CancellationToken::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_accepted_is_lost_over_twenty_kills() {
    let (random, directory) = (Random::new(), TempDir::new().unwrap());
    let (mut accepted, mut ran) = (BTreeSet::new(), BTreeMap::<u64, u64>::new());
    let mut slowest = Duration::ZERO;
    for kill in 0..KILLS {
        // Some die early, and the later ones make up for it.
        let share = (EVENTS - accepted.len() as u64) / (KILLS - kill);
        let enough = if kill + 1 == KILLS { share + 10 } else { 1 + random.below(2 * share) };
        let path = directory.path().to_owned();
        let lived = tokio::task::spawn_blocking(move || live_and_die(&path, kill << 32, enough));
        let (said, first) = lived.await.unwrap();
        slowest = slowest.max(first);
        accepted.extend(said.iter().filter_map(|line| number(line, "ACCEPTED ")));
        for n in said.iter().filter_map(|line| number(line, "RUN ")) {
            *ran.entry(n).or_default() += 1;
        }
    }
    // The last one is not killed.
    let world = Arc::new(World::default());
    let queue = Queue::open(directory.path(), many(), Metrics::default()).await.unwrap();
    let left = queue.size().events;
    let running = world.run(&queue);
    eventually("all are settled", || queue.size().events == 0).await;
    running.stop().await;
    for (_, id, _) in world.attempts() {
        *ran.entry(u64::try_from(id.as_u128()).unwrap()).or_default() += 1;
    }
    let lost: Vec<_> = accepted.iter().filter(|n| !ran.contains_key(n)).collect();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), accepted.len());
    let twice: u64 = ran.values().map(|times| times - 1).sum();
    eprintln!(
        "{} accepted over {KILLS} kills, {left} left for the end, {twice} done twice, slowest start {slowest:?}",
        accepted.len()
    );
    assert!(accepted.len() as u64 >= EVENTS);
    // What is under way at a time, at each kill.
    assert!(twice <= KILLS * many().at_once as u64, "{twice} done twice");
    assert!(slowest < SOON, "it accepts soon after a kill: {slowest:?}");
    queue.close().await;
    assert_eq!(open(directory.path()).await.size().events, 0);
}

fn number(line: &str, word: &str) -> Option<u64> {
    line.split_once(word)?.1.parse().ok()
}

/// What a worker said until it was killed, after so many accepted events; and how long it took to accept the first.
fn live_and_die(directory: &Path, first: u64, enough: u64) -> (Vec<String>, Duration) {
    let start = Instant::now();
    let mut child = again("crash::worker", directory, first).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (mut said, mut accepted, mut ready) = (Vec::new(), 0, None);
    loop {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        // The last line may be cut off in the middle of its number. A whole one counts: what it says may have been settled since.
        if line.pop() != Some('\n') {
            break;
        }
        if line.contains("ACCEPTED") {
            accepted += 1;
            ready.get_or_insert_with(|| start.elapsed());
        }
        if accepted == enough {
            child.kill().unwrap();
        }
        said.push(line);
    }
    child.wait().unwrap();
    (said, ready.expect("it accepts before it dies"))
}
