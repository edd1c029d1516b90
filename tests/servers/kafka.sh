#!/usr/bin/env bash
# Apache Kafka, one KRaft node.   usage: kafka.sh WORKDIR PLAINTEXT-PORT CONTROLLER-PORT SASL-PORT TLS-PORT
# The SASL port is SASL_SSL with SCRAM-SHA-256/512, PLAIN and OAUTHBEARER (any unsecured JWT that has not expired); on the TLS port a client certificate is optional.
# env: KAFKA_VERSION (4.3.0; 3.9.2 works too), KAFKA_HEAP (256m), KAFKA_USER, KAFKA_PASSWORD (app, app-secret),
#      KAFKA_EXTRA (more server.properties lines; a later line wins)
. "$(dirname "$0")/lib.sh"
W=$(mkdir -p "$1" && cd "$1" && pwd)
PLAIN=$2 CONTROLLER=$3 SASL=$4 TLS=$5
V=${KAFKA_VERSION:-4.3.0} USER=${KAFKA_USER:-app} PASSWORD=${KAFKA_PASSWORD:-app-secret}
LIB=$CACHE/jars/kafka-$V
fetch() { maven "$1" "org.apache.kafka:kafka_2.13:$V" org.slf4j:slf4j-simple:1.7.36; }
need java openssl
once "$LIB" fetch

# A CA, a server certificate and a client's. `req` writes PKCS#8 keys, which both Kafka and librdkafka read.
certificates() {
  mkdir -p "$W/tls" && cd "$W/tls"
  local curve=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes) name
  openssl req -x509 "${curve[@]}" -keyout ca.key -out ca.pem -days 3650 -subj /CN=test-ca \
    -addext basicConstraints=critical,CA:TRUE
  for name in server client; do
    openssl req "${curve[@]}" -keyout $name.key -out $name.csr -subj /CN=$name
    openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -out $name.pem \
      -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1")
    cat $name.key $name.pem >$name-keystore.pem
  done
}
[ -f "$W/tls/client-keystore.pem" ] || (certificates) >"$W/tls.log" 2>&1 || { cat "$W/tls.log" >&2; exit 1; }

JAAS=org.apache.kafka.common.security
cat >"$W/server.properties" <<P
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$CONTROLLER
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$PLAIN,CONTROLLER://127.0.0.1:$CONTROLLER,SASL_SSL://127.0.0.1:$SASL,SSL://127.0.0.1:$TLS
advertised.listeners=PLAINTEXT://127.0.0.1:$PLAIN,SASL_SSL://localhost:$SASL,SSL://localhost:$TLS
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
inter.broker.listener.name=PLAINTEXT
log.dirs=$W/data
num.partitions=3
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
ssl.keystore.type=PEM
ssl.keystore.location=$W/tls/server-keystore.pem
ssl.truststore.type=PEM
ssl.truststore.location=$W/tls/ca.pem
ssl.client.auth=requested
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN,OAUTHBEARER
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=$JAAS.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=$JAAS.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=$JAAS.plain.PlainLoginModule required user_$USER="$PASSWORD";
listener.name.sasl_ssl.oauthbearer.sasl.jaas.config=$JAAS.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
${KAFKA_EXTRA:-}
P
JAVA=(java "-Xmx${KAFKA_HEAP:-256m}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$LIB/*")
if [ ! -f "$W/data/meta.properties" ]; then
  "${JAVA[@]}" kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qk -c "$W/server.properties" \
    --add-scram "SCRAM-SHA-256=[name=$USER,password=$PASSWORD]" \
    --add-scram "SCRAM-SHA-512=[name=$USER,password=$PASSWORD]" >"$W/format.log" 2>&1 || { cat "$W/format.log" >&2; exit 1; }
fi
free "$PLAIN" "$CONTROLLER" "$SASL" "$TLS"
serve "$W/kafka.log" "${JAVA[@]}" kafka.Kafka "$W/server.properties"
ready 120 "$W/kafka.log" grep -q 'Kafka Server started' "$W/kafka.log"
obey "$W"
