#!/usr/bin/env bash
# ElasticMQ (SQS), empty.   usage: elasticmq.sh WORKDIR PORT      account 000000000000; any keys, any region
# env: EMQ_VERSION (1.7.1), EMQ_HEAP (128m)
. "$(dirname "$0")/lib.sh"
W=$(mkdir -p "$1" && cd "$1" && pwd)
PORT=$2 V=${EMQ_VERSION:-1.7.1}
LIB=$CACHE/jars/elasticmq-$V
fetch() { maven "$1" "org.elasticmq:elasticmq-server_2.13:$V"; }
need java curl
once "$LIB" fetch

cat >"$W/elasticmq.conf" <<C
node-address { protocol = http, host = "127.0.0.1", port = $PORT, context-path = "" }
rest-sqs { enabled = true, bind-port = $PORT, bind-hostname = "127.0.0.1", sqs-limits = strict }
rest-stats { enabled = false }
aws { region = us-east-1, accountId = 000000000000 }
queues { }
C
answers() {
  curl -fsS -H 'X-Amz-Target: AmazonSQS.ListQueues' -H 'Content-Type: application/x-amz-json-1.0' -d '{}' \
    "http://127.0.0.1:$PORT/"
}
free "$PORT"
serve "$W/elasticmq.log" java "-Xmx${EMQ_HEAP:-128m}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
  -Dconfig.file="$W/elasticmq.conf" -cp "$LIB/*" org.elasticmq.server.Main
ready 60 "$W/elasticmq.log" answers
obey "$W"
