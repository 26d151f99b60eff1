#!/bin/sh
# What the README of this folder tells, command by command.
set -eu
# shellcheck source=packaging/examples/walk.sh
. "$(dirname "$0")/../walk.sh"

# Exactly $1 of them are known, and all run.
pages() { within 240 1 "fleetctl list-units --no-legend --full | awk '/\/.*running\$/ {n++} END {exit n != $1 || NR != $1}'"; }
machines() { within 240 1 "[ \$(fleetctl list-machines --no-legend | wc -l) -eq $1 ]"; }

step "three machines, from one user-data"
at 1 "fleetctl list-machines"
at 1 "etcdctl member list | sort -t = -k 3"
soon 60 1 "etcdctl cluster-health"
at 1 "cat /run/flannel/options.env; echo"

step "three pages, one on each machine; a fourth has no place"
give 1 example@.service
at 1 "fleetctl start example@1.service"
at 1 "fleetctl start example@2.service"
at 1 "fleetctl start example@3.service"
at 1 "fleetctl start --no-block example@4.service | sort -u"
pages 3
at 1 "fleetctl list-units"
at 1 "fleetctl list-unit-files"
for i in 1 2 3; do at 1 "curl -sS --retry 20 --retry-connrefused $(address_of 1 "example@$i.service"):8000/"; done

step "a fourth machine, from the same user-data"
echo "-- up.sh -n 4 user-data"
"$MACHINES/up.sh" -n 4 ${ARCHIVE:+-p "$ARCHIVE"} user-data 2>/dev/null
pages 4
at 1 "fleetctl list-units"
at 4 "etcdctl member list | wc -l"
at 4 "curl -sS -L http://127.0.0.1:4001/v2/keys/ -XPOST -d value=through-the-proxy"
at 4 "curl -sS --retry 20 --retry-connrefused $(address_of 1 example@4.service):8000/"
soon 60 4 "journalctl -o cat --no-pager -u etcd2 | grep -m 1 -o 'falling back to proxy'"

step "machines go: what has a place elsewhere moves, what has none waits"
at 1 "fleetctl destroy example@4"
pages 3
cut 3
machines 3
pages 3
at 1 "fleetctl list-units"
at 1 "fleetctl list-machines"
on 3
machines 4

step "a machine leaves in order: its fleet stops"
at 4 "sudo systemctl stop fleet.socket fleet.service"
machines 3
pages 3
at 1 "fleetctl list-units"
at 4 "sudo systemctl start fleet.service"
machines 4
at 1 "fleetctl list-machines"

step "the end"
at 1 "fleetctl destroy example@{1..3}"
within 120 1 "[ -z \"\$(fleetctl list-units --no-legend)\" ]"
at 1 "fleetctl list-units"
