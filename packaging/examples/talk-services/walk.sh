#!/bin/sh
# What the README of this folder tells, command by command.
set -eu
# shellcheck source=packaging/examples/walk.sh
. "$(dirname "$0")/../walk.sh"

step "before any machine sees it: is the user-data right?"
give 1 user-data broken-user-data mistaken-user-data
at 1 "coreos-cloudinit -validate --from-file user-data 2>&1 | cut -d ' ' -f 3-"
refused 1 "coreos-cloudinit -validate --from-file broken-user-data"
refused 1 "coreos-cloudinit -validate --from-file mistaken-user-data"

step "keys"
at 1 'etcdctl set /foo/bar "Hello world" --ttl 60'
at 1 "etcdctl get /foo/bar"
at 1 "etcdctl update /foo/bar 'Hello again'"
refused 1 "etcdctl update /foo/missing dingo"
at 1 "etcdctl rm /foo/bar"
refused 1 "etcdctl get /foo/bar"
at 1 "etcdctl set /foo/bar 1"
at 1 "etcdctl set /foo/car 2"
at 1 "etcdctl ls --sort /foo"
at 1 "etcdctl ls --recursive --sort /foo"
at 1 "(while sleep 1; do etcdctl set /foo/bar Dingo; done) >/dev/null & etcdctl watch /foo/bar; kill \$!"
at 1 "/usr/bin/etcdctl exec-watch /foo/car -- sh -c 'env | grep ETCD_W | sort' >heard & heard=\$!
  until [ -s heard ]; do sleep 0.5; etcdctl set /foo/car Dingo; done >/dev/null
  etcdctl rm /foo/car >/dev/null; until grep -q delete heard; do sleep 0.2; done; kill \$heard"
at 1 "for action in set delete; do grep -m 1 -A 3 =\$action heard; done"

step "machines"
at 1 "fleetctl list-machines"
at 1 "fleetctl list-machines --full"

step "applications that have a key each, and a pool of them"
give 1 app@.service pool.service site@.service site-announce@.service archive.service beat.service beat.timer
at 1 "fleetctl start app@5001.service"
at 1 "fleetctl start app@5002.service"
at 1 "fleetctl start pool.service"
soon 400 1 "fleetctl list-units" "$(all_run 3)"
pool=$(machine_at "$(address_of 1 pool.service)")
soon 400 "$pool" "cat /run/pool.conf" '/server/ {n++} END {exit n != 2}'
at 1 "fleetctl destroy app@5001"
soon 400 "$pool" "cat /run/pool.conf" '/server/ {n++} END {exit n != 1}'
at 1 "fleetctl destroy app@5002 pool"
within 400 1 "fleetctl list-units" "$(rows 0)"

step "sites on different machines, each with a sidekick that announces it"
at 1 "fleetctl start site@1 site@2 | grep launched | sort -u"
at 1 "fleetctl start site-announce@1 site-announce@2 | grep launched | sort -u"
soon 400 1 "fleetctl list-units" "$(all_run 4)"
soon 400 1 "etcdctl get /services/website/site@1"
soon 400 1 "etcdctl get /services/website/site@2"
at 1 "etcdctl ls --sort /services/website"
at 1 "curl -sS --retry 20 --retry-connrefused $(address_of 1 site@1.service):8080/"
soon 400 1 "curl -sSf http://127.0.0.1:4001/v2/keys/services/website/site@1"

step "a machine fails: its site goes on elsewhere, and its announcement with it"
unit=site@1
[ "$(machine_at "$(address_of 1 site@1.service)")" -ne 1 ] || unit=site@2
lost=$(address_of 1 $unit.service)
cut "$(machine_at "$lost")"
within 400 1 "[ \$(fleetctl list-machines --no-legend | wc -l) -eq 2 ]"
within 400 1 "fleetctl list-units --no-legend --full | grep '^$unit.*/.*running' | grep -v '/$lost	'"
name=$(printf 'core-%02d' "$(machine_at "$(address_of 1 $unit.service)")")
within 400 1 "etcdctl get /services/website/$unit | grep $name"
soon 400 1 "fleetctl list-units" "$(all_run 4)"
soon 400 1 "etcdctl get /services/website/$unit"
at 1 "curl -sS --retry 20 --retry-connrefused $(address_of 1 $unit.service):8080/"

step "an announcement outlives its sidekick only for its time"
machine=$(machine_at "$(address_of 1 $unit.service)")
at "$machine" "sudo systemctl kill --signal=KILL site-announce@${unit#site@}.service"
within 400 1 "etcdctl get /services/website/$unit 2>&1 | grep '^Error:  100: '"
refused 1 "etcdctl get /services/website/$unit"

step "where a unit may run"
at 1 "printf '[Service]\nExecStart=/bin/sleep infinity\n[X-Fleet]\nMachineID=%s\n' \$(cat /etc/machine-id) >here.service"
at 1 "fleetctl start here.service"
at 1 "fleetctl start --no-block archive.service"
at 1 "fleetctl list-unit-files --fields=unit,dstate,state,target | grep -E '^(UNIT|archive|here)'"

step "not only services"
at 1 "fleetctl load beat.service"
at 1 "fleetctl start beat.timer"
where=$(machine_at "$(address_of 1 beat.timer)")
within 400 "$where" "journalctl -o cat -u beat.service | grep -qx beat"
soon 400 1 "fleetctl list-units --fields=unit,active,sub | grep beat.timer" '/active.*waiting$/ {n++} END {exit n != 1}'
refused 1 "printf '[Service]\nExecStart=/bin/true\n' >what.scope; fleetctl start what.scope"
