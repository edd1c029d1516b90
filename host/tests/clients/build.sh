#!/usr/bin/env bash
# Builds the test function of a client into the cache, once for each version of its source; prints where the code is.
# Exit code 3: a tool or a download is missing here.      usage: build.sh python|node|go|rust|java|shell [SOURCE]
. "$(dirname "$0")/../../../tests/servers/lib.sh"
NAME=$1
SOURCE=$(cd "${2:-$(dirname "$0")/$NAME}" && pwd)

copy() { cp -R "$SOURCE/." "$1"; }

# Joined by `&&`: `once` calls them where errors do not end the script.
build_python() {
  # Debian's python3 has no pip of its own; an environment's has.
  copy "$1" &&
    python3 -m venv "$1/.venv" &&
    "$1/.venv/bin/pip" install -q --disable-pip-version-check --target "$1" -r "$1/requirements.txt" &&
    rm -rf "$1/.venv"
}

# Its client takes minutes to compile, so that is kept apart from the function's own code.
build_modules() { cp "$SOURCE"/package*.json "$1" && (cd "$1" && npm ci --silent --no-audit --no-fund); }
build_node() { copy "$1" && ln -s "$MODULES/node_modules" "$1/node_modules"; }

# Debian's Go is older than the client asks for, and before 1.21 cannot fetch a newer one itself. The module proxy has it.
GO=1.26.0
build_toolchain() {
  local arch=amd64; [ "$(uname -m)" = aarch64 ] && arch=arm64
  local name=toolchain@v0.0.1-go$GO.linux-$arch
  curl -fsSL -o "$1/go.zip" "https://proxy.golang.org/golang.org/toolchain/@v/${name#*@}.zip" &&
    python3 -m zipfile -e "$1/go.zip" "$1" && rm "$1/go.zip" &&
    mv "$1/golang.org/$name"/* "$1" && chmod -R +x "$1/bin" "$1/pkg/tool"
}
build_go() { copy "$1" && (cd "$1" && CGO_ENABLED=0 go build -tags lambda.norpc -o bootstrap .); }

build_rust() {
  copy "$1" &&
    CARGO_TARGET_DIR=$1/target cargo build --quiet --release --locked --manifest-path "$1/Cargo.toml" &&
    mv "$1/target/release/bootstrap" "$1/bootstrap" &&
    rm -rf "$1/target"
}

build_java() {
  mkdir -p "$1/lib" &&
    maven "$1/lib" com.amazonaws:aws-lambda-java-runtime-interface-client:2.9.0 com.amazonaws:aws-lambda-java-core:1.4.0 &&
    javac -cp "$1/lib/*" -d "$1" "$SOURCE"/example/*.java
}

build_shell() { copy "$1"; }

# What it is built of is in its name, so that a changed source is built anew.
named() { { echo "$TOOLS"; cat; } | sha256sum | cut -c1-12; }

case $NAME in
  python) need python3; TOOLS=$(python3 --version) ;;
  node)
    need node npm g++ make cmake autoreconf automake libtoolize
    TOOLS=$(node --version)
    MODULES=$CACHE/clients/node-modules-$(named <"$SOURCE/package-lock.json")
    once "$MODULES" build_modules ;;
  go)
    if ! go version 2>/dev/null | grep -qE 'go1\.(2[1-9]|[3-9])'; then
      need curl python3
      once "$CACHE/go-$GO" build_toolchain
      PATH=$CACHE/go-$GO/bin:$PATH
    fi
    TOOLS= ;;
  rust) need cargo; TOOLS= ;;
  java) need javac mvn; TOOLS= ;;
  shell) need curl; TOOLS= ;;
  *) echo "expected python, node, go, rust, java or shell, got $NAME" >&2; exit 2 ;;
esac
DIR=$CACHE/clients/$NAME-$(cd "$SOURCE" && find . -type f -not -path './target/*' | sort | xargs sha256sum | named)
once "$DIR" "build_$NAME"
echo "$DIR"
