#!/bin/sh
# Stops every test machine and leaves nothing behind: processes, discovery service, mounts, control groups, bridge, files.
set -eu
# shellcheck source=packaging/machines/lib.sh
. "$(dirname "$0")/lib.sh"
case "${1:-}" in
'') ;;
-h | --help) say "usage: $(basename "$0")    stops and removes all machines of $DIR"; exit 0 ;;
*) die "unexpected argument '$1'" ;;
esac
need_root
for number in $(numbers); do remove_machine "$number"; done
stop_discovery
ip link del "$BRIDGE" 2>/dev/null || true
rm -rf --one-file-system "$DIR"
