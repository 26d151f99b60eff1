#!/bin/sh
# What the README of this folder tells, command by command.
set -eu
# shellcheck source=packaging/examples/walk.sh
. "$(dirname "$0")/../walk.sh"

step "user-data as a cloud's API takes it, inside JSON"
# shellcheck disable=SC1003
text=$(sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' user-data | awk '{printf "%s\\n", $0}')
for name in core-1 core-2 core-3; do
    printf '{"name": "%s", "image": "coreos-stable", "private_networking": true, "user_data": "%s"}\n' "$name" "$text"
done

step "did the machines find each other?"
at 1 "fleetctl list-machines"

step "etcd answers whoever speaks HTTP"
within 300 1 "curl -sSf http://127.0.0.1:4001/version | grep 'cluster.:.2.3'"
at 1 "curl -sS -L http://127.0.0.1:4001/version; echo"
at 1 "curl -sS -L http://127.0.0.1:4001/v2/keys/foo -XPUT -d value=bar"
within 300 2 "curl -sSf http://127.0.0.1:4001/v2/keys/foo"
at 2 "curl -sS -L -i http://127.0.0.1:4001/v2/keys/foo"
refused 1 "curl -sS -f -L http://127.0.0.1:4001/v2/keys/nothing"

step "a service under systemd, on one machine"
give 1 hello.service
at 1 "sudo cp hello.service /etc/systemd/system/"
at 1 "sudo systemctl enable hello.service"
at 1 "sudo systemctl start hello.service"
at 1 "curl -sS -L --retry 20 --retry-connrefused localhost:8080/foo/bar"
at 1 "systemctl is-active hello.service"
at 1 "etcdctl get /services/hello/core-01"
soon 300 1 "journalctl -o cat --no-pager -u hello.service | grep GET"
at 1 "sudo systemctl stop hello.service"
at 1 "etcdctl ls --recursive /services"
at 1 "sudo systemctl disable hello.service"

step "the same on the cluster, twice, never on one machine"
give 1 hello@.service
at 1 'fleetctl submit hello\@.service'
at 1 "fleetctl list-unit-files"
at 1 "fleetctl start hello@1"
at 1 "fleetctl start hello@2"
soon 400 1 "fleetctl list-units" "$(all_run 2)"
at 1 "fleetctl list-unit-files"
for i in 1 2; do
    at 1 "curl -sS -i -L --retry 20 --retry-connrefused $(address_of 1 hello@$i.service):8081/foo/bar"
done
at 1 "etcdctl ls --sort /services/hello"
at 1 "etcdctl get /services/hello/core-0$(machine_at "$(address_of 1 hello@1.service)"):1"

step "gone again"
at 1 "fleetctl destroy hello@1 hello@2 hello@.service"
within 300 1 "[ -z \"\$(etcdctl ls /services/hello)\" ]"
at 1 "fleetctl list-unit-files"
