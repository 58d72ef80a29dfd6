# claude-ws with Claude Code. docs/deploy.md says how to build and run it, and what of it was not run.
#   docker build -t claude-ws .

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
# A C compiler for SQLite is in the image.
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY console console
COPY docs docs
COPY benches benches
COPY tests tests
COPY examples examples
COPY README.md .
RUN cargo build --release --locked --bin claude-ws && strip target/release/claude-ws

FROM node:22-bookworm-slim AS claude
ARG CLAUDE_VERSION=2.1.332
RUN npm install --prefix /claude --no-audit --no-fund "@anthropic-ai/claude-code@${CLAUDE_VERSION}"

FROM debian:bookworm-slim
# What Claude Code's tools expect to find. Add the tools that your projects need.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates git ripgrep \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 claude \
    && useradd --system --uid 10001 --gid 10001 --create-home --home-dir /home/claude claude \
    && install -d -o claude -g claude -m 0700 /data /workspace /run/claude-ws
COPY --from=claude /claude /opt/claude
COPY --from=build /src/target/release/claude-ws /usr/local/bin/claude-ws
# By number, so that Kubernetes can tell that it is not root.
USER 10001:10001
WORKDIR /workspace
# The path of a secret, not a secret. Inside a container only an address that is not loopback can be reached from outside, and that needs tokens: mount them there.
# hadolint ignore=DL3064
ENV CLAUDE_WS_CLAUDE_BIN=/opt/claude/node_modules/.bin/claude \
    CLAUDE_WS_BIND=0.0.0.0:3000 \
    CLAUDE_WS_AUTH_TOKEN_FILE=/run/secrets/claude-ws-tokens \
    CLAUDE_WS_DATA_DIR=/data/sessions \
    CLAUDE_WS_WORKSPACE_ROOT=/workspace \
    CLAUDE_CONFIG_DIR=/data/claude \
    DISABLE_AUTOUPDATER=1
VOLUME ["/data", "/workspace"]
EXPOSE 3000
# The gateway reaps and sweeps its own agents; Docker's --init is not needed.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/3000 && printf 'GET /readyz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && grep -q '^HTTP/1.[01] 200' <&3"]
ENTRYPOINT ["/usr/local/bin/claude-ws"]
