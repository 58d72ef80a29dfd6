#!/bin/sh
# Builds and starts the gateway: `make run`. Arguments are the gateway's flags.
#
# Claude Code: the `claude` of the PATH, else the pinned version, installed into .claude-code/ of the checkout. Without
# credentials for Claude it says so and adds --demo.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
version=${CLAUDE_VERSION:-2.1.332}

say() { echo "make run: $*" >&2; }

# The binary that the user has named, by flag or by environment.
named_claude() {
    named=${CLAUDE_WS_CLAUDE_BIN:-} before=
    for flag in "$@"; do
        [ "$before" != --claude-bin ] || named=$flag
        case $flag in --claude-bin=*) named=${flag#*=} ;; esac
        before=$flag
    done
    echo "$named"
}

asks_for_demo() {
    [ -n "${CLAUDE_WS_DEMO:-}${CLAUDE_WS_DEMO_SCRIPT:-}" ] && return 0
    for flag in "$@"; do
        case $flag in --demo | --demo-script | --demo-script=*) return 0 ;; esac
    done
    return 1
}

# Whether Claude Code ($1) can reach a model. `auth status` exits 0 if it is logged in, from whichever source; it is asked only
# where Claude Code was used before, since it would otherwise create its configuration.
has_credentials() {
    [ -n "${ANTHROPIC_API_KEY:-}${ANTHROPIC_AUTH_TOKEN:-}${CLAUDE_CODE_OAUTH_TOKEN:-}" ] && return 0
    [ -n "${CLAUDE_CODE_USE_BEDROCK:-}${CLAUDE_CODE_USE_VERTEX:-}${CLAUDE_CODE_USE_FOUNDRY:-}" ] && return 0
    if [ -n "${CLAUDE_CONFIG_DIR:-}" ]; then
        [ -d "$CLAUDE_CONFIG_DIR" ] || return 1
    else
        [ -d "${HOME:-/nonexistent}/.claude" ] || [ -f "${HOME:-/nonexistent}/.claude.json" ] || return 1
    fi
    timeout 30 "$1" auth status >/dev/null 2>&1 </dev/null
}

claude=$(named_claude "$@")
if [ -n "$claude" ]; then
    say "using $claude"
elif claude=$(command -v claude); then
    say "using $claude"
else
    say "claude is not in PATH; using version $version in .claude-code/"
    claude=$("$root/scripts/get-claude.sh" "$version" "$root/.claude-code/$version")
    CLAUDE_WS_CLAUDE_BIN=$claude
    export CLAUDE_WS_CLAUDE_BIN
fi

say "building (the first time takes some minutes) …"
cargo build --release --locked --manifest-path "$root/Cargo.toml" --bin claude-ws >&2

if ! asks_for_demo "$@" && ! has_credentials "$claude"; then
    say "no credentials for Claude found, so a script plays the model (--demo). For the real one set ANTHROPIC_API_KEY or"
    say "CLAUDE_CODE_OAUTH_TOKEN, or log in with: $claude auth login"
    set -- --demo "$@"
fi

exec "${CARGO_TARGET_DIR:-$root/target}/release/claude-ws" "$@"
