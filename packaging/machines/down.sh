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
status=0
for number in $(numbers); do (remove_machine "$number") || status=1; done
stop_discovery
for wire in $(ip -o link | sed -n "s/^[0-9]*: \(vb-$BRIDGE-[0-9]*\)[@:].*/\1/p"); do ip link del "$wire" 2>/dev/null || :; done
ip link del "$BRIDGE" 2>/dev/null || true
remove_tree "$DIR"
exit "$status"
