#!/usr/bin/env bash
# LocalStack in host mode.   usage: localstack.sh WORKDIR PORT      account 000000000000; any keys
# Here for Kinesis' SubscribeToShard, which nothing else serves. Its Kinesis is an npm package it fetches on first use.
# env: LOCALSTACK_VERSION (4.7.0; 4.14 needs a newer Python than 3.11)
. "$(dirname "$0")/lib.sh"
W=$(mkdir -p "$1" && cd "$1" && pwd)
PORT=$2 V=${LOCALSTACK_VERSION:-4.7.0}
need curl node npm
# The pins: newer ones break this release, and service_identity is missing from its own list.
VENV=$("$(dirname "$0")/venv.sh" "localstack-core[runtime]==$V" service_identity 'cryptography<46' 'pyopenssl<25.2' \
  'cbor2<5.9') || exit $?

# What it installs by itself is kept for the next run: its own default is /var/lib/localstack.
mkdir -p "$W/fs" "$CACHE/localstack-$V"
ln -sfn "$CACHE/localstack-$V" "$W/fs/lib"
export HOME=$W DISABLE_EVENTS=1 SKIP_SSL_CERT_DOWNLOAD=1 DNS_ADDRESS=0 EAGER_SERVICE_LOADING=0
export GATEWAY_LISTEN=127.0.0.1:$PORT FILESYSTEM_ROOT=$W/fs SKIP_INFRA_DOWNLOADS='' KINESIS_LATENCY=0
free "$PORT"
serve "$W/localstack.log" "$VENV/bin/python" -m localstack.runtime.main
ready 120 "$W/localstack.log" grep -q '^Ready\.' "$W/localstack.log"
obey "$W"
