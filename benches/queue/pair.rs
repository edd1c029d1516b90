//! Floor and queue in turns.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use klr::queue::{Event, Metrics, Options, Queue};
use tokio::{runtime::Runtime, task::JoinSet};
use uuid::Uuid;

const PAIRS: usize = 5;
/// Senders of the queue that is measured.
pub const SENDERS: u32 = 64;

/// Events a second, the median of the pairs.
pub struct Rates {
    pub floor: f64,
    pub queue: f64,
}

pub fn compare(directory: &Path, part: u32) -> Rates {
    let runtime = Runtime::new().expect("a runtime can be made");
    let (mut floors, mut queues) = (Vec::new(), Vec::new());
    for pair in 1..=PAIRS {
        let _ = fs::remove_dir_all(directory);
        fs::create_dir_all(directory).expect("a directory can be made");
        let floor = super::floor::measure(directory, 1000 / part);
        let one = runtime.block_on(measure(&directory.join("one"), 1, 1000 / part));
        let queue = runtime.block_on(measure(&directory.join("queue"), SENDERS, 100_000 / part));
        println!(
            "pair {pair}: one event, one fsync {floor:>6.0}/s   queue, 1 sender {one:>6.0}/s   {SENDERS} senders {queue:>8.0}/s"
        );
        floors.push(floor);
        queues.push(queue);
    }
    Rates { floor: median(floors), queue: median(queues) }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

async fn measure(directory: &Path, senders: u32, events: u32) -> f64 {
    let queue = Queue::open(directory, Options::default(), Metrics::default()).await.expect("it opens");
    let start = Instant::now();
    send(&queue, senders, events).await;
    let rate = f64::from(events) / start.elapsed().as_secs_f64();
    queue.close().await;
    rate
}

/// So many events from so many senders, each of which waits for its answer.
pub async fn send(queue: &Arc<Queue>, senders: u32, events: u32) {
    let sent = Arc::new(AtomicU32::new(0));
    let payload = Bytes::from(format!("\"{}\"", "x".repeat(1022)));
    let mut tasks = JoinSet::new();
    for _ in 0..senders {
        let (queue, sent, payload) = (Arc::clone(queue), Arc::clone(&sent), payload.clone());
        tasks.spawn(async move {
            while sent.fetch_add(1, Ordering::Relaxed) < events {
                let target = "arn:aws:lambda:us-east-1:000000000000:function:orders";
                queue.accept(Event::new(Uuid::new_v4(), target, payload.clone())).await.expect("it accepts");
            }
        });
    }
    tasks.join_all().await;
}
