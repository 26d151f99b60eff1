# shellcheck shell=sh
# Shared by the scripts of this folder: where test machines live and how one is booted.
#
# A machine is a Debian root on an overlay, booted by systemd-nspawn with its own systemd, D-Bus,
# sshd, machine-id, control groups and address on a bridge. Needs root.
#
#   COREOS_MACHINES_DIR     state of the running machines   (default /var/lib/coreos-machines)
#   COREOS_MACHINES_CACHE   the Debian root, built once     (default /var/cache/coreos-machines)
#   COREOS_MACHINES_BRIDGE  name of the bridge              (default coreos0)
#   COREOS_MACHINES_NET     first three octets              (default 172.17.8)
#   COREOS_MACHINES_SHARES  of the processors, per machine; the rest of this host has 1024 (default 1024)

DIR=${COREOS_MACHINES_DIR:-/var/lib/coreos-machines}
CACHE=${COREOS_MACHINES_CACHE:-/var/cache/coreos-machines}
BRIDGE=${COREOS_MACHINES_BRIDGE:-coreos0}
NET=${COREOS_MACHINES_NET:-172.17.8}
SUITE=bookworm
PACKAGES=systemd,systemd-sysv,dbus,openssh-server,iproute2,python3,curl,ca-certificates,procps,sudo
# All machines share one host, where each may have to wait for longer than etcd by default does for another.
# shellcheck disable=SC2034
ETCD_PATIENCE='[Service]
Environment=ETCD_HEARTBEAT_INTERVAL=200 ETCD_ELECTION_TIMEOUT=2500
'
CGROUPS="systemd unified memory pids cpu cpuacct cpu,cpuacct freezer"

say() { printf '%s\n' "$*" >&2; }
die() { say "$(basename "$0"): $*"; exit 1; }

need_root() { [ "$(id -u)" -eq 0 ] || die "needs root (systemd-nspawn boots machines)"; }
need_number() { case "$1" in '' | *[!0-9]* | 0) die "not a machine number: '$1'" ;; esac; }

address_of() { echo "$NET.$((100 + $1))"; }
name_of() { printf 'core-%02d\n' "$1"; }
# Seconds by a clock that nobody sets.
now() { read -r up _ </proc/uptime && echo "${up%.*}"; }
numbers() { for d in "$DIR"/[0-9]*; do [ -d "$d" ] && basename "$d"; done | sort -n; }

# The Debian root of exactly these packages; a changed list builds a new one.
root_path() { echo "$CACHE/$SUITE-$(printf %s "$SUITE $PACKAGES 2" | sha256sum | cut -c1-12)"; }

# The pid of the machine's systemd as the host sees it, or nothing when the machine is off.
leader_of() {
    is_on "$1" || return 0
    for child in $(ps --ppid "$nspawn" -o pid=); do
        # At first it has a child that is on this host still, and so would be what is run beside it.
        pids=$(readlink "/proc/$child/ns/pid") || continue
        [ "$pids" = "$(readlink /proc/self/ns/pid)" ] || { echo "$child"; return 0; }
    done
}

# True while the nspawn of machine N runs, be the machine up, not yet or no more.
is_on() { nspawn=$(cat "$DIR/$1/nspawn.pid" 2>/dev/null) && is_ours "$nspawn" "$1"; }

# Only a process that is the nspawn of this very machine may be signalled: pids are reused.
is_ours() { (tr '\0' ' ' <"/proc/$1/cmdline") 2>/dev/null | grep -qF -- "-D $DIR/$2/root "; }

inside() {
    number=$1
    shift
    leader=$(leader_of "$number")
    [ -n "$leader" ] || die "machine $number is not running"
    (
        for hierarchy in cpu cpu,cpuacct; do
            group=/sys/fs/cgroup/$hierarchy/coreos-machine-$BRIDGE-$number
            [ ! -d "$group" ] || sh -c 'echo $PPID' >"$group/cgroup.procs"
        done
        # The shell stays outside the machine's processes. When systemd stops those before it kills
        # them, an nsenter that waits for one would stop as well, and the machine never go down.
        # shellcheck disable=SC2016
        exec nsenter -t "$leader" -m -u -i -n -p --no-fork -- sh -c '"$@"; exit $?' sh "$@"
    )
}

make_bridge() {
    ip link show "$BRIDGE" >/dev/null 2>&1 && return 0
    ip link add "$BRIDGE" type bridge
    ip addr add "$NET.1/24" dev "$BRIDGE"
    ip link set "$BRIDGE" up
}

# A fresh overlay over the cached root, with identity and address written into it.
make_machine() {
    number=$1
    home=$DIR/$number
    mkdir -p "$home/upper" "$home/work" "$home/root"
    mountpoint -q "$home/root" ||
        mount -t overlay overlay -o "lowerdir=$(root_path),upperdir=$home/upper,workdir=$home/work" "$home/root"
    [ -e "$home/made" ] && return 0
    root=$home/root
    name_of "$number" >"$root/etc/hostname"
    printf '127.0.0.1 localhost\n%s %s\n' "$(address_of "$number")" "$(name_of "$number")" >"$root/etc/hosts"
    tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
    printf 'COREOS_PUBLIC_IPV4=%s\nCOREOS_PRIVATE_IPV4=%s\n' \
        "$(address_of "$number")" "$(address_of "$number")" >"$root/etc/environment"
    mkdir -p "$root/etc/systemd/network"
    printf '[Match]\nName=host0\n\n[Network]\nAddress=%s/24\nGateway=%s.1\nLinkLocalAddressing=no\n' \
        "$(address_of "$number")" "$NET" >"$root/etc/systemd/network/10-host0.network"
    rm -f "$root"/etc/ssh/ssh_host_*
    ssh-keygen -q -A -f "$root" >/dev/null
    for home_dir in root home/core; do
        mkdir -p "$root/$home_dir/.ssh"
        cp "$DIR/ssh/id_ed25519.pub" "$root/$home_dir/.ssh/authorized_keys"
        chmod 700 "$root/$home_dir/.ssh"
    done
    chroot "$root" chown -R core:core /home/core
    : >"$home/made"
}

# Switches machine N on, in control groups of its own, else machines disturb each other's accounting.
# A machine with a folder "configdrive" sees it as its config drive. The words of its file "options"
# are more of systemd-nspawn's.
switch_on() {
    number=$1
    home=$DIR/$number
    [ -z "$(leader_of "$number")" ] || return 0
    wait_off "$number"
    make_machine "$number"
    set --
    [ ! -d "$home/configdrive" ] || set -- "--bind-ro=$home/configdrive:/media/configdrive"
    # shellcheck disable=SC2046
    [ ! -f "$home/options" ] || set -- "$@" $(cat "$home/options")
    (
        for hierarchy in $CGROUPS; do
            [ -d "/sys/fs/cgroup/$hierarchy" ] || continue
            mkdir -p "/sys/fs/cgroup/$hierarchy/coreos-machine-$BRIDGE-$number"
            shares=/sys/fs/cgroup/$hierarchy/coreos-machine-$BRIDGE-$number/cpu.shares
            [ ! -e "$shares" ] || echo "${COREOS_MACHINES_SHARES:-1024}" >"$shares"
            sh -c 'echo $PPID' >"/sys/fs/cgroup/$hierarchy/coreos-machine-$BRIDGE-$number/cgroup.procs"
        done
        exec setsid systemd-nspawn -q -D "$home/root" -M "$BRIDGE-$number" --hostname="$(name_of "$number")" \
            --network-bridge="$BRIDGE" --register=no --keep-unit --resolv-conf=off --timezone=off "$@" -b \
            </dev/null >"$home/console.log" 2>&1
    ) &
    echo $! >"$home/nspawn.pid"
}

# True once machine N is up. One that applies user-data may wait for the others meanwhile; sshd does not.
is_booted() {
    [ -n "$(leader_of "$1")" ] || return 1
    if [ -d "$DIR/$1/configdrive" ]; then
        inside "$1" systemctl -q is-active ssh.service 2>/dev/null
    else
        inside "$1" systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'
    fi
}

wait_booted() {
    number=$1
    tries=0
    until is_booted "$number"; do
        tries=$((tries + 1))
        { [ "$tries" -lt 2000 ] && { [ "$tries" -lt 100 ] || is_on "$number"; }; } ||
            die "machine $number did not boot: $(tail -n 3 "$DIR/$number/console.log")"
        sleep 0.2
    done
}

boot_machine() {
    switch_on "$1"
    wait_booted "$1"
}

# A power cut: the machine's init is killed, nothing inside gets a word.
cut_power() {
    set_freezer "$1" THAWED 2>/dev/null || :
    wait_off "$1" kill
}

# wait_off N [kill]: waits until the nspawn of machine N has ended, which has its wire to clear away.
wait_off() {
    tries=0
    while is_on "$1"; do
        leader=$(leader_of "$1")
        if [ -n "$leader" ]; then
            [ $# -eq 1 ] || kill -9 "$leader" 2>/dev/null || :
        elif [ "$tries" -ge 150 ]; then
            kill -9 "$nspawn" 2>/dev/null || :
        fi
        tries=$((tries + 1))
        [ "$tries" -lt 1200 ] || die "machine $1 cannot be stopped (pid $nspawn)"
        sleep 0.1
    done
}

# Stops or resumes everything in a machine, as a hypervisor does: it notices nothing but the time.
freeze_machine() {
    [ -n "$(leader_of "$1")" ] || die "machine $1 is not running"
    set_freezer "$1" "$2" || die "there is no freezer for machine $1"
}

set_freezer() {
    freezer=/sys/fs/cgroup/freezer/coreos-machine-$BRIDGE-$1/freezer.state
    unified=/sys/fs/cgroup/unified/coreos-machine-$BRIDGE-$1/cgroup.freeze
    if [ -e "$freezer" ]; then
        echo "$2" >"$freezer"
    elif [ -e "$unified" ]; then
        if [ "$2" = FROZEN ]; then echo 1; else echo 0; fi >"$unified"
    else
        return 1
    fi
}

# The machine's end of the wire on this host.
wire_of() {
    index=$(inside "$1" cat /sys/class/net/host0/iflink)
    ip -o link | awk -F': ' -v number="$index" '$1 == number {sub(/@.*/, "", $2); print $2}'
}

remove_machine() {
    number=$1
    cut_power "$number"
    if mountpoint -q "$DIR/$number/root"; then umount "$DIR/$number/root" || umount -l "$DIR/$number/root"; fi
    for hierarchy in $CGROUPS; do
        group=/sys/fs/cgroup/$hierarchy/coreos-machine-$BRIDGE-$number
        [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || :
    done
    remove_tree "${DIR:?}/$number"
}

# Whoever is still on the way out may write something once more.
remove_tree() { rm -rf --one-file-system "$1" 2>/dev/null || { sleep 1 && rm -rf --one-file-system "$1"; }; }

discovery_runs() {
    pid=$(cat "$DIR/discovery/pid" 2>/dev/null) || return 1
    (tr '\0' ' ' <"/proc/$pid/cmdline") 2>/dev/null | grep -qF -- "--data-dir $DIR/discovery/data "
}

stop_discovery() {
    tries=0
    while discovery_runs; do
        [ "$tries" -ne 0 ] || kill "$pid"
        tries=$((tries + 1))
        [ "$tries" -lt 150 ] || kill -9 "$pid" 2>/dev/null || true
        sleep 0.1
    done
}
