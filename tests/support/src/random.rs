//! Chance for scripts, repeatable.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// A sequence of numbers that looks random (SplitMix64). Its seed is printed, and taken from `KLR_SEED` if that is set.
#[derive(Debug)]
pub struct Random(AtomicU64);

impl Random {
    /// A new sequence, another one each run.
    pub fn new() -> Self {
        let set = std::env::var("KLR_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = || SystemTime::UNIX_EPOCH.elapsed().map_or(0, |now| u64::from(now.subsec_nanos()));
        let seed = set.unwrap_or_else(now);
        println!("KLR_SEED={seed}");
        Self(AtomicU64::new(seed))
    }

    /// The next number below `end`.
    pub fn below(&self, end: u64) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut x = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % end
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}
