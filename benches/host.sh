#!/usr/bin/env bash
# The function host beside the shortest server of the Runtime API there could be.   usage: host.sh [--tenth]
# --tenth: a tenth of the requests; fails when the host needs too much of the floor's CPU a request.
set -euo pipefail
cd "$(dirname "$0")/.."
CODE=$(host/tests/clients/build.sh rust)
# Together, so that what they share is compiled once, and nothing else's features are in it.
cargo build -q --profile host -p klr-host -p klr-bench-host
exec "${CARGO_TARGET_DIR:-target}/host/klr-bench-host" run "$CODE/bootstrap" "$@"
