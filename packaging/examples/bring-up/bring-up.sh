#!/bin/bash
# A cluster from nothing, the way provisioning scripts do it: a discovery token, one cloud-config for all
# machines, then etcdctl and fleetctl from here. The commands of the suite have to be in PATH.
# ../../machines/up.sh stands where a script for a cloud would create its instances.
#
#   bring-up.sh [DIR]    DIR: where the cloud-config is written (default: a new one in /tmp)
#
# In the environment: NUM_INSTANCES (3), TEMPLATE (cloud-config.tmpl), DISCOVERY (the service's URL; by
# default one on this host), and what ../../machines/lib.sh reads.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
machines=$here/../../machines
SIZE=${NUM_INSTANCES:-3}
OUT=${1:-$(mktemp -d)}
step() { printf '\n==> %s\n' "$*"; }
# On a busy host an answer may come too late, and an election may cost any command its answer.
insist() { until "$@"; do sleep 1; done; }
etcdctl() { command etcdctl --timeout 20s --total-timeout 60s "$@"; }

step "a discovery token for $SIZE members"
DISCOVERY=${DISCOVERY:-$("$machines/discovery.sh")}
URL=
for try in 1 2 3 4 5; do
    URL=$(curl -sf "$DISCOVERY/new?size=$SIZE" || true)
    [ -z "$URL" ] || break
    echo "no token yet (try $try)"
    sleep 3
done
if [ -z "$URL" ]; then
    echo "$DISCOVERY gives no token" >&2
    exit 1
fi
echo "$URL"

step "the cloud-config"
sed "s#DISCOVERY_URL#$URL#" "${TEMPLATE:-$here/cloud-config.tmpl}" >"$OUT/cloud-config.yml"
coreos-cloudinit -validate --from-file="$OUT/cloud-config.yml" || exit 1

step "$SIZE machines"
"$machines/up.sh" -n "$SIZE" ${ARCHIVE:+-p "$ARCHIVE"} "$OUT/cloud-config.yml"

step "etcd"
NET=${COREOS_MACHINES_NET:-172.17.8}
export ETCDCTL_PEERS=http://$NET.101:2379
insist etcdctl cluster-health
insist curl -sf "http://$NET.102:4001/health"
echo
insist etcdctl set /app/greeting "hello from $SIZE machines"

step "fleet, through ssh"
eval "$(ssh-agent -s)" >/dev/null
trap 'kill "$SSH_AGENT_PID"' EXIT
ssh-add -q "${COREOS_MACHINES_DIR:-/var/lib/coreos-machines}/ssh/id_ed25519"
export FLEETCTL_TUNNEL=$NET.101 FLEETCTL_STRICT_HOST_KEY_CHECKING=false
export FLEETCTL_KNOWN_HOSTS_FILE=$OUT/known_hosts
until [ "$(fleetctl list-machines --no-legend | wc -l)" -eq "$SIZE" ]; do sleep 1; done
insist fleetctl list-machines --fields=ip,metadata
insist fleetctl submit "$here"/app@.service
insist fleetctl start app@{1..3}.service
until [ "$(fleetctl list-units --no-legend -fields=unit,sub | grep -c running)" -eq 3 ]; do sleep 1; done
insist fleetctl list-units -fields=unit,active,sub

step "what operators do later"
until fleetctl journal --lines 1 app@1 | grep -o "app 1: hello from.*"; do sleep 1; done
insist fleetctl ssh app@2 cat /etc/motd
machine=$(insist fleetctl list-machines --no-legend --full --fields=machine | tail -n 1)
insist fleetctl ssh "$machine" "sudo locksmithctl set-max 2 && locksmithctl status"
until fleetctl ssh "$machine" "update_engine_client -status 2>/dev/null" | grep "CURRENT_OP=.*_IDLE"; do sleep 1; done
insist fleetctl stop app@3.service
insist fleetctl destroy app@{1..3}.service app@.service
until [ -z "$(fleetctl list-units --no-legend)" ]; do sleep 1; done

step "core-02 has lost its disk: out of the cluster, and in again as a new member"
on() { ssh -q -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "core@$NET.$1" "$2"; }
peer=http://$NET.102:2380
leave() {
    local members id
    until members=$(etcdctl member list) && ! grep -qF "$peer" <<<"$members"; do
        id=$(sed -n "\\#$peer#s/[^0-9a-f].*//p" <<<"$members")
        etcdctl member remove "$id" || sleep 1
    done
}
leave
on 102 "sudo systemctl stop etcd2 && sudo sh -c 'rm -rf /var/lib/etcd2/*'"
insist etcdctl cluster-health
# An answer that came too late may stand for a member that was added all the same.
until etcdctl member add core-02 "$peer" >"$OUT/added"; do leave; done
sed -n 's/^ETCD_/Environment=&/p' "$OUT/added" >"$OUT/etcd.env"
drop_in=/run/systemd/system/etcd2.service.d/30-join.conf
(echo "[Service]"; echo "Environment=ETCD_DISCOVERY="; cat "$OUT/etcd.env") | on 102 "sudo tee $drop_in" >/dev/null
on 102 "sudo systemctl daemon-reload && sudo systemctl restart etcd2"
insist etcdctl cluster-health
insist on 102 "etcdctl --timeout 20s --total-timeout 60s get --quorum /app/greeting"

step "done"
