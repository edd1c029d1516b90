#!/usr/bin/env bash
# Every test of the workspace, two programs at a time, as `cargo test --workspace --no-fail-fast` runs them one after the other:
# most of them wait most of the time, for a server or for a clock. What a program says is printed when it has ended.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cargo test --workspace --no-run --message-format=json-render-diagnostics >"$work/built"
# Its folder, which cargo runs it in, and the program.
python3 - "$work/built" >"$work/programs" <<'PY'
import json, os, sys
for line in open(sys.argv[1]):
    built = json.loads(line)
    if built["reason"] == "compiler-artifact" and built["profile"]["test"] and built["executable"]:
        print(os.path.dirname(built["manifest_path"]), built["executable"], sep="\t")
PY

one() {
  local folder=${1%%$'\t'*} program=${1#*$'\t'} said status=0
  said=$(mktemp "$work/said.XXXXXX")
  (cd "$folder" && exec "$program") >"$said" 2>&1 </dev/null || status=$?
  [ $status = 0 ] || echo "$program: exit status $status" >>"$work/failed"
  { flock 9; echo "     Running $program"; cat "$said"; } 9>>"$work/lock"
  rm "$said"
}
export -f one
export work
xargs -d '\n' -P 2 -I{} bash -c 'one "$1"' - {} <"$work/programs"
cargo test --workspace --doc || echo "doc tests failed" >>"$work/failed"

if [ -s "$work/failed" ]; then
  cat "$work/failed" >&2
  exit 1
fi
