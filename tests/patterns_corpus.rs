//! Promise: no pattern and no event, whatever its bytes, makes klr panic or contradict itself.
//!
//! The fuzz targets' own functions (`fuzz/targets.rs`), on stable: over the stored corpus, and over a fixed number of seeded
//! mutations of it. `KLR_FUZZ` is how many; the seed is printed where something is found.

#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

#[path = "../fuzz/targets.rs"]
mod targets;

use std::{fs, path::Path};

const MUTATIONS: u64 = 20_000;

/// Bytes that mean something.
const TOKENS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\"",
    b"\\",
    b"\\u",
    b"\\ud83d",
    b"$or",
    b"null",
    b"1e9",
    b"-",
    b"*",
    b"\"a\":",
    b"\xc3",
    b"{\"exists\":false}",
    b"{\"numeric\":[\"<\",",
    b"anything-but",
    b".",
    b"0",
];

fn run(target: &str, function: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut corpus: Vec<Vec<u8>> =
        fs::read_dir(&folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    corpus.sort();
    assert!(corpus.len() >= 10, "{} has too little in it", folder.display());
    corpus.iter().for_each(|input| function(input));
    let count = std::env::var("KLR_FUZZ").ok().and_then(|count| count.parse().ok()).unwrap_or(MUTATIONS);
    for seed in 0..count {
        let input = mutated(&corpus, seed);
        if std::panic::catch_unwind(|| function(&input)).is_err() {
            panic!("{target}, seed {seed}: {:?}", String::from_utf8_lossy(&input));
        }
    }
}

fn mutated(corpus: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut roll = |sides: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % sides.max(1) as u64) as usize
    };
    let mut input = corpus[roll(corpus.len())].clone();
    for _ in 0..=roll(4) {
        let at = roll(input.len() + 1);
        let to = (at + roll(8)).min(input.len());
        match roll(5) {
            0 => drop(input.drain(at..to)),
            1 => drop(input.splice(at..at, TOKENS[roll(TOKENS.len())].iter().copied())),
            2 => drop(input.splice(at..to, TOKENS[roll(TOKENS.len())].iter().copied())),
            3 => {
                let other = &corpus[roll(corpus.len())];
                let from = roll(other.len() + 1);
                let part = other[from..(from + roll(40)).min(other.len())].to_vec();
                input.splice(at..at, part);
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << roll(8);
                }
            }
        }
    }
    input
}

#[test]
fn patterns() {
    run("pattern", targets::pattern);
}

#[test]
fn events() {
    run("event", targets::event);
}
