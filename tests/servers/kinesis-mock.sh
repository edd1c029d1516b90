#!/usr/bin/env bash
# kinesis-mock (Kinesis Data Streams), empty.   usage: kinesis-mock.sh WORKDIR PORT TLS-PORT
# account 000000000000; any keys, any region. SubscribeToShard is not to be trusted here: localstack.sh.
# env: KINESIS_MOCK_VERSION (0.6.2), KINESIS_MOCK_DELAY (0ms: a stream changes its state at once)
. "$(dirname "$0")/lib.sh"
W=$(mkdir -p "$1" && cd "$1" && pwd)
PORT=$2 TLS=$3 V=${KINESIS_MOCK_VERSION:-0.6.2}
LIB=$CACHE/npm/kinesis-local-$V
fetch() { node_modules "$1" "kinesis-local@$V"; }
need node curl
once "$LIB" fetch

export KINESIS_MOCK_PLAIN_PORT=$PORT KINESIS_MOCK_TLS_PORT=$TLS AWS_ACCOUNT_ID=000000000000 AWS_REGION=us-east-1
export LOG_LEVEL=${LOG_LEVEL:-WARN}
for what in CREATE_STREAM DELETE_STREAM REGISTER_STREAM_CONSUMER DEREGISTER_STREAM_CONSUMER SPLIT_SHARD \
  MERGE_SHARDS UPDATE_SHARD_COUNT START_STREAM_ENCRYPTION STOP_STREAM_ENCRYPTION UPDATE_STREAM_MODE; do
  export "${what}_DURATION=${KINESIS_MOCK_DELAY:-0ms}"
done
free "$PORT" "$TLS"
cd "$LIB/node_modules/kinesis-local" # its certificate is read from the current directory
serve "$W/kinesis-mock.log" node main.js
ready 60 "$W/kinesis-mock.log" curl -fsS "http://127.0.0.1:$PORT/healthcheck"
obey "$W"
