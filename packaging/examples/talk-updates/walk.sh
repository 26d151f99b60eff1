#!/bin/sh
# What the README of this folder tells, command by command.
set -eu
# shellcheck source=packaging/examples/walk.sh
. "$(dirname "$0")/../walk.sh"

locks=/coreos.com/updateengine/rebootlock/semaphore
# strategy NAME: machine 3 gets another strategy, and locksmithd says what it makes of it.
strategy() {
    at 3 "sudo sed -i 's/^REBOOT_STRATEGY=.*/REBOOT_STRATEGY=$1/' /etc/coreos/update.conf"
    at 3 "sudo systemctl restart locksmithd"
    soon 400 3 "journalctl -o cat --no-pager _SYSTEMD_INVOCATION_ID=\$(systemctl show -P InvocationID locksmithd) | grep strategy"
}

step "how the cluster met: a token that says how many, and who came"
token=$(silently 1 "sed -n 's/.*ETCD_DISCOVERY=\(.*\)\"/\1/p' /run/systemd/system/etcd2.service.d/20-cloudinit.conf")
at 1 "cat /run/systemd/system/etcd2.service.d/20-cloudinit.conf"
at 1 "curl -sS $token/_config/size"
at 1 "curl -sS -i '$token?sorted=true'"
soon 400 1 "etcdctl cluster-health"

step "which releases these machines follow, and when they may reboot"
at 1 "cat /etc/coreos/update.conf"
at 1 "cat /etc/lsb-release"
soon 400 1 "update_engine_client -status 2>/dev/null | grep -B 2 -A 2 STATUS_IDLE"
at 1 "locksmithctl status"

step "the strategies"
within 400 3 "systemctl is-active locksmithd"
strategy reboot
strategy best-effort
strategy off
strategy etcd-lock

step "a new version waits for its reboot while somebody else has the lock: one after the other"
at 2 "locksmithctl lock maintenance"
soon 400 1 "locksmithctl status | grep -A 9 'Available: 0'"
"$MACHINES/run.sh" 3 sh -c "setsid locksmithctl send-need-reboot >/dev/null 2>&1 &"
echo "-- core-03 is to reboot"
soon 400 3 "journalctl -o cat --no-pager -u locksmithd | grep -m 1 'semaphore is at 0'"
at 2 "locksmithctl unlock maintenance"
until_off 3
within 400 1 "etcdctl get $locks | grep -E '[0-9a-f]{32}'"
at 1 "etcdctl get $locks"
on 3
soon 400 1 "locksmithctl status | grep -A 9 'Available: 1'"
soon 400 3 "journalctl -o cat --no-pager -u locksmithd | grep -m 1 'Unlocked existing lock'"

step "two slots, so that a version that fails costs one boot"
give 1 disk.sh
at 1 "sh disk.sh /tmp/disk.img"

step "the same machine as Ignition would make it"
give 1 user-data
at 1 "coreos ignition convert user-data >config.ign && ignition-validate config.ign && head -c 50 config.ign"
