#!/bin/sh
# A cluster on this host in one command: builds the archive if needed, starts three machines, and walks
# through what a cluster does: services, their announcements, a machine that dies, one that comes back.
# Needs neither root nor systemd; once built, no network. Leaves the cluster up.
set -eu

usage="usage: up.sh [DIR]    DIR: where the cluster lives (default: the user's state directory)"
case "${1:-}" in
-h | --help) echo "$usage"; exit 0 ;;
-*) echo "up.sh: unknown option '$1'" >&2; echo "$usage" >&2; exit 2 ;;
esac
[ $# -le 1 ] || { echo "up.sh: unexpected argument '$2'" >&2; exit 2; }

top=$(cd "$(dirname "$0")/.." && pwd)
archive=$top/dist/coreos.pyz
set -- ${1:+"--dir=$1"}

# On a busy host any answer may need more than etcdctl's second.
etcdctl() { command etcdctl --timeout 20s --total-timeout 60s "$@"; }
step() { printf '\n==> %s\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }
fail() { echo "up.sh: $*" >&2; exit 1; }

# within SECONDS COMMAND...: tries until it works; its last words and the units when it never does.
within() {
    limit=$1
    shift
    end=$(($(date +%s) + limit))
    until words=$("$@" 2>&1); do
        [ "$(date +%s)" -lt "$end" ] || {
            fleetctl list-units >&2 || :
            fail "after $limit s still not: $*${words:+ ($words)}; fleetctl journal UNIT may tell why"
        }
        sleep 0.3
    done
}

# The address of the machine a unit runs on; a machine that is gone has none any more.
machine_of() { fleetctl list-units --no-legend --full --fields=unit,machine,sub | awk -v u="$1" '$1 == u && $2 ~ "/" && $3 == "running" {sub(".*/", "", $2); print $2}'; }
moved() { now=$(machine_of "$1") && [ -n "$now" ] && [ "$now" != "$2" ]; }
announced() { [ "$(etcdctl get "/services/web/$1")" = "$(machine_of "web@$1.service"):28080" ]; }
gone() { ! etcdctl get "$1" >/dev/null 2>&1; }

if [ ! -f "$archive" ] || [ -n "$(find "$top/coreos_py" -name '*.py' -newer "$archive" | head -n 1)" ]; then
    step "building $archive"
    "$top/packaging/build.sh"
fi
coreos=$top/dist/bin/coreos

go_on() {
    cat <<EOF

The cluster is up. To go on:
    eval "\$($coreos cluster env${1:+ $1})"
    fleetctl list-units
    coreos cluster status${1:+ $1}
To stop it and delete its state:
    $coreos cluster down${1:+ $1}
EOF
}

if "$coreos" cluster status "$@" 2>/dev/null; then
    go_on "$@"
    exit 0
fi
trap 'echo; echo "interrupted; to stop what runs: $coreos cluster down $*" >&2; exit 130' INT

step "three machines, each with its own etcd member and fleetd"
run "$coreos" cluster up "$@"
environment=$("$coreos" cluster env "$@")
eval "$environment"
cd "$top/packaging/examples"
run etcdctl cluster-health
run fleetctl list-machines

step "three web servers that refuse to share a machine, their announcements, a unit for machines with an SSD"
run fleetctl start web@1 web@2 web@3
run fleetctl start web-announce@1 web-announce@2 web-announce@3
run fleetctl start disk-report
run fleetctl list-units
for i in 1 2 3; do
    within 60 announced "$i"
    run curl -sS --retry 5 --retry-connrefused "http://$(etcdctl get "/services/web/$i")/from/web@$i"
done
run etcdctl ls --recursive --sort /services

step "a fourth machine as a spare, then the power of the one that runs web@3 is cut"
run coreos cluster add "$@"
old=$(machine_of web@3.service)
run coreos cluster kill "${old##*.10}" "$@"
environment=$(coreos cluster env "$@")
eval "$environment"
within 120 moved web@3.service "$old"
within 60 announced 3
echo "web@3 moved from $old to $(machine_of web@3.service), and its announcement followed"
run curl -sS --retry 5 --retry-connrefused "http://$(etcdctl get /services/web/3)/still/here"

step "the machine comes back"
run coreos cluster resume "${old##*.10}" "$@"
four_machines() { [ "$(fleetctl list-machines --no-legend | wc -l)" -eq 4 ]; }
within 60 four_machines
run coreos cluster status "$@"

step "destroy everything, and start the three web servers again"
run fleetctl destroy web-announce@1 web-announce@2 web-announce@3 web@1 web@2 web@3 disk-report
for i in 1 2 3; do within 60 gone "/services/web/$i"; done
run fleetctl start web@1 web@2 web@3
run fleetctl list-units

go_on "$@"
