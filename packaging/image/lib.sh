# shellcheck shell=sh
# The parts of build.sh. Of its variables they use: TOP HERE work root kernel_dir busybox archive version conf key over
# oem slot efi more.
# shellcheck disable=SC2154

# shellcheck source=packaging/machines/lib.sh
. "$TOP/packaging/machines/lib.sh"
IMAGE_CACHE=${COREOS_IMAGE_CACHE:-$CACHE}
SECTORS_PER_MIB=2048
ESP_MIB=128 OEM_MIB=64 ROOT_MIB=512
USR_A=7130c94a-213a-4e5a-8e26-6cce9662f132
USR_B=e03dd35c-7c2d-4a47-b3fe-27f15780a57c
FIRST_BOOT_GUID=00000000-0000-0000-0000-000000000001
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git -C "$TOP" log -1 --format=%ct 2>/dev/null || echo 1)}"
export E2FSPROGS_FAKE_TIME="$SOURCE_DATE_EPOCH"

coreos() { python3 -IS "$archive" coreos "$@"; }
cgpt() { python3 -IS "$archive" cgpt "$@"; }

# package_tree NAME: the path of an unpacked package of Debian. Nothing is installed.
package_tree() {
    file=$(apt-get -q --print-uris download "$1" 2>/dev/null | awk '{print $2; exit}')
    [ -n "$file" ] || die "apt knows no package '$1' (apt-get update?)"
    tree=$IMAGE_CACHE/package-${file%.deb}
    if [ ! -d "$tree" ]; then
        mkdir -p "$IMAGE_CACHE"
        new=$(mktemp -d "$IMAGE_CACHE/new.XXXXXX")
        (cd "$new" && apt-get -q -o APT::Sandbox::User= -o Acquire::Retries=5 download "$1" >log 2>&1) ||
            die "cannot download $1: $(tail -n 1 "$new/log")"
        dpkg-deb -x "$new"/*.deb "$new/tree"
        chmod 755 "$new/tree"
        # Somebody else may have done it meanwhile.
        mv -T "$new/tree" "$tree" 2>/dev/null || [ -d "$tree" ] || die "cannot make $tree"
        rm -rf "$new"
    fi
    echo "$tree"
}

# kernel_tree PACKAGE: the unpacked kernel of a package that only depends on the current one, or is one.
kernel_tree() {
    real=$(apt-cache depends --important "$1" | awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ {print $2; exit}')
    package_tree "${real:-$1}"
}

# Only what a machine needs that runs the suite; mounted on /usr.
make_usr() {
    tree=$work/usr
    mkdir "$tree"
    tar -C "$root/usr" --exclude-from="$HERE/left-out" -cf - . | tar -C "$tree" -xpf -
    release=$(basename "$kernel_dir"/lib/modules/*)
    copy_modules "$tree/lib/modules/$release"
    install -D -m 644 "$kernel_dir/boot/vmlinuz-$release" "$tree/boot/vmlinuz"
    make_initrd "$tree/boot/initrd"
    units=$tree/lib/systemd/system
    coreos install "$tree/bin" >/dev/null
    coreos units --install "$units" --bin-dir /usr/bin >/dev/null
    cp -R "$HERE/usr/." "$tree/"
    enable_units multi-user.target.wants boot-network.service boot-health.service disk-guid.service
    enable_units boot-complete.target.requires boot-health.service
    (cd "$(package_tree systemd-boot)/lib" && cp --parents systemd/systemd-bless-boot \
        systemd/system/systemd-bless-boot.service systemd/system-generators/systemd-bless-boot-generator "$tree/lib/")
    mkdir -p "$tree/share/coreos" "$tree/share/update_engine" "$tree/share/oem"
    printf 'COREOS_RELEASE_VERSION=%s\nCOREOS_RELEASE_BOARD=amd64-usr\n' "$version" >"$tree/share/coreos/release"
    [ -z "$key" ] || install -m 644 "$key" "$tree/share/update_engine/update-payload-key.pub.pem"
    printf %s "$over" | while read -r dir; do cp -R "$dir/." "$tree/"; done
    filesystem "$1" USR 7130c94a-0000-4000-8000-000000000000 "$tree" "$(content_mib "$tree" 4)" -b 4096 -O ^has_journal
}

copy_modules() {
    mkdir -p "$1"
    from=$kernel_dir/lib/modules/$(basename "$1")
    cp "$from/modules.builtin" "$from/modules.order" "$1"
    "$busybox" depmod -n -b "$kernel_dir" "$(basename "$1")" | grep -v '^alias\|^#' >"$work/depends"
    wanted="$(cat "$HERE/modules") $(cut -d ' ' -f 1 "$HERE/watchdogs")"
    for module in $wanted; do with_dependencies "$module"; done | sort -u | while read -r path; do
        install -D -m 644 "$from/$path" "$1/$path"
    done
    chmod -R u=rwX,go=rX "$1"
    "$busybox" depmod -b "$work/usr" "$(basename "$1")"
    for index in modules.dep modules.alias modules.symbols; do LC_ALL=C sort -o "$1/$index" "$1/$index"; done
}

# The files of a module and of all that it needs.
with_dependencies() {
    awk -v name="/$1.ko:" 'index($1, name) {sub(/:$/, "", $1); for (i = 1; i <= NF; i++) print $i}' "$work/depends"
}

enable_units() {
    folder=$units/$1
    shift
    mkdir -p "$folder"
    for unit in "$@"; do ln -s "../$unit" "$folder/$unit"; done
}

# filesystem FILE LABEL UUID DIR MIB [OPTION...]: ext4 with DIR's content, of which nothing gets to be younger than
# SOURCE_DATE_EPOCH: the same bytes every time.
filesystem() {
    image=$1 label=$2 uuid=$3 content=$4 mib=$5
    shift 5
    find "$content" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    mke2fs -q -t ext4 -L "$label" -U "$uuid" -E "hash_seed=$uuid,root_owner=0:0" -m 0 "$@" -d "$content" "$image" "${mib}m" >/dev/null
    # The other two times it takes from DIR, where they are those of this build.
    used=$(dumpe2fs -h "$image" 2>/dev/null | awk '/^Inode count:/ {all = $3} /^Free inodes:/ {print all - $3}')
    seq "$used" | awk -v at="@$SOURCE_DATE_EPOCH" '{print "sif <" $1 "> atime " at "\nsif <" $1 "> ctime " at}' |
        debugfs -w -f - "$image" >/dev/null 2>&1
}

# content_mib DIR SPARE: how large a filesystem for DIR has to be.
content_mib() { echo $(($(du -sm --apparent-size "$1" | cut -f 1) * 110 / 100 + $2)); }

# make_initrd FILE: the initramfs that mounts a slot.
make_initrd() {
    base=$work/initramfs
    mkdir -p "$base/bin" "$base/lib"
    cp "$busybox" "$base/bin/"
    cp "$HERE/init" "$HERE/modules" "$HERE/watchdogs" "$base/"
    cp -R "$work/usr/lib/modules" "$base/lib/"
    with_libraries "$base" /usr/sbin/findfs /usr/sbin/blkid
    pack "$base" >"$1"
}

# The same with what it takes to choose one: Python and the suite.
make_selector() {
    select=$work/select
    mkdir -p "$select/usr/lib"
    cp "$archive" "$select/coreos.pyz"
    cp "$HERE/kexec.py" "$select/"
    with_libraries "$select" /usr/bin/python3.11
    ln -s python3.11 "$select/usr/bin/python3"
    grep '^/usr/lib/python3' "$root/var/lib/dpkg/info/libpython3.11-minimal:amd64.list" |
        while read -r path; do [ -d "$root$path" ] || install -D -m 644 "$root$path" "$select$path"; done
    cp -R "$root/usr/lib/python3.11/ctypes" "$select/usr/lib/python3.11/"
    with_libraries "$select" "$(cd "$root" && echo /usr/lib/python3.11/lib-dynload/_ctypes.*.so)"
    # Nobody could write what Python would compile.
    root_program /usr/bin/python3.11 -S -m compileall -q --invalidation-mode unchecked-hash -s "$select" \
        "$select/usr/lib/python3.11"
    { cat "$work/usr/boot/initrd"; pack "$select"; } >"$work/selector"
}

# root_program FILE ARGUMENT...: runs a program of the root here.
root_program() {
    program=$1
    shift
    PYTHONHOME=$root/usr "$root/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" \
        "$root$program" "$@"
}

# with_libraries DIR FILE...: the root's programs, and the libraries they are linked with.
with_libraries() {
    into=$1
    shift
    for file in "$@"; do
        install -D -m 755 "$root$file" "$into$file"
        LD_TRACE_LOADED_OBJECTS=1 root_program "$file" | awk '$3 ~ /^\// {print $3}' | while read -r library; do
            install -D -m 755 "$library" "$into/lib/x86_64-linux-gnu/$(basename "$library")"
        done
    done
    install -D -m 755 "$root/lib64/ld-linux-x86-64.so.2" "$into/lib64/ld-linux-x86-64.so.2"
}

pack() {
    find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    (cd "$1" && find . | LC_ALL=C sort | "$busybox" cpio -o -H newc -R 0:0 --ignore-devno --renumber-inodes 2>/dev/null)
}

# Everything that is not /usr: the state that stays when /usr is replaced.
make_root() {
    tree=$work/root
    mkdir "$tree"
    tar -C "$root" --exclude=./usr --exclude='./var/lib/apt/*' --exclude='./var/lib/dpkg/*' --exclude='./var/cache/*' \
        --exclude='./dev/*' --exclude='./run/*' -cf - . | tar -C "$tree" -xpf -
    mkdir -p "$tree/usr" "$tree/boot" "$tree/etc/coreos" "$tree/var/cache"
    : >"$tree/etc/machine-id"
    echo core >"$tree/etc/hostname"
    # Which units start is /usr's business, not that of Debian's packages.
    rm -rf "$tree"/etc/systemd/system/*.wants "$tree"/etc/systemd/system/dbus-* "$tree/etc/resolv.conf" \
        "$tree/var/lib/dbus/machine-id"
    echo nameserver 10.0.2.3 >"$tree/etc/resolv.conf"
    [ -z "$conf" ] || install -m 644 "$conf" "$tree/etc/coreos/update.conf"
    filesystem "$work/root.img" ROOT 52004f54-0000-4000-8000-000000000000 "$tree" "$ROOT_MIB"
}

make_esp() {
    esp=$work/esp.img
    rm -f "$esp"
    mkfs.vfat -F 32 -n EFI-SYSTEM -i 43500001 --invariant -C "$esp" $((ESP_MIB * 1024)) >/dev/null
    mmd -i "$esp" ::/coreos ::/EFI ::/EFI/BOOT ::/loader ::/loader/entries
    mcopy -i "$esp" "$work/usr/boot/vmlinuz" ::/coreos/vmlinuz-a
    mcopy -i "$esp" "$work/usr/boot/initrd" ::/coreos/initrd-a
    mcopy -i "$esp" "$work/selector" ::/coreos/
    mcopy -i "$esp" "$(package_tree systemd-boot-efi)/usr/lib/systemd/boot/efi/systemd-bootx64.efi" ::/EFI/BOOT/BOOTX64.EFI
    entry=selector
    [ -z "$efi" ] || entry=slot-a
    sed "s/@VERSION@/$version/; s|@MORE@|$more|; s/ *$//" "$HERE/systemd-boot/$entry.conf" >"$work/$entry.conf"
    mcopy -i "$esp" "$work/$entry.conf" ::/loader/entries/
    echo timeout 0 >"$work/loader.conf"
    mcopy -i "$esp" "$work/loader.conf" ::/loader/
}

make_disk() {
    make_root
    make_esp
    mkdir "$work/oem"
    [ -z "$efi" ] || cp -R "$HERE/systemd-boot/bin" "$work/oem/"
    if [ -n "$oem" ]; then cp -R "$oem/." "$work/oem/"; fi
    filesystem "$work/oem.img" OEM 4f454d00-0000-4000-8000-000000000000 "$work/oem" "$OEM_MIB"
    [ "$(du -m --apparent-size "$work/usr.img" | cut -f 1)" -le "$slot" ] || die "/usr does not fit into a slot of $slot MiB"
    rm -f "$1.new"
    slot_sectors=$((slot * SECTORS_PER_MIB))
    usr_b=$((270336 + slot_sectors)) oem_at=$((270336 + 2 * slot_sectors))
    config_at=$((oem_at + OEM_MIB * SECTORS_PER_MIB))
    root_at=$((config_at + 131072))
    cgpt create -c -s $((root_at + ROOT_MIB * SECTORS_PER_MIB + 4096)) -g "$FIRST_BOOT_GUID" "$1.new"
    part 1 4096 262144 efi EFI-SYSTEM 45464920-0000-4000-8000-000000000001 -B 1
    part 2 266240 4096 bios BIOS-BOOT 42494f53-0000-4000-8000-000000000002
    part 3 270336 "$slot_sectors" coreos-usr USR-A "$USR_A" -P 1 -T 0 -S 1
    part 4 "$usr_b" "$slot_sectors" coreos-usr USR-B "$USR_B"
    part 6 "$oem_at" $((OEM_MIB * SECTORS_PER_MIB)) data OEM 4f454d20-0000-4000-8000-000000000006
    part 7 "$config_at" 131072 coreos-reserved OEM-CONFIG 4f454d43-0000-4000-8000-000000000007
    part 9 "$root_at" $((ROOT_MIB * SECTORS_PER_MIB)) coreos-resize ROOT 524f4f54-0000-4000-8000-000000000009
    put esp 4096
    put usr 270336
    put oem "$oem_at"
    put root "$root_at"
    mv "$1.new" "$1"
}

# part NUMBER FIRST SECTORS TYPE LABEL GUID OPTION...
part() {
    number=$1 first=$2 sectors=$3 type=$4 label=$5 guid=$6
    shift 6
    cgpt add -i "$number" -b "$first" -s "$sectors" -t "$type" -l "$label" -u "$guid" "$@" "$disk.new"
}

# put NAME SECTOR: a partition's content, without its holes.
put() { dd if="$work/$1.img" of="$disk.new" bs=1M seek=$(($2 * 512)) oflag=seek_bytes conv=sparse,notrunc status=none; }
