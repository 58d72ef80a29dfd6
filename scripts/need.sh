#!/bin/sh
# Makes sure that programs are there which tests run.
#
#   scripts/need.sh CHECK=PACKAGE…
#
# CHECK: the name of a program, or a command that succeeds where all is there. What is missing is installed from Debian's packages
# where that can be done (root, apt-get); otherwise it says what to install, and fails. Nothing is skipped.
set -eu
PATH=$PATH:/usr/sbin:/sbin

has() {
    case $1 in
        *' '*) sh -c "$1" ;;
        *) command -v "$1" ;;
    esac >/dev/null 2>&1
}
# Others may be installing too.
apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 "$@" </dev/null >/dev/null
}

packages=''
for need; do
    has "${need%%=*}" || packages="$packages ${need#*=}"
done
[ -n "$packages" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "Debian's$packages must be installed: apt-get install$packages" >&2
    exit 1
fi
echo "installing$packages" >&2
apt update
# shellcheck disable=SC2086 # a list of words
apt install -y --no-install-recommends $packages
for need; do
    has "${need%%=*}" || { echo "${need#*=} was installed, but '${need%%=*}' does not work" >&2; exit 1; }
done
