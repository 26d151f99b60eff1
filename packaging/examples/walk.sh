# shellcheck shell=sh
# Sourced by the walk.sh of the talk-* folders, which stand beside it: commands for machines that
# ../machines/up.sh has brought up, shown as a terminal shows them. ../machines/lib.sh tells what it
# reads from the environment. An election may cost any command its answer; such a command is repeated.

EXAMPLES=$(cd "$(dirname "$0")/.." && pwd)
MACHINES=$EXAMPLES/../machines
# On a busy host an answer may need more than etcdctl's second.
PATIENT='etcdctl() { command etcdctl --timeout 20s --total-timeout 60s "$@"; }; '

step() { printf '\n==> %s\n' "$*"; }
fail() { echo "$(basename "$PWD"): $*" >&2; exit 1; }

# silently N COMMAND: a line of shell on machine N as the user core, nothing shown but what it prints.
silently() { "$MACHINES/run.sh" "$1" runuser -l core -c "$PATIENT$2" 2>&1 </dev/null; }

# answer N COMMAND: the same, with words in $said and its status in $status.
answer() {
    for _ in 1 2 3 4 5; do
        status=0
        said=$(silently "$@") || status=$?
        case "$said" in
        *'Raft Internal Error'* | *'During Leader Election'* | *'cluster is unavailable'* | *'timed out'*) sleep 2 ;;
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

# within SECONDS N COMMAND: waits, showing nothing, until the command succeeds.
within() {
    end=$(($(date +%s) + $1))
    until said=$(silently "$2" "$3"); do
        [ "$(date +%s)" -lt "$end" ] || fail "after $1 s still not: $3${said:+ ($said)}"
        sleep 0.3
    done
}

# soon SECONDS N COMMAND: the same, and then shows the command and what it says.
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
    within 180 "$1" "fleetctl list-units --no-legend --fields=unit,sub | grep -qx '$2[[:space:]]*running'"
}

# address_of N UNIT: where the unit runs, as machine N hears; machine_at ADDRESS: the number of that machine.
address_of() {
    silently "$1" "fleetctl list-units --no-legend --full --fields=unit,machine" |
        awk -v unit="$2" '$1 == unit {sub(".*/", "", $2); print $2}'
}
machine_at() { echo "$((${1##*.} - 100))"; }

# The power of machine N: cut N, on N.
cut() { printf -- '-- the power of core-%02d is cut\n' "$1" && "$MACHINES/power.sh" cut "$1"; }
on() { printf -- '-- core-%02d is switched on\n' "$1" && "$MACHINES/power.sh" on "$1"; }

# until_off N: waits until machine N has gone down by itself.
until_off() {
    end=$(($(date +%s) + 300))
    while "$MACHINES/run.sh" "$1" true 2>/dev/null; do
        [ "$(date +%s)" -lt "$end" ] || fail "core-0$1 does not go down"
        sleep 0.3
    done
    printf -- '-- core-%02d has gone down\n' "$1"
}

cd "$(dirname "$0")" || exit
"$MACHINES/run.sh" 1 true || fail "first: $MACHINES/up.sh $PWD/user-data"
