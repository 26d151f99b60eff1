#!/bin/sh
# wire.sh cut N | join N: takes machine N off the bridge, or puts it back; nothing inside sees the wire go.
set -eu
# shellcheck source=packaging/machines/lib.sh
. "$(dirname "$0")/lib.sh"
[ $# -eq 2 ] || die "usage: wire.sh cut|join N"
need_root
need_number "$2"
wire=$(wire_of "$2")
[ -n "$wire" ] || die "machine $2 has no wire"
case "$1" in
cut) ip link set "$wire" nomaster ;;
join) ip link set "$wire" master "$BRIDGE" ;;
*) die "unknown action '$1' (cut, join)" ;;
esac
