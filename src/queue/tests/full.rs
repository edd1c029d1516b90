//! A disk that is full: a real one, of a few megabytes, mounted for one process.

use std::{collections::BTreeSet, fs, path::Path, process::Command, sync::Arc};

use klr_test_support::servers::unavailable;
use tempfile::TempDir;

use super::{
    again::{again, told},
    world::{World, event, eventually, open},
};
use crate::queue::{Queue, Which};

#[test]
fn a_full_disk_is_an_error_and_no_more() {
    let directory = TempDir::new().unwrap();
    let inner = again("full::on_a_small_disk", directory.path(), 0);
    let mut outer = Command::new("unshare");
    let mount = "mount -t tmpfs -o size=2m tmpfs \"$0\" || exit 77; exec \"$@\"";
    outer.args(["--map-root-user", "--mount", "sh", "-c", mount]).arg(directory.path());
    outer.arg(inner.get_program()).args(inner.get_args());
    outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = outer.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || said.contains("unshare failed") {
        return unavailable("a small disk", &said);
    }
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stdout));
}

/// Where everything is as usual, but the disk.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_small_disk() {
    let Some((directory, _)) = told() else { return };
    let (queue, world) = (open(&directory).await, Arc::new(World::default()));
    let (filler, mut accepted, mut next) = (directory.join("filler"), BTreeSet::new(), 0);
    for round in 0..5 {
        fill(&filler);
        until_full(&queue, &mut accepted, &mut next).await;
        assert_eq!(there(&queue).await, accepted, "round {round}: nothing is half-written");
        fs::remove_file(&filler).unwrap();
        queue.accept(event("f", next)).await.unwrap();
        accepted.insert(next);
        next += 1;
    }
    // Full again, and by itself: what is settled makes room, although word of it has to be written, too.
    fill(&filler);
    until_full(&queue, &mut accepted, &mut next).await;
    queue.close().await;
    let queue = open(&directory).await;
    assert_eq!(there(&queue).await, accepted, "a full disk can be opened");
    let running = world.run(&queue);
    eventually("all are settled", || queue.size().events == 0).await;
    running.stop().await;
    assert_eq!(world.attempts().len(), accepted.len());
    queue.accept(event("f", next)).await.unwrap();
    queue.close().await;
    assert_eq!(there(&*open(&directory).await).await, BTreeSet::from([next]));
}

async fn until_full(queue: &Queue, accepted: &mut BTreeSet<u64>, next: &mut u64) {
    for _ in 0..2000 {
        let mut large = event("f", *next);
        large.payload = format!("\"{}\"", "x".repeat(2000)).into();
        if let Err(error) = queue.accept(large).await {
            assert_eq!(error.code(), "queue-disk", "{error}");
            assert!(error.to_string().contains("No space left"), "{error}");
            return;
        }
        accepted.insert(*next);
        *next += 1;
    }
    panic!("the disk never was full");
}

async fn there(queue: &Queue) -> BTreeSet<u64> {
    // A hundred are shown; all those that are asked for.
    let ids = (0..2000).map(|n| event("f", n).id).collect();
    let shown = queue.show(&Which { ids, ..Which::default() }).await.unwrap();
    shown.iter().map(|stored| u64::try_from(stored.event.id.as_u128()).unwrap()).collect()
}

/// All that fits is written before the system says that no more does.
fn fill(path: &Path) {
    fs::write(path, vec![0; 4 << 20]).unwrap_err();
}
