//! Two ways to the same end, timed in turns.

use std::{hint::black_box, time::Instant};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region};

/// Many and short: some fall where nobody else has the core.
const ROUNDS: usize = 60;

/// Nanoseconds a call, in the fastest round, and our allocations in all of them.
pub struct Pair {
    pub ours: f64,
    pub theirs: f64,
    pub allocations: usize,
}

pub fn compare(
    calls: usize,
    inputs: &[Vec<u8>],
    mut ours: impl FnMut(&[u8]) -> bool,
    mut theirs: impl FnMut(&[u8]) -> bool,
) -> Pair {
    let mut pair = Pair { ours: f64::MAX, theirs: f64::MAX, allocations: 0 };
    for input in inputs {
        black_box(ours(input));
    }
    let mut allocations = 0;
    for _ in 0..ROUNDS {
        let region = Region::new(&INSTRUMENTED_SYSTEM);
        pair.ours = pair.ours.min(round(calls / ROUNDS, inputs, &mut ours));
        allocations += region.change().allocations + region.change().reallocations;
        pair.theirs = pair.theirs.min(round(calls / ROUNDS, inputs, &mut theirs));
    }
    pair.allocations = allocations;
    pair
}

fn round(calls: usize, inputs: &[Vec<u8>], call: &mut impl FnMut(&[u8]) -> bool) -> f64 {
    let begun = Instant::now();
    for input in inputs.iter().cycle().take(calls) {
        black_box(call(black_box(input)));
    }
    begun.elapsed().as_nanos() as f64 / calls as f64
}
