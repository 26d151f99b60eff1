# shellcheck shell=sh
# Sourced by the walk.sh of the talk-* folders, which stand beside it: commands for machines that
# ../machines/up.sh has brought up, shown as a terminal shows them. ../machines/lib.sh tells what it
# reads from the environment. An election may cost any command its answer; such a command is repeated. All
# waits are for hosts much slower than any that is fit for this.

EXAMPLES=$(cd "$(dirname "$0")/.." && pwd)
MACHINES=$EXAMPLES/../machines
# On a busy host an answer may need more than etcdctl's second.
PATIENT='etcdctl() { command etcdctl --timeout 20s --total-timeout 60s "$@"; }; '

# Seconds by a clock that nobody sets.
now() { read -r up _ </proc/uptime && echo "${up%.*}"; }
step() { printf '\n==> %s\n' "$*"; }
fail() { echo "$(basename "$PWD"): $*" >&2; exit 1; }

# silently N COMMAND: a line of shell on machine N as the user core, nothing shown but what it prints.
silently() { "$MACHINES/run.sh" "$1" runuser -l core -c "$PATIENT$2" 2>&1 </dev/null; }

# answer N COMMAND: the same, with words in $said and its status in $status.
answer() {
    for _ in $(seq 30); do
        status=0
        said=$(silently "$@") || status=$?
        case "$said" in
        *'Raft Internal Error'* | *'During Leader Election'* | *'cluster is unavailable'* | *'timed out'*) sleep 2 ;;
        *'unable to communicate with etcd'* | *'googleapi: '*' 500'*) sleep 2 ;;
        *'Failed to find an active unit'*)
            # fleetctl gives a unit two seconds from its first word; what is made of this waits for longer.
            said=$(printf '%s\n' "$said" | grep -v '^Error waiting for ')
            status=0
            return
            ;;
        *) return 0 ;;
        esac
    done
}

# at N COMMAND: shows the command and what it says; it has to succeed.
at() {
    printf 'core@core-%02d $ %s\n' "$1" "$2"
    answer "$@"
    [ -z "$said" ] || printf '%s\n' "$said"
    [ "$status" -eq 0 ] || fail "status $status"
}

# refused N COMMAND: shows the command, what it says and its status; it has to fail.
refused() {
    printf 'core@core-%02d $ %s\n' "$1" "$2"
    answer "$@"
    printf '%s\n(status %d)\n' "$said" "$status"
    [ "$status" -ne 0 ] || fail "this was to be refused"
}

# within SECONDS N COMMAND [CHECK]: waits, showing nothing, until the command succeeds, and what it says
# passes CHECK, a program of awk.
within() {
    end=$(($(now) + $1))
    until said=$(silently "$2" "$3") && { [ $# -lt 4 ] || printf '%s\n' "$said" | awk "$4"; }; do
        [ "$(now)" -lt "$end" ] || fail "after $1 s still not: $3${said:+ ($said)}"
        sleep 0.3
    done
}
# Checks of fleetctl's lists: with COUNT lines below the head, and all units running on a known machine.
rows() { echo "END {exit NR != $1 + 1}"; }
all_run() { echo "/\\/.*running\$/ {n++} END {exit n != $1 || NR != $1 + 1}"; }

# soon SECONDS N COMMAND [CHECK]: the same, and then shows the command and what it has said.
soon() {
    within "$@"
    printf 'core@core-%02d $ %s\n%s\n' "$2" "$3" "$said"
}

# give N FILE...: puts files of this folder into core's home on machine N.
give() {
    number=$1
    shift
    for file in "$@"; do
        "$MACHINES/run.sh" "$number" runuser -u core -- tee "/home/core/$file" <"$file" >/dev/null
    done
}

# running N UNIT: waits until machine N hears that the unit runs.
running() {
    within 400 "$1" "fleetctl list-units --no-legend --fields=unit,sub | grep -qx '$2[[:space:]]*running'"
}

# address_of N UNIT: where alone the unit is, as machine N hears; machine_at ADDRESS: the number of that machine.
address_of() {
    within 400 "$1" "fleetctl list-units --no-legend --full --fields=unit,machine | grep '^$2[[:space:]]'" \
        '/\// {n++} END {exit n != 1 || NR != 1}'
    echo "${said##*/}"
}
machine_at() { echo "$((${1##*.} - 100))"; }

# The power of machine N: cut N, on N.
cut() { printf -- '-- the power of core-%02d is cut\n' "$1" && "$MACHINES/power.sh" cut "$1"; }
on() { printf -- '-- core-%02d is switched on\n' "$1" && "$MACHINES/power.sh" on "$1"; }

# until_off N: waits until machine N has gone down by itself.
until_off() {
    end=$(($(now) + 600))
    while [ "$("$MACHINES/power.sh" state "$1")" = on ]; do
        [ "$(now)" -lt "$end" ] || fail "core-0$1 does not go down"
        sleep 0.3
    done
    printf -- '-- core-%02d has gone down\n' "$1"
}

cd "$(dirname "$0")" || exit
"$MACHINES/run.sh" 1 true || fail "first: $MACHINES/up.sh $PWD/user-data"
