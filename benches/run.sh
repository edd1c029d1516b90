#!/usr/bin/env bash
# The bridge beside the shortest honest loop with the same crates.   usage: run.sh [kafka] [sqs] [--tenth]
# --tenth: a tenth of the records; fails when the bridge needs more than 1.5 of the floor's CPU per record (Kafka).
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo bench -q -p klr-bridge --bench throughput -- run "$@"
