#!/usr/bin/env bash
# DynamoDB Local with Streams, empty.   usage: dynamodb-local.sh WORKDIR PORT
# Tables and streams on one port; account 000000000000, key ids of letters and digits, any region. It never splits a shard.
# env: DYNAMODB_LOCAL_VERSION (2.6.1), DYNAMODB_LOCAL_HEAP (192m)
. "$(dirname "$0")/lib.sh"
W=$(mkdir -p "$1" && cd "$1" && pwd)
PORT=$2 V=${DYNAMODB_LOCAL_VERSION:-2.6.1}
LIB=$CACHE/jars/dynamodb-local-$V
fetch() { maven "$1" "com.amazonaws:DynamoDBLocal:$V"; }
need java curl
once "$LIB" fetch

# A request without a target is refused: then it is up.
answers() { [ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$PORT/")" = 400 ]; }
free "$PORT"
cd "$W"
serve "$W/dynamodb-local.log" java "-Xmx${DYNAMODB_LOCAL_HEAP:-192m}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
  -Djava.library.path="$LIB" -DDDBLOCAL_TELEMETRY=0 -cp "$LIB/*" \
  com.amazonaws.services.dynamodbv2.local.main.ServerRunner -port "$PORT" -disableTelemetry -inMemory -sharedDb
ready 60 "$W/dynamodb-local.log" answers
obey "$W"
