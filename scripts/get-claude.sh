#!/bin/sh
# Installs one version of Claude Code into a directory, unless it is there already, and prints the path of its binary.
#
#   scripts/get-claude.sh VERSION DIR
#
# Only the path goes to stdout, so `CLAUDE=$(scripts/get-claude.sh 2.1.330 .claude-code)` works. Two runs at once are
# safe: each installs into a folder of its own, and the first to finish renames it into place.
set -eu

say() { echo "get-claude: $*" >&2; }
fail() {
    say "$*"
    exit 1
}

[ $# -eq 2 ] || fail "usage: scripts/get-claude.sh VERSION DIR"
version=$1
mkdir -p "$2" || fail "cannot create $2"
dir=$(cd "$2" && pwd)
claude="$dir/node_modules/.bin/claude"
package="@anthropic-ai/claude-code"

# Whether the binary $1 runs and is of the wanted version.
is_wanted() {
    [ -x "$1" ] && [ "$(DISABLE_AUTOUPDATER=1 "$1" --version 2>/dev/null </dev/null | cut -d' ' -f1)" = "$version" ]
}

if is_wanted "$claude"; then
    echo "$claude"
    exit 0
fi

for tool in node npm; do
    command -v "$tool" >/dev/null 2>&1 ||
        fail "$tool is not installed; it is needed to fetch Claude Code (https://nodejs.org), or put claude on the PATH"
done

# What a killed run has left behind.
for left in "$dir"/.staging-*; do
    if [ -d "$left" ] && ! kill -0 "${left##*-}" 2>/dev/null; then rm -rf "$left"; fi
done

staging="$dir/.staging-$$"
trap 'rm -rf "$staging"; rmdir "$dir" 2>/dev/null || :' EXIT
trap 'exit 130' INT TERM HUP
mkdir -p "$staging"
# A manifest of its own, or npm would take that of a parent folder.
echo '{"private":true}' >"$staging/package.json"

say "installing $package@$version into $dir (about 250–400 MB) …"
# --ignore-scripts: newer npm versions refuse install scripts or ask about them; the one that matters is run below.
npm install --prefix "$staging" --ignore-scripts --include=optional --no-audit --no-fund --no-package-lock \
    --loglevel=error "$package@$version" >&2 ||
    fail "npm could not install $package@$version (see above): is the registry reachable, and does the version exist?"

# Puts the native binary in the place of the launcher.
if ! is_wanted "$staging/node_modules/.bin/claude"; then
    (cd "$staging/node_modules/$package" && node install.cjs >&2) ||
        fail "the package's own install.cjs failed (see above)"
fi
is_wanted "$staging/node_modules/.bin/claude" ||
    fail "$package@$version was installed, but 'claude --version' does not print $version on this machine"

# rename(2) is atomic and, unlike mv, never moves into a directory that is already there.
rename() { node -e 'require("fs").renameSync(process.argv[1], process.argv[2])' "$1" "$2" 2>/dev/null; }
if ! rename "$staging/node_modules" "$dir/node_modules"; then
    # Another run was faster, or another version is there.
    if ! is_wanted "$claude"; then
        rename "$dir/node_modules" "$staging/replaced" || true
        rename "$staging/node_modules" "$dir/node_modules" || is_wanted "$claude" ||
            fail "cannot replace $dir/node_modules"
    fi
fi
is_wanted "$claude" || fail "$claude does not run, or is not version $version"
echo "$claude"
