#!/bin/sh
# Builds the Debian root that every test machine is an overlay of, once; prints its path.
set -eu
# shellcheck source=packaging/machines/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
root=$(root_path)
if [ -d "$root" ]; then
    echo "$root"
    exit 0
fi
command -v debootstrap >/dev/null || die "debootstrap is not installed (apt-get install debootstrap)"
mkdir -p "$CACHE"
# One builds, and who comes meanwhile gets the same.
exec 9>"$CACHE/lock"
flock 9
if [ -d "$root" ]; then
    echo "$root"
    exit 0
fi
new=$(mktemp -d "$CACHE/new.XXXXXX")
trap 'rm -rf --one-file-system "$new"' EXIT
trap 'exit 130' INT TERM
mirror=$(awk '/^URIs:/ {print $2; exit} /^deb / {for (i = 2; i <= NF; i++) if ($i ~ /^[a-z+]+:\//) {print $i; exit}}' \
    /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null || true)
say "building the machine root ($SUITE; about a minute, once)"
tries=1
# shellcheck disable=SC2086
until debootstrap --variant=minbase --include="$PACKAGES" "$SUITE" "$new/root" $mirror >"$new/log" 2>&1; do
    [ "$tries" -lt 3 ] || die "debootstrap failed: $(tail -n 3 "$new/log")"
    say "debootstrap failed, trying again: $(tail -n 1 "$new/log")"
    rm -rf --one-file-system "$new/root"
    sleep $((tries * 10))
    tries=$((tries + 1))
done
chroot "$new/root" apt-get clean
chroot "$new/root" useradd --create-home --shell /bin/bash --groups sudo core
echo 'core ALL=(ALL) NOPASSWD: ALL' >"$new/root/etc/sudoers.d/core"
chroot "$new/root" systemctl -q enable systemd-networkd.service ssh.service
chroot "$new/root" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    fstrim.timer console-getty.service getty@.service systemd-networkd-wait-online.service
chmod 755 "$new/root"
mv -T "$new/root" "$root"
echo "$root"
