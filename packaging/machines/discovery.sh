#!/bin/sh
# discovery.sh [-p ARCHIVE]: starts a discovery service on the bridge unless it runs, and prints its URL.
# curl "$(discovery.sh)/new?size=3" makes a token. discovery.sh stop ends it; its tokens stay until down.sh.
set -eu
# shellcheck source=packaging/machines/lib.sh
. "$(dirname "$0")/lib.sh"

usage="usage: discovery.sh [-p ARCHIVE] [stop]"
archive=$(cd "$(dirname "$0")/../.." && pwd)/dist/coreos.pyz
while getopts p:h option; do
    case $option in
    p) archive=$OPTARG ;;
    h) say "$usage"; exit 0 ;;
    *) die "$usage" ;;
    esac
done
shift $((OPTIND - 1))
need_root
case "$*" in
'') ;;
stop) stop_discovery; exit 0 ;;
*) die "unexpected argument '$1' ($usage)" ;;
esac
[ -f "$archive" ] || die "no archive '$archive' (packaging/build.sh makes it)"
make_bridge
url=http://$NET.1:8087
echo "$url"
! discovery_runs || exit 0
home=$DIR/discovery
mkdir -p "$home"
chmod 700 "$DIR"
cp "$archive" "$home/coreos.pyz"
chmod 755 "$home/coreos.pyz"
setsid "$home/coreos.pyz" etcd-discovery --data-dir "$home/data" --addr "$NET.1:8087" --host "$url" \
    </dev/null >"$home/log" 2>&1 &
echo $! >"$home/pid"
tries=0
until curl -sf -o /dev/null "$url/health"; do
    tries=$((tries + 1))
    if [ ! -d "/proc/$(cat "$home/pid")" ] || [ "$tries" -eq 600 ]; then
        die "the discovery service does not start: $(tail -n 3 "$home/log")"
    fi
    sleep 0.2
done
