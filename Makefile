# One line a target; CI calls the same ones (.ci/run). Longer things are in scripts/.

.DEFAULT_GOAL := help
.PHONY: help run test test-rust test-client test-console fmt fmt-check lint doc bench bench-build instructions fuzz fuzz-check soak smoke ci \
	claude claude-mid claude-old clean \
	nginx-test try-clients lint-deploy drift binary python mcp-server
.NOTPARALLEL:

CLAUDE_VERSION     := 2.1.332
CLAUDE_MID_VERSION := 2.1.330
CLAUDE_OLD_VERSION := 2.1.197
CLAUDE             := .claude-code/$(CLAUDE_VERSION)/node_modules/.bin/claude
export CLAUDE_VERSION
BINARY             := $(or $(CARGO_TARGET_DIR),target)/debug/claude-ws
# Flags for the gateway: make run ARGS="--bind 127.0.0.1:4000 --model opus"
ARGS ?=

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 22

run: ## Build and serve on http://127.0.0.1:3000; flags in ARGS="…"
	@exec scripts/run.sh $(ARGS)

test: test-rust test-client ## All tests, those against the three real Claude Code versions included

test-rust: claude claude-mid claude-old mcp-server ## The gateway's tests
	@scripts/need.sh redis-server=redis-server openssl=openssl setpriv=util-linux
	RUST_TEST_THREADS=6 cargo test --no-fail-fast

test-client: claude ## The TypeScript client's tests, also against the gateway
	scripts/test-client.sh $(CLAUDE)

test-console: claude ## The web console's tests, in headless Chromium
	scripts/test-console.sh $(CLAUDE)

nginx-test: claude binary python ## Debian's nginx with deploy/nginx.conf in front of the gateway
	@scripts/need.sh nginx=nginx-light openssl=openssl
	.venv/bin/python tests/nginx/run.py $(BINARY) $(CLAUDE)

try-clients: claude binary python ## The example clients against the gateway
	scripts/try-clients.sh $(BINARY) $(CLAUDE) .venv/bin/python

lint-deploy: binary python ## Lint Dockerfile, compose file and systemd units
	scripts/lint-deploy.sh .venv $(BINARY)

drift: ## What Claude Code VERSION=… says otherwise than the recorded streams
	scripts/drift.sh $(VERSION)

binary:
	cargo build --bin claude-ws

python:
	@scripts/get-python.sh

mcp-server:
	@scripts/get-mcp-server.sh

fmt: ## Format the code
	cargo fmt --all

fmt-check: ## Fail if the code is not formatted
	cargo fmt --all -- --check

lint: ## Clippy, every warning an error
	cargo clippy --all-targets -- -D warnings

doc: ## The crate's documentation, every warning an error
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

bench: claude ## The tables of docs/performance.md, in about a quarter of an hour; on a machine that does nothing else
	cargo bench --bench convert
	scripts/instructions.py
	cargo build --release --bin claude-ws --example load
	timeout 1200 target/release/examples/load --claude $(CLAUDE)

instructions: ## Count the conversion's instructions by callgrind, and hold the ratios
	scripts/instructions.py

bench-build: ## Compile the benchmarks only
	cargo bench --bench '*' --no-run

fuzz-check: ## Check that the fuzz targets compile
	cargo check --locked --manifest-path fuzz/Cargo.toml --target-dir target/fuzz

fuzz: ## Each fuzz target for a minute, or FUZZ seconds (needs nightly and cargo-fuzz)
	@scripts/fuzz.sh

soak: ## Hundreds of sessions and every fault for ten minutes, or SOAK seconds
	cargo build --example fake_claude && cargo run --example soak

smoke: ## Start `make run` in demo mode, hold a conversation, stop it
	python3 scripts/smoke.py

ci: ## All that CI does
	.ci/run

claude: ## Install the pinned Claude Code into .claude-code/
	@scripts/get-claude.sh $(CLAUDE_VERSION) .claude-code/$(CLAUDE_VERSION)

claude-mid: ## Install the version between, which still differs in a field
	@scripts/get-claude.sh $(CLAUDE_MID_VERSION) .claude-code/$(CLAUDE_MID_VERSION)

claude-old: ## Install the oldest supported Claude Code there
	@scripts/get-claude.sh $(CLAUDE_OLD_VERSION) .claude-code/$(CLAUDE_OLD_VERSION)

clean: ## Remove what was built (not the installed Claude Code)
	cargo clean
