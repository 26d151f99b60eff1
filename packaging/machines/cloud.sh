# shellcheck shell=sh
# Sourced by up.sh: machines that configure themselves from user-data. See its head; it sets these.
: "${archive:?}" "${count:?}"

# What user-data becomes before machines see it, as provisioning scripts do it: placeholders and URLs of
# the public discovery service become $1, and an etcd section of a cloud-config that says nothing about
# its cluster gets a discovery line. Data that is not text stays as it is.
fill_in() {
    case "$(head -n 1 "$2" | tr -d '\000')" in
    *'#cloud-config'* | '#!'* | Content-Type:* | MIME-Version:* | '{'*) ;;
    *) cat "$2"; return ;;
    esac
    sed -e "s#https\{0,1\}://discovery\.etcd\.io/[^[:space:]\"']*#$1#g" \
        -e "s#/{DISCOVERY_TOKEN}#/${1##*/}#g" -e "s#{DISCOVERY_TOKEN}#$1#g" \
        -e "s#/<token>#/${1##*/}#g" -e "s#<token>#$1#g" \
        -e "s#\([^A-Za-z0-9_\${]\)DISCOVERY_URL\$#\1$1#" \
        -e "s#\([^A-Za-z0-9_\${]\)DISCOVERY_URL\([^A-Za-z0-9_=}]\)#\1$1\2#g" "$2" |
        awk -v url="$1" '
            function indent(text) { match(text, /^ */); return RLENGTH }
            function is_text(text) { return text !~ /^ *(#|\r?$)/ }
            { lines[NR] = $0 }
            END {
                for (at = 1; at <= NR; at++) {
                    print lines[at]
                    if (lines[at] ~ /^[^ #-]/) inside = lines[at] ~ /^coreos:/ && lines[1] ~ /#cloud-config/
                    if (!inside || lines[at] !~ /^ +etcd2?: *(#.*)?\r?$/) continue
                    child = 0
                    for (next_ = at + 1; next_ <= NR; next_++) {
                        if (!is_text(lines[next_])) continue
                        if (indent(lines[next_]) <= indent(lines[at])) break
                        if (!child) child = indent(lines[next_])
                        if (lines[next_] ~ /^ *["\047]?(discovery|initial[-_]cluster)["\047]?:/) child = -1
                        if (child < 0) break
                    }
                    if (child > 0) printf "%*sdiscovery: %s%s\n", child, "", url, lines[at] ~ /\r$/ ? "\r" : ""
                }
            }'
}

# The user-data for this cluster: $1 with the URL in $2, or with one of our own service where one is needed.
prepare_user_data() {
    url=$2
    if [ -z "$url" ] && ! fill_in http://placeholder.invalid/token "$1" | cmp -s - "$1"; then
        service=$("$(dirname "$0")/discovery.sh" -p "$archive")
        [ -s "$DIR/discovery.url" ] || new_token "$service" >"$DIR/discovery.url"
        url=$(cat "$DIR/discovery.url")
    fi
    if [ -n "$url" ]; then fill_in "$url" "$1"; else cat "$1"; fi >"$DIR/user-data"
}

new_token() {
    token=$(curl -sSf --retry 5 --retry-all-errors "$1/new?size=$count")
    [ -n "$token" ] || die "the discovery service gave no token"
    echo "$token"
}

# Writes standard input to $1 unless that is what it holds.
put() {
    cat >"$DIR/new"
    if cmp -s "$DIR/new" "$1"; then rm "$DIR/new"; else mkdir -p "$(dirname "$1")" && mv "$DIR/new" "$1"; fi
}

# What an image of the system has: the suite, its units and settings; and the config drive. A machine that
# runs only gets the drive.
prepare_machine() {
    root=$DIR/$1/root
    latest=$DIR/$1/configdrive/openstack/latest
    make_machine "$1"
    put "$latest/user_data" <"$DIR/user-data"
    printf '{"uuid": "%s", "hostname": "%s", "public_keys": {"coreos-machines": "%s"}}\n' \
        "$(cat "$root/etc/machine-id")" "$(name_of "$1")" "$(cat "$DIR/ssh/id_ed25519.pub")" |
        put "$latest/meta_data.json"
    [ -z "$(leader_of "$1")" ] || return 0
    cp "$archive" "$root/opt/coreos.pyz"
    chroot "$root" python3 /opt/coreos.pyz install /usr/bin --units /usr/lib/systemd/system >/dev/null
    sed -n -e 's/^ID=/DISTRIB_ID=/p' -e 's/^VERSION_ID=/DISTRIB_RELEASE=/p' \
        -e 's/^VERSION_CODENAME=/DISTRIB_CODENAME=/p' -e 's/^PRETTY_NAME=/DISTRIB_DESCRIPTION=/p' \
        "$root/usr/lib/os-release" | put "$root/etc/lsb-release"
    printf 'GROUP=%s\n' "${UPDATE_CHANNEL:-alpha}" | put "$root/usr/share/coreos/update.conf"
    printf '[Socket]\nSocketGroup=core\n' | put "$root/etc/systemd/system/fleet.socket.d/10-machines.conf"
    for etcd in etcd etcd2; do printf '%s' "$ETCD_PATIENCE" | put "$root/etc/systemd/system/$etcd.service.d/10-machines.conf"; done
    chroot "$root" usermod -aG systemd-journal core
    policy=$(chroot "$root" update_engine --dbus_policy)
    echo "$policy" | put "$root/etc/dbus-1/system.d/com.coreos.update1.conf"
    for daemon in update-engine locksmithd; do # both are for machines, and these count as containers
        printf '[Unit]\nConditionVirtualization=\n' |
            put "$root/etc/systemd/system/$daemon.service.d/10-machines.conf"
    done
    chroot "$root" systemctl -q enable user-config.target update-engine.service locksmithd.service
}

# Waits until `check N` holds on every machine; $2 says what that means.
wait_for_all() {
    end=$(($(now) + 900))
    for machine in $(seq "$count"); do
        until "$1" "$machine"; do
            [ "$(now)" -lt "$end" ] || die "$(name_of "$machine") is not $2: $(last_words "$machine")"
            sleep 0.5
        done
    done
}

last_words() { inside "$1" journalctl -n 8 -o cat --no-pager -u user-configdrive -u etcd -u etcd2 -u fleet; }
is_configured() { inside "$1" systemctl -q is-active user-config.target 2>/dev/null; }
runs_fleet() { inside "$1" systemctl show -P ActiveState fleet.service | grep -qE '^(active|activating)'; }
# Leaves the machines that fleet knows in $known.
joined() { known=$(inside "$1" fleetctl list-machines 2>/dev/null) && [ "$(echo "$known" | wc -l)" -gt "$fleets" ]; }

# Brings up machines 1 to $count from user-data $1, with the discovery URL $2 if given.
up_from_user_data() {
    prepare_user_data "$1" "$2"
    for machine in $(seq "$count"); do
        [ -n "$(leader_of "$machine")" ] || say "booting $(name_of "$machine") at $(address_of "$machine")"
        prepare_machine "$machine"
        switch_on "$machine"
    done
    for machine in $(seq "$count"); do wait_booted "$machine"; done
    say "waiting for the machines to apply their user-data"
    wait_for_all is_configured "configured"
    fleets=0
    for machine in $(seq "$count"); do
        inside "$machine" systemctl -q is-failed user-configdrive.service &&
            say "$(name_of "$machine"): user-data was not applied in full: $(last_words "$machine")"
        ! runs_fleet "$machine" || fleets=$((fleets + 1))
    done
    [ "$fleets" -ne 0 ] || { say "user-data started no fleet"; return 0; }
    say "waiting for the cluster"
    for machine in $(seq "$count"); do ! runs_fleet "$machine" || break; done
    asked=$machine
    end=$(($(now) + 900))
    until joined "$asked"; do
        [ "$(now)" -lt "$end" ] || die "the cluster did not form: $(last_words "$asked")"
        sleep 0.5
    done
    echo "$known"
}
