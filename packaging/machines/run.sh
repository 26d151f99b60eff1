#!/bin/sh
# run.sh N COMMAND...: runs a command inside machine N as root, with the machine's own view of everything.
set -eu
# shellcheck source=packaging/machines/lib.sh
. "$(dirname "$0")/lib.sh"
[ $# -ge 2 ] || die "usage: run.sh N COMMAND [ARG...]"
need_root
need_number "$1"
inside "$@"
