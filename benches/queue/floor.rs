//! One event, one fsync.

use std::{fs::File, os::unix::fs::FileExt, path::Path, time::Instant};

/// Events a second.
pub fn measure(directory: &Path, events: u32) -> f64 {
    let file = File::create(directory.join("floor")).expect("a file can be made");
    let event = [b'x'; 1024];
    let start = Instant::now();
    for n in 0..events {
        file.write_all_at(&event, u64::from(n) * 1024).expect("the disk has room");
        file.sync_data().expect("the disk works");
    }
    f64::from(events) / start.elapsed().as_secs_f64()
}
