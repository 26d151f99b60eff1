#!/bin/sh
# What the README of this folder tells, command by command.
set -eu
# shellcheck source=packaging/examples/walk.sh
. "$(dirname "$0")/../walk.sh"

keys=http://127.0.0.1:2379/v2/keys
# How many of the pages run on each machine.
spread="fleetctl list-units --no-legend --fields=unit,machine,sub | grep ^page@.*/.*running | cut -f 2 | sort | uniq -c"
pages_run() { within 400 1 "[ \$(fleetctl list-units --no-legend --full | grep -c '^page@.*/.*running') -eq 11 ]"; }

step "one program under several names"
at 1 "readlink /usr/bin/fleetctl /usr/bin/fleetd"
at 1 "fleetctl version; fleetd --version"

step "the init system of one machine, under that of the cluster"
give 1 talker.service page@.service logger.service
at 1 "fleetctl list-machines --fields=ip,metadata | sort"
at 1 "fleetctl start talker"
running 1 talker.service
soon 400 3 "journalctl -o cat --no-pager -u talker.service | grep -m 1 here"
at 3 "busctl get-property org.freedesktop.systemd1 /org/freedesktop/systemd1/unit/talker_2eservice org.freedesktop.systemd1.Unit ActiveState"
at 3 "sudo systemctl kill --signal=KILL talker.service"
soon 400 3 "systemctl show -p NRestarts -p ActiveState talker.service | grep -A 1 'NRestarts=1' | grep -B 1 =active"
soon 400 1 "fleetctl list-units" "$(all_run 1)"
at 1 "fleetctl stop talker"
within 400 3 "[ \$(systemctl is-active talker.service) = inactive ]"
refused 3 "systemctl is-active talker.service"
at 3 "pgrep -fc '[s]till here' || true"
at 1 "fleetctl destroy talker"

step "eleven of a kind"
at 1 "fleetctl start page@{0..10}.service | grep launched | sort -u | wc -l"
pages_run
soon 400 1 "$spread" "{n += \$1} END {exit n != 11}"

step "one on each machine of a place"
at 1 "fleetctl start logger"
soon 400 1 "fleetctl list-units | grep -v ^page@" "$(all_run 2)"
at 1 "fleetctl list-unit-files | grep -v ^page@"

step "what etcd has for those who share: one wins"
at 1 "curl -sS '$keys/leader?prevExist=false' -XPUT -d value=one"
within 400 2 "curl -sSf $keys/leader"
at 2 "curl -sS '$keys/leader?prevExist=false' -XPUT -d value=two"
at 2 "curl -sS '$keys/leader?prevValue=none' -XPUT -d value=two"
at 2 "curl -sS '$keys/leader?prevValue=one' -XPUT -d value=two"
refused 1 "etcdctl mk /leader three"

step "who watches hears of it"
at 1 "(while sleep 1; do etcdctl set /weather rain; done) >/dev/null & etcdctl watch /weather; kill \$!"
index=$(silently 1 "curl -sS $keys/leader" | sed 's/.*"createdIndex":\([0-9]*\).*/\1/')
at 1 "curl -sS '$keys/leader?wait=true&waitIndex=$index'"

step "but not of everything for ever"
at 1 "curl -sS -o /dev/null '$keys/busy/[1-1100]' -XPUT -d value=x"
at 1 "curl -sS '$keys/weather?wait=true&waitIndex=10'"

step "a machine fails, its units go on"
cut 2
soon 400 1 "fleetctl list-machines --fields=ip,metadata | sort" "$(rows 2)"
pages_run
soon 400 1 "$spread" "{n += \$1} END {exit n != 11}"
soon 400 1 "fleetctl list-units | grep -v ^page@" "$(all_run 1)"
on 2
within 400 1 "[ \$(fleetctl list-machines --no-legend | wc -l) -eq 3 ]"
soon 400 1 "fleetctl list-units | grep -v ^page@" "$(all_run 2)"

step "reboots take turns"
at 1 "locksmithctl status"
# By a name that is no machine's: a machine's own locksmithd, late as it may be, gives back what that has.
at 1 "locksmithctl lock maintenance"
within 400 2 "etcdctl get /coreos.com/updateengine/rebootlock/semaphore | grep maintenance"
refused 2 "locksmithctl lock"
at 2 "locksmithctl status"
at 2 "etcdctl get /coreos.com/updateengine/rebootlock/semaphore"
at 1 "locksmithctl unlock maintenance"
at 1 "locksmithctl status"
