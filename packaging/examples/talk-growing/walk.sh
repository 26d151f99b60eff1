#!/bin/sh
# What the README of this folder tells, command by command.
set -eu
# shellcheck source=packaging/examples/walk.sh
. "$(dirname "$0")/../walk.sh"

# Exactly $1 of them are known, and all run.
pages() { within 400 1 "fleetctl list-units" "$(all_run "$1")"; }
machines() { within 400 1 "fleetctl list-machines" "$(rows "$1")"; }

step "three machines, from one user-data"
at 1 "fleetctl list-machines"
at 1 "etcdctl member list | sort -t = -k 3"
soon 300 1 "etcdctl cluster-health"
at 1 "cat /run/flannel/options.env; echo"

step "three pages, one on each machine; a fourth has no place"
give 1 example@.service
at 1 "fleetctl start example@1.service"
at 1 "fleetctl start example@2.service"
at 1 "fleetctl start example@3.service"
at 1 "fleetctl start --no-block example@4.service | sort -u"
soon 400 1 "fleetctl list-units" "$(all_run 3)"
at 1 "fleetctl list-unit-files"
for i in 1 2 3; do at 1 "curl -sS --retry 20 --retry-connrefused $(address_of 1 "example@$i.service"):8000/"; done

step "a fourth machine, from the same user-data"
echo "-- up.sh -n 4 user-data"
log=$(mktemp)
"$MACHINES/up.sh" -n 4 ${ARCHIVE:+-p "$ARCHIVE"} user-data 2>"$log" || { cat "$log" >&2; rm "$log"; fail "up.sh"; }
rm "$log"
soon 400 1 "fleetctl list-units" "$(all_run 4)"
at 4 "etcdctl member list | wc -l"
at 4 "curl -sS -L http://127.0.0.1:4001/v2/keys/ -XPOST -d value=through-the-proxy"
at 4 "curl -sS --retry 20 --retry-connrefused $(address_of 1 example@4.service):8000/"
soon 300 4 "journalctl -o cat --no-pager -u etcd2 | grep -m 1 -o 'falling back to proxy'"

step "machines go: what has a place elsewhere moves, what has none waits"
at 1 "fleetctl destroy example@4"
pages 3
cut 3
machines 3
soon 400 1 "fleetctl list-units" "$(all_run 3)"
soon 400 1 "fleetctl list-machines" "$(rows 3)"
on 3
machines 4

step "a machine leaves in order: its fleet stops"
at 4 "sudo systemctl stop fleet.socket fleet.service"
machines 3
soon 400 1 "fleetctl list-units" "$(all_run 3)"
at 4 "sudo systemctl start fleet.service"
soon 400 1 "fleetctl list-machines" "$(rows 4)"

step "the end"
at 1 "fleetctl destroy example@{1..3}"
soon 400 1 "fleetctl list-units" "$(rows 0)"
