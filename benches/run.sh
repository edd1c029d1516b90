#!/usr/bin/env bash
# The bridge beside the shortest honest loop with the same crates.   usage: run.sh [engine] [kafka] [sqs] [kinesis] [--tenth]
# --tenth: a tenth of the records; fails when the bridge needs more than 1.5 of the floor's CPU per record (Kafka),
# (with some slack), or the engine alone more than a microsecond a record. Without Kinesis, unless that is named.
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo bench -q -p klr-bridge --bench throughput -- run "$@"
