# Two commands do everything: `make demo` runs the main job on embedded parts, `make test` passes the tests.
# Both install what they need on a bare machine; downloads go to $(KLR_CACHE), not into the checkout.
export KLR_CACHE ?= $(HOME)/.cache/klr-bridge
VENV := $(KLR_CACHE)/venvs/awslambdaric

.PHONY: demo test bench bench-host bench-pattern bench-queue build host-static setup setup-test

# Of the sources only those that are shown: AWS's SDKs are most of a first build.
demo: setup
	KLR_PYTHON=$(VENV)/bin/python cargo run --bin klr --no-default-features --features kafka,s3 -- demo

test: setup-test
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cargo clippy --package klr-bridge --no-default-features --lib --quiet -- -D warnings
	for source in sqs kafka kinesis dynamodb s3 queue eventbridge lambda-api; do cargo check --quiet --no-default-features --features $$source || exit 1; done
	tests/run.sh

# Bridge and floor side by side; five minutes, after the release build. `benches/run.sh --tenth` is what CI runs.
bench: setup-test
	benches/run.sh

# The function host and the shortest server of its API side by side; two minutes, after their build.
bench-host: setup-test
	benches/host.sh

# Event patterns beside a parse of the same bodies and beside quamina; half a minute, after the release build.
bench-pattern:
	cargo run -q --release -p klr-bench-pattern

# The asynchronous queue beside one event and one fsync; a minute, after the release build.
bench-queue:
	cargo run -q --release -p klr-bench-queue

build: setup
	cargo build --release --bin klr
	cargo build --profile host -p klr-host

# klr-host for any Linux image, Alpine's or an empty one: no libc, no loader. (With a target, or macros would be built so, too.)
TARGET := $(shell uname -m)-unknown-linux-gnu
host-static:
	RUSTFLAGS="-C target-feature=+crt-static" cargo build --profile host -p klr-host --target $(TARGET)
	@echo target/$(TARGET)/host/klr-host

setup:
	tests/setup.sh build

setup-test:
	tests/setup.sh test
