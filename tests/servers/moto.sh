#!/usr/bin/env bash
# moto (SQS and Secrets Manager among others).   usage: moto.sh WORKDIR PORT
# account 123456789012; any keys; POST /moto-api/reset empties it
# env: MOTO_VERSION (5.2.5)
. "$(dirname "$0")/lib.sh"
W=$(mkdir -p "$1" && cd "$1" && pwd)
PORT=$2
need curl
VENV=$("$(dirname "$0")/venv.sh" "moto[server]==${MOTO_VERSION:-5.2.5}") || exit $?

free "$PORT"
serve "$W/moto.log" "$VENV/bin/moto_server" -H 127.0.0.1 -p "$PORT"
ready 60 "$W/moto.log" curl -fsS "http://127.0.0.1:$PORT/moto-api/data.json"
obey "$W"
