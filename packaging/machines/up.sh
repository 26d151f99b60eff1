#!/bin/sh
# up.sh [-n COUNT] [-p ARCHIVE]: boots COUNT machines on a bridge and brings up etcd and fleet on each
# with `coreos install` and the packaged systemd units. Interrupted or failing, it takes all down again.
# With -e the etcd is PROGRAM, an etcd 3 without the v2 API, and fleet uses its JSON gateway.
set -eu
# shellcheck source=packaging/machines/lib.sh
. "$(dirname "$0")/lib.sh"

TOP=$(cd "$(dirname "$0")/../.." && pwd)
usage="usage: up.sh [-n COUNT] [-p ARCHIVE] [-t AGENT_TTL] [-e PROGRAM]"
count=3 archive=$TOP/dist/coreos.pyz ttl=30s etcd3=
while getopts n:p:t:e:h option; do
    case $option in
    n) count=$OPTARG ;;
    p) archive=$OPTARG ;;
    t) ttl=$OPTARG ;;
    e) etcd3=$OPTARG ;;
    h) say "$usage"; exit 0 ;;
    *) die "$usage" ;;
    esac
done
shift $((OPTIND - 1))
[ $# -eq 0 ] || die "unexpected argument '$1' ($usage)"
need_number "$count"
need_root
[ -f "$archive" ] || die "no archive '$archive' (packaging/build.sh makes it)"
[ -z "$etcd3" ] || [ -x "$etcd3" ] || die "no program '$etcd3'"
[ -z "$(numbers)" ] || die "machines are already up in $DIR (down.sh stops them)"

give_up() {
    status=$?
    trap - EXIT
    [ "$status" -eq 0 ] || { say "failed; taking the machines down"; "$(dirname "$0")/down.sh"; }
    exit "$status"
}
trap give_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$(dirname "$0")/build.sh" >/dev/null
mkdir -p "$DIR/ssh"
chmod 700 "$DIR"
ssh-keygen -q -t ed25519 -N '' -C coreos-machines -f "$DIR/ssh/id_ed25519"
make_bridge

members=
number=1
while [ "$number" -le "$count" ]; do
    members="$members${members:+,}$(name_of "$number")=http://$(address_of "$number"):2380"
    number=$((number + 1))
done

# What a cloud-config would write for this machine.
configure() {
    number=$1
    ip=$(address_of "$number")
    root=$DIR/$number/root
    disk=ssd
    [ $((number % 2)) -eq 1 ] || disk=hdd
    mkdir -p "$root/etc/systemd/system/etcd2.service.d" "$root/etc/systemd/system/fleet.service.d" "$root/opt"
    cat >"$root/etc/systemd/system/etcd2.service.d/20-cluster.conf" <<EOF
[Service]
Environment="ETCD_NAME=$(name_of "$number")"
Environment="ETCD_ADVERTISE_CLIENT_URLS=http://$ip:2379"
Environment="ETCD_LISTEN_CLIENT_URLS=http://0.0.0.0:2379"
Environment="ETCD_INITIAL_ADVERTISE_PEER_URLS=http://$ip:2380"
Environment="ETCD_LISTEN_PEER_URLS=http://$ip:2380"
Environment="ETCD_INITIAL_CLUSTER=$members"
Environment="ETCD_INITIAL_CLUSTER_STATE=new"
EOF
    cat >"$root/etc/systemd/system/fleet.service.d/20-cluster.conf" <<EOF
[Service]
Environment="FLEET_PUBLIC_IP=$ip"
Environment="FLEET_METADATA=disk=$disk,name=$(name_of "$number")"
Environment="FLEET_AGENT_TTL=$ttl"
EOF
    cp "$archive" "$root/opt/coreos.pyz"
    [ -n "$etcd3" ] || return 0
    cp "$etcd3" "$root/opt/etcd3"
    printf '[Service]\nExecStart=\nExecStart=/opt/etcd3\n' >"$root/etc/systemd/system/etcd2.service.d/30-etcd3.conf"
    printf '[Service]\nEnvironment=FLEET_ETCD_API=v3\n' >"$root/etc/systemd/system/fleet.service.d/30-etcd3.conf"
}

# What the machines' etcd says about itself.
health() {
    if [ -z "$etcd3" ]; then inside 1 etcdctl cluster-health; else inside 1 curl -sSf "$(address_of 1):2379/health"; fi
}

number=1
while [ "$number" -le "$count" ]; do
    say "booting $(name_of "$number") at $(address_of "$number")"
    make_machine "$number"
    configure "$number"
    boot_machine "$number"
    inside "$number" python3 /opt/coreos.pyz install /usr/bin >/dev/null
    inside "$number" coreos units --install /etc/systemd/system >/dev/null
    inside "$number" systemctl daemon-reload
    inside "$number" systemctl -q enable etcd2.service fleet.socket fleet.service
    inside "$number" systemctl start --no-block etcd2.service fleet.socket fleet.service
    number=$((number + 1))
done

say "waiting for the cluster"
tries=0
until [ "$(inside 1 fleetctl list-machines --no-legend 2>/dev/null | wc -l)" -eq "$count" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 600 ] || die "the cluster did not form: $(inside 1 journalctl -n 5 -o cat --no-pager -u etcd2 -u fleet)"
    sleep 0.5
done
health
inside 1 fleetctl list-machines
say "run.sh N COMMAND runs a command on a machine; down.sh stops all"
