//! A queue mapping against a queue in memory and a scripted function, on paused time.

mod world;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Mutex,
};

use klr_contract::Record;
use serde_json::Value;

use self::world::{Named, Remote, World, done, send, settings, standard};
use super::*;
use crate::{deliver::Outcome, mapping::Policy};

#[tokio::test(start_paused = true)]
async fn success_deletes_and_five_lanes_are_the_start() {
    let queue = standard(30);
    send(&queue, 200);
    let world = World::run(queue, settings(), |_| (Duration::from_millis(500), done()));
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(world.function.seen.lock().unwrap().most, 5);
    world.seconds(20).await;
    assert!(world.queue.is_empty());
    assert_eq!(world.stop().await, Ending::Settled);
}

#[tokio::test(start_paused = true)]
async fn lanes_grow_by_five_a_second_while_all_are_busy() {
    let queue = standard(600);
    send(&queue, 5000);
    let world = World::run(queue, settings(), |_| (Duration::from_secs(100), done()));
    world.seconds(4).await;
    let most = world.function.seen.lock().unwrap().most;
    assert!((10..=30).contains(&most), "{most}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_batch_comes_again_when_its_visibility_timeout_ends() {
    let queue = standard(7);
    send(&queue, 1);
    let first = std::sync::atomic::AtomicBool::new(true);
    let world = World::run(queue, settings(), move |_| {
        let failed = first.swap(false, std::sync::atomic::Ordering::Relaxed);
        (Duration::ZERO, if failed { Outcome::FunctionError } else { done() })
    });
    world.seconds(30).await;
    assert_eq!(world.calls(), [(0, vec!["000".into()]), (7, vec!["000".into()])]);
    assert!(world.queue.is_empty());
}

/// Nobody else gets it, and when its mapping is changed it is still settled before the next begins.
#[tokio::test(start_paused = true)]
async fn a_batch_that_waits_for_its_turn_is_kept_hidden_and_waited_for() {
    let queue = standard(12);
    send(&queue, 1);
    let world = World::waiting(queue, Duration::from_secs(50));
    world.seconds(5).await;
    let queue = Arc::clone(&world.queue);
    assert_eq!(world.calls().len(), 1);
    assert_eq!(world.stop().await, Ending::Settled);
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_late_in_a_long_poll_is_delivered_whatever_its_visibility_timeout() {
    let world = World::run(standard(2), settings(), |_| (Duration::ZERO, done()));
    world.seconds(19).await;
    send(&world.queue, 1);
    world.seconds(1).await;
    assert_eq!(world.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_filtered_is_deleted_at_once_and_takes_no_room_in_a_batch() {
    let queue = standard(600);
    send(&queue, 40);
    let settings = Settings { window: Duration::from_secs(60), batch_size: 4, once: true, ..settings() };
    let world = World::filtered(queue, settings, r#"{"body": [{"suffix": "0"}]}"#);
    world.seconds(1).await;
    assert!(world.queue.len() <= 4, "only what matches is left");
    world.seconds(120).await;
    assert!(world.queue.is_empty());
    let mut seen: Vec<String> = world.calls().into_iter().flat_map(|(_, bodies)| bodies).collect();
    seen.sort();
    assert_eq!(seen, ["000", "010", "020", "030"]);
    assert_eq!(world.running.await.unwrap(), Ending::Settled);
}

#[tokio::test(start_paused = true)]
async fn the_window_collects_over_several_receives() {
    let queue = standard(60);
    send(&queue, 10);
    let settings = Settings { batch_size: 15, window: Duration::from_secs(10), ..settings() };
    let world = World::run(queue, settings, |_| (Duration::ZERO, done()));
    world.seconds(3).await;
    (10..15).for_each(|n| drop(world.queue.send(format!("{n:03}"), None)));
    world.seconds(30).await;
    let sizes: Vec<usize> = world.calls().iter().map(|(_, bodies)| bodies.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 15);
    assert!(world.calls()[0].0 <= 10, "{:?}", world.calls());
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_sink_does_not_use_up_max_receive_count() {
    let queue = standard(30).max_receives(1);
    send(&queue, 100);
    let begun = Instant::now();
    let world = World::run(queue, settings(), move |_| {
        let down = begun.elapsed() < Duration::from_secs(900);
        (Duration::ZERO, if down { Outcome::Unreachable("refused".into()) } else { done() })
    });
    world.seconds(960).await;
    assert_eq!((world.queue.dead(), world.queue.len()), (vec![], 0));
    assert_eq!(world.stop().await, Ending::Settled);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_batch_is_tried_again_only_while_it_is_hidden() {
    let queue = standard(10);
    send(&queue, 1);
    let world = World::run(queue, settings(), |_| (Duration::ZERO, Outcome::Throttled { after: None }));
    world.seconds(9).await;
    let times: Vec<u64> = world.calls().iter().map(|(at, _)| *at).collect();
    assert!(times.len() >= 4 && times.iter().all(|at| *at < 10), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn too_large_is_halved_in_order_and_a_single_one_is_left_to_the_queue() {
    let queue = standard(3600);
    send(&queue, 4);
    let world = World::run(queue, settings(), |batch| {
        let large = batch.len() > 1 || batch[0].body() == "002";
        (Duration::ZERO, if large { Outcome::TooLarge } else { done() })
    });
    world.seconds(5).await;
    let bodies: Vec<String> = world.calls().iter().map(|(_, bodies)| bodies.concat()).collect();
    assert_eq!(bodies, ["000001002003", "000001", "000", "001", "002003", "002", "003"]);
    assert_eq!(world.queue.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn stopping_finishes_what_is_in_flight_and_hands_the_rest_back() {
    let queue = standard(3600);
    send(&queue, 3);
    let settings = Settings { window: Duration::from_secs(5), batch_size: 2, ..settings() };
    let world = World::run(queue, settings, |_| (Duration::from_secs(4), done()));
    world.seconds(1).await;
    let queue = Arc::clone(&world.queue);
    assert_eq!(world.stop().await, Ending::Settled);
    assert_eq!(queue.len(), 1);
    let visible = queue.receive(10, Duration::from_secs(1), None).await.unwrap();
    assert_eq!(visible.len(), 1, "handed back");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_goes_elsewhere_stops_a_mapping_that_needs_it() {
    let queue = standard(30);
    send(&queue, 1);
    let settings = Settings { policy: Policy { report: true, ..Policy::default() }, ..settings() };
    let world = World::run(queue, settings, |_| (Duration::ZERO, Outcome::Elsewhere));
    assert!(matches!(world.running.await.unwrap(), Ending::Halted(_)));
    assert_eq!(world.queue.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn lanes_grow_with_a_fast_function_while_there_is_more_than_they_take() {
    let queue = Arc::new(standard(600));
    send(&queue, 20_000);
    let remote = Box::new(Remote(Arc::clone(&queue)));
    let world =
        World::over(remote, queue, settings(), Filters::default(), |_| (Duration::from_millis(1), done()));
    // Five lanes would take 5 × 10 every 41 ms: 6,100 in five seconds.
    world.seconds(5).await;
    let left = world.queue.len();
    assert!(left < 10_000, "{left}");
}

#[tokio::test(start_paused = true)]
async fn lanes_do_not_grow_where_a_few_have_time_to_wait() {
    let world = World::run(standard(600), settings(), |_| (Duration::from_millis(1), done()));
    for _ in 0..300 {
        send(&world.queue, 1);
        world.seconds(1).await;
    }
    assert!(world.calls().len() == 300);
    send(&world.queue, 1000);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let most = world.function.seen.lock().unwrap().most;
    assert!(most <= 5, "{most}");
}

/// Any mixture of answers, any group: order per group holds, nothing is lost.
#[tokio::test(start_paused = true)]
async fn fifo_order_holds_over_seeded_schedules() {
    for seed in 0..60u64 {
        // Long enough that no attempt outlasts it: then AWS too would hand the message out a second time.
        let queue = standard(120).fifo();
        let groups = 1 + seed % 5;
        for n in 0..60u64 {
            queue.send(format!("{}:{n:03}", n % groups), Some(&(n % groups).to_string()));
        }
        let dice = Mutex::new(seed + 1);
        let report = seed % 2 == 0;
        let settings = Settings { policy: Policy { report, ..Policy::default() }, ..settings() };
        let next: Arc<Mutex<BTreeMap<String, VecDeque<String>>>> = Arc::default();
        for n in 0..60u64 {
            next.lock()
                .unwrap()
                .entry((n % groups).to_string())
                .or_default()
                .push_back(format!("{}:{n:03}", n % groups));
        }
        let waiting = Arc::clone(&next);
        let world = World::run(queue, settings, move |batch| answer(batch, &dice, report, &waiting));
        world.seconds(4 * 3600).await;
        assert!(world.queue.is_empty(), "seed {seed}: {} left", world.queue.len());
        assert!(next.lock().unwrap().values().all(VecDeque::is_empty));
        world.stop().await;
    }
}

/// A function that keeps order itself, as AWS asks: it reports the first failure and everything after it in its group.
fn answer(
    batch: &[Record],
    dice: &Mutex<u64>,
    report: bool,
    waiting: &Mutex<BTreeMap<String, VecDeque<String>>>,
) -> (Duration, Outcome) {
    let mut dice = dice.lock().unwrap();
    let mut roll = |sides: u64| {
        *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*dice >> 33) % sides
    };
    let mut waiting = waiting.lock().unwrap();
    // Order: in each group the batch holds the next messages that have not succeeded, in their order.
    let mut heads: BTreeMap<String, usize> = BTreeMap::new();
    for record in batch {
        let body = record.body();
        let group = body.split_once(':').unwrap().0.to_owned();
        let head = heads.entry(group.clone()).or_default();
        assert_eq!(waiting[&group].get(*head), Some(&body), "out of order");
        *head += 1;
    }
    let takes = Duration::from_millis(roll(1500));
    let outcome = match roll(8) {
        0 => return (takes, Outcome::FunctionError),
        1 => return (takes, Outcome::Throttled { after: Some(Duration::from_secs(1)) }),
        2 => return (takes, Outcome::Unreachable("x".into())),
        3 if batch.len() > 1 => return (takes, Outcome::TooLarge),
        4 if report => {
            let bad = batch[roll(batch.len() as u64) as usize].body();
            let (group, _) = bad.split_once(':').unwrap();
            let fails =
                |record: &&Record| record.body().starts_with(&format!("{group}:")) && record.body() >= bad;
            let failed: Vec<String> = batch.iter().filter(fails).map(Named::id).collect();
            for record in batch.iter().filter(|record| !failed.contains(&record.id())) {
                let body = record.body();
                waiting.get_mut(body.split_once(':').unwrap().0).unwrap().pop_front();
            }
            let items: Vec<Value> =
                failed.iter().map(|id| serde_json::json!({ "itemIdentifier": id })).collect();
            return (
                takes,
                Outcome::Done(serde_json::json!({ "batchItemFailures": items }).to_string().into()),
            );
        }
        _ => done(),
    };
    for record in batch {
        let body = record.body();
        waiting.get_mut(body.split_once(':').unwrap().0).unwrap().pop_front();
    }
    (takes, outcome)
}
