#!/usr/bin/env bash
# Apicurio Registry, in memory: Confluent's API under /apis/ccompat/v7.   usage: apicurio.sh WORKDIR PORT MANAGEMENT-PORT
# env: APICURIO_VERSION (3.0.9)
. "$(dirname "$0")/lib.sh"
W=$(mkdir -p "$1" && cd "$1" && pwd)
PORT=$2 MANAGEMENT=$3 V=${APICURIO_VERSION:-3.0.9}
LIB=$CACHE/jars/apicurio-$V
need java mvn curl
# The plugin's old `get`: newer ones insist on the parent's POM, which is not on Central.
fetch() {
  mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:2.8:get -Dtransitive=false \
    -Dartifact="io.apicurio:apicurio-registry-app:$V:tar.gz:all"
  tar xzf "${M2:-$HOME/.m2/repository}/io/apicurio/apicurio-registry-app/$V/apicurio-registry-app-$V-all.tar.gz" -C "$1"
}
once "$LIB" fetch

free "$PORT" "$MANAGEMENT"
serve "$W/apicurio.log" java -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dquarkus.http.host=127.0.0.1 \
  -Dquarkus.http.port="$PORT" -Dquarkus.management.host=127.0.0.1 -Dquarkus.management.port="$MANAGEMENT" \
  -jar "$LIB"/*-runner.jar
ready 120 "$W/apicurio.log" curl -fsS "http://127.0.0.1:$PORT/apis/ccompat/v7/subjects"
obey "$W"
