# Shared by the start scripts beside it; sourced, never run.
#
# A start script is `NAME.sh WORKDIR PORT…`. It fetches what it needs into the cache, starts the server, prints
# `NAME=VALUE` lines and then `READY`, and obeys its stdin:
#   stop   ask the server to end, wait for it
#   kill   end it at once, as a crash would
#   EOF    whoever started us is gone: end it at once and remove WORKDIR
# Exit code 3: a tool or a download is missing here; anything else is a failure.
set -euo pipefail

CACHE=${KLR_CACHE:-$HOME/.cache/klr-bridge}
SERVER=

unavailable() { echo "$1" >&2; exit 3; }

need() { for tool in "$@"; do command -v "$tool" >/dev/null || unavailable "$tool is not installed"; done; }

# once DIR FUNCTION: FUNCTION fills DIR, for one process at a time and only if no one has before.
once() {
  local dir=$1 fill=$2
  [ -f "$dir/.ok" ] && return
  need flock
  mkdir -p "$dir"
  exec 9>"$dir.lock"
  flock 9
  if [ ! -f "$dir/.ok" ]; then
    echo "fetching $(basename "$dir") into $dir" >&2
    "$fill" "$dir" >&2 || unavailable "could not fetch $(basename "$dir")"
    touch "$dir/.ok"
  fi
  exec 9>&-
}

# maven DIR GROUP:ARTIFACT:VERSION…: the artifacts and all they need, as jars in DIR.
maven() {
  local dir=$1 list= coordinates group artifact version
  shift
  need java mvn
  for coordinates in "$@"; do
    IFS=: read -r group artifact version <<<"$coordinates"
    list+="<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency>"
  done
  cat >"$dir/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>klr</groupId><artifactId>servers</artifactId><version>1</version><dependencies>$list</dependencies></project>
POM
  (cd "$dir" && mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$dir")
}

# node_modules DIR PACKAGE…: the packages, in DIR/node_modules.
node_modules() {
  local dir=$1
  shift
  need npm
  (cd "$dir" && echo '{}' >package.json && npm install --silent --no-audit --no-fund "$@")
}

# Readiness by port alone would talk to whoever holds it already.
free() {
  local port
  for port in "$@"; do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && { echo "port $port is taken" >&2; exit 1; }
  done
  return 0
}

# serve LOG COMMAND…: in the background, in a process group of its own.
serve() {
  local log=$1
  shift
  : >"$log"
  setsid "$@" >"$log" 2>&1 </dev/null &
  SERVER=$!
  disown # or bash reports its end on stderr
}

# ready SECONDS LOG TEST…: until TEST succeeds; fails early when the server ends.
ready() {
  local tries=$(($1 * 10)) log=$2
  shift 2
  while ! "$@" >/dev/null 2>&1; do
    kill -0 "$SERVER" 2>/dev/null || { tail -20 "$log" >&2; exit 1; }
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || { echo "not ready in time; its log ends with" >&2; tail -20 "$log" >&2; end KILL; exit 1; }
    sleep 0.1
  done
}

end() {
  kill "-$1" -- "-$SERVER" 2>/dev/null || true
  local tries=200
  while kill -0 "$SERVER" 2>/dev/null; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || kill -KILL -- "-$SERVER" 2>/dev/null || true
    sleep 0.1
  done
}

# obey WORKDIR: the rest of the script's life.
obey() {
  trap '' HUP INT TERM PIPE
  echo READY
  local word=
  read -r word || true
  case $word in
    stop) end TERM ;;
    kill) end KILL ;;
    *) end KILL; rm -rf "$1" ;;
  esac
}
