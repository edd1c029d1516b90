#!/usr/bin/env bash
# A Python environment with these packages, made once; prints its path.   usage: venv.sh PACKAGE…
. "$(dirname "$0")/lib.sh"
PACKAGES=("$@")
need python3
DIR=$CACHE/venvs/$(printf '%s\n' "$@" | tr -c 'A-Za-z0-9.\n' '-' | paste -sd+)
fetch() { python3 -m venv "$1" && "$1/bin/pip" install -q --disable-pip-version-check "${PACKAGES[@]}"; }
once "$DIR" fetch
echo "$DIR"
