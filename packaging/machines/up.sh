#!/bin/sh
# up.sh [-n COUNT] [-p ARCHIVE] [-d URL] USER-DATA: boots COUNT machines on a bridge, each of which
# configures itself with coreos-cloudinit from the same user-data, and prints `fleetctl list-machines`.
#
#   - USER-DATA is a file with a cloud-config, a script or MIME parts, given to every machine on a config
#     drive (/media/configdrive) and applied at every boot by user-configdrive.service.
#   - Machine N is called core-0N and has the address 172.17.8.(100+N), which is $public_ipv4 and
#     $private_ipv4 (`run.sh N COMMAND`, `ssh -i DIR/ssh/id_ed25519 core@ADDRESS`, see lib.sh for DIR).
#   - Discovery: `DISCOVERY_URL`, `{DISCOVERY_TOKEN}`, `<token>` and https://discovery.etcd.io/ANYTHING
#     in USER-DATA become the URL of -d, or a new token for COUNT members of a service that discovery.sh
#     runs on the bridge; so does the missing `discovery:` of coreos.etcd or coreos.etcd2, unless there is
#     an `initial-cluster:`. Other URLs stay: a script may take its own token from `discovery.sh`.
#   - Only user-data starts etcd, fleet, ...; the archive and its units are installed, update-engine,
#     locksmithd and user-config.target are enabled. core may use sudo and fleet's socket, so
#     FLEETCTL_TUNNEL=ADDRESS works with the key of DIR/ssh. There is no docker.
#     flanneld.service is there, but without a flanneld program (in /usr/bin) starting it does nothing.
#   - etcd sends a heartbeat every 200 ms and holds elections after 2.5 s, unless USER-DATA says otherwise: the
#     machines share the processors of this host.
#   - Again: machines that run are left alone and machines that are off come back with their ids and data;
#     changed user-data counts from their next boot.
#   - In the environment: NUM_INSTANCES for -n, UPDATE_CHANNEL for GROUP of update.conf (alpha).
#
# up.sh [-n COUNT] [-p ARCHIVE] [-t AGENT_TTL] [-e PROGRAM]: without user-data brings up etcd and fleet on
# each with `coreos install`, packaged units and a static cluster. With -e the etcd is PROGRAM, an etcd 3
# without the v2 API, and fleet uses its JSON gateway.
#
# A first run that is interrupted or fails takes all down again.
set -eu
# shellcheck source=packaging/machines/lib.sh
. "$(dirname "$0")/lib.sh"

TOP=$(cd "$(dirname "$0")/../.." && pwd)
usage="usage: up.sh [-n COUNT] [-p ARCHIVE] [-d DISCOVERY_URL] USER-DATA
       up.sh [-n COUNT] [-p ARCHIVE] [-t AGENT_TTL] [-e PROGRAM]"
count=${NUM_INSTANCES:-3} archive=$TOP/dist/coreos.pyz ttl='' etcd3='' discovery=''
while getopts n:p:d:t:e:h option; do
    case $option in
    n) count=$OPTARG ;;
    p) archive=$OPTARG ;;
    d) discovery=$OPTARG ;;
    t) ttl=$OPTARG ;;
    e) etcd3=$OPTARG ;;
    h) say "$usage"; exit 0 ;;
    *) die "$usage" ;;
    esac
done
shift $((OPTIND - 1))
[ $# -le 1 ] || die "unexpected argument '$2'
$usage"
userdata=${1:-}
[ $# -eq 0 ] || { [ -f "$userdata" ] && [ -r "$userdata" ]; } || die "no user-data '$userdata'"
[ -z "$userdata" ] || [ -z "$ttl$etcd3" ] || die "-t and -e are not for machines from user-data"
[ -n "$userdata" ] || [ -z "$discovery" ] || die "-d is for machines from user-data"
ttl=${ttl:-30s}
need_number "$count"
# shellcheck source=packaging/machines/cloud.sh
. "$(dirname "$0")/cloud.sh"
need_root
[ -f "$archive" ] || die "no archive '$archive' (packaging/build.sh makes it)"
[ -z "$etcd3" ] || [ -x "$etcd3" ] || die "no program '$etcd3'"
first=1
[ -z "$(numbers)" ] || first=
if [ -z "$userdata" ]; then
    [ -n "$first" ] || die "machines are already up in $DIR (down.sh stops them)"
elif [ -z "$first" ] && [ ! -f "$DIR/user-data" ]; then
    die "the machines in $DIR were brought up without user-data (down.sh stops them)"
fi

give_up() {
    status=$?
    trap - EXIT
    [ "$status" -eq 0 ] || [ -z "$first" ] || { say "failed; taking the machines down"; "$(dirname "$0")/down.sh"; }
    exit "$status"
}
trap give_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$(dirname "$0")/build.sh" >/dev/null
mkdir -p "$DIR/ssh"
chmod 700 "$DIR"
[ -f "$DIR/ssh/id_ed25519" ] || ssh-keygen -q -t ed25519 -N '' -C coreos-machines -f "$DIR/ssh/id_ed25519"
make_bridge
if [ -n "$userdata" ]; then
    up_from_user_data "$userdata" "$discovery"
    say "run.sh N COMMAND runs a command on a machine; down.sh stops all"
    exit 0
fi

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
    printf '%s' "$ETCD_PATIENCE" >"$root/etc/systemd/system/etcd2.service.d/10-machines.conf"
    cat >"$root/etc/systemd/system/fleet.service.d/20-cluster.conf" <<EOF
[Service]
Environment="FLEET_PUBLIC_IP=$ip"
Environment="FLEET_METADATA=disk=$disk,name=$(name_of "$number")"
Environment="FLEET_AGENT_TTL=$ttl"
Environment="FLEET_ETCD_REQUEST_TIMEOUT=10"
EOF
    cp "$archive" "$root/opt/coreos.pyz"
    [ -n "$etcd3" ] || return 0
    cp "$etcd3" "$root/opt/etcd3"
    printf '[Service]\nExecStart=\nExecStart=/opt/etcd3\n' >"$root/etc/systemd/system/etcd2.service.d/30-etcd3.conf"
    printf '[Service]\nEnvironment=FLEET_ETCD_API=v3\n' >"$root/etc/systemd/system/fleet.service.d/30-etcd3.conf"
}

# True once etcd is healthy and fleet knows all machines; $healthy and $known are what they say.
is_complete() {
    known=$(inside 1 fleetctl list-machines 2>/dev/null) && [ "$(echo "$known" | wc -l)" -eq $((count + 1)) ] &&
        healthy=$(health 2>/dev/null)
}
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
until is_complete; do
    tries=$((tries + 1))
    [ "$tries" -lt 1000 ] || die "the cluster did not form: $(inside 1 journalctl -n 5 -o cat --no-pager -u etcd2 -u fleet)"
    sleep 0.5
done
printf '%s\n' "$healthy" "$known"
say "run.sh N COMMAND runs a command on a machine; down.sh stops all"
