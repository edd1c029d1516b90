#!/usr/bin/env bash
# Installs what a bare Debian or Ubuntu machine lacks; on any other, says what is missing.   usage: tests/setup.sh build|test
set -euo pipefail
missing=()
have() { command -v "$1" >/dev/null 2>&1; }
want() { have "$1" || missing+=("$2"); }

want cc build-essential
want make make
want perl perl
want pkg-config pkg-config
have pkg-config && pkg-config --exists libssl || missing+=(libssl-dev)
have pkg-config && pkg-config --exists zlib || missing+=(zlib1g-dev)
want python3 python3
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
if [ "${1:-build}" = test ]; then
  want javac default-jdk-headless     # Kafka and ElasticMQ, and the function in Java
  want mvn maven                     # fetches them
  # What the runtime clients of the other languages are built with; Node's is C++.
  want node nodejs
  want npm npm
  want g++ g++
  want cmake cmake
  want autoreconf autoconf
  want automake automake
  want libtoolize libtool
  want curl curl
  want openssl openssl
  want flock util-linux
fi
if [ ${#missing[@]} -gt 0 ]; then
  have apt-get || { echo "missing: ${missing[*]} (install them and try again)" >&2; exit 3; }
  sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -q
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -q -y --no-install-recommends "${missing[@]}"
fi
if ! have cargo; then
  [ -x "$HOME/.cargo/bin/cargo" ] || { echo "missing: Rust. Install it from https://rustup.rs and try again" >&2; exit 3; }
  echo "cargo is in ~/.cargo/bin, which is not on PATH: add it and try again" >&2; exit 3
fi
# AWS's own runtime client for Python, in an environment of its own.
"$(dirname "$0")"/servers/venv.sh awslambdaric >/dev/null || echo "no awslambdaric: the demo brings its own bootstrap" >&2
