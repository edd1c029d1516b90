#!/usr/bin/env bash
# Each target so many times under libFuzzer, from the stored corpus on; what it finds on the way is not kept.   usage: run.sh RUNS
# On stable: all that nightly's cargo-fuzz adds to this is the address sanitizer, and there is no unsafe code here.
set -euo pipefail
cd "$(dirname "$0")"
target=$(rustc -vV | sed -n 's/^host: //p')
flags="--cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 -Cpasses=sancov-module"
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    flags+=" -Cllvm-args=-sanitizer-coverage-$option"
done
RUSTFLAGS="$flags" cargo build -q --release --target "$target"
found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT
for name in pattern event; do
    mkdir "$found/$name"
    # A run that ends early says why, and prints the input that did it.
    if ! "${CARGO_TARGET_DIR:-target}/$target/release/$name" -runs="$1" -max_len=2048 -seed=1 -artifact_prefix="$found/" \
        "$found/$name" "corpus/$name" &>"$found/log"; then
        tail -n 40 "$found/log"
        exit 1
    fi
    echo "$name: $(grep ^Done "$found/log")"
done
