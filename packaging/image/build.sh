#!/bin/sh
# build.sh [-o DISK] [-u USR] [-V VERSION] ...: makes a disk image that updates itself: two slots for /usr, the
# suite in each, Debian's cloud kernel, and this folder's boot selector. `build.sh -h` tells the options, coreos-image(7)
# how to boot the image, and what is in it.
#
# Needs root, mkfs.vfat, mtools, mke2fs and apt; debootstrap makes the Debian root, once.
#
#   COREOS_IMAGE_CACHE   Debian's packages, unpacked     (default: packaging/machines' cache)
#   SOURCE_DATE_EPOCH    the time that is in the image   (default: that of the last commit)
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
TOP=$(cd "$HERE/../.." && pwd)
# shellcheck source=packaging/image/lib.sh
. "$HERE/lib.sh"

usage="usage: build.sh -o DISK | -u USR [-V VERSION] [-p ARCHIVE] [-c UPDATE.CONF] [-k PUBLIC.PEM]
                [-a DIR]... [-e DIR] [-i PACKAGE] [-s MIB] [-b] [-l OPTIONS] [-x DIR]
                [-r ROOT]

  -o DISK         make a disk image
  -u USR          make the image of a new version of /usr, for \`coreos payload build --image USR\`
  -V VERSION      the version that it says it is                (1.0.0)
  -p ARCHIVE      the suite                                     (dist/coreos.pyz)
  -c UPDATE.CONF  becomes /etc/coreos/update.conf of the disk
  -k PUBLIC.PEM   the key that payloads have to be signed with; without one, any are installed
  -a DIR          put the content of DIR over that of /usr, last
  -e DIR          put the content of DIR into the OEM partition, /usr/share/oem
  -i PACKAGE      take the kernel from this package of Debian   (linux-image-cloud-amd64)
  -s MIB          size of a slot                                (256)
  -b              let systemd-boot count the boots of a new version, not the bits; needs UEFI
  -l OPTIONS      more options for the kernel, where systemd-boot starts it
  -x DIR          put the kernel and the selector's initramfs into DIR, for qemu -kernel and -initrd
  -r ROOT         the Debian root to take                       (packaging/machines/build.sh makes one)"

disk='' usr='' version=1.0.0 archive=$TOP/dist/coreos.pyz conf='' key='' over='' oem='' slot=256 root='' efi='' boot='' more=''
kernel=linux-image-cloud-amd64
while getopts o:u:V:p:c:k:a:e:i:s:r:x:l:bh option; do
    case $option in
    o) disk=$OPTARG ;;
    u) usr=$OPTARG ;;
    V) version=$OPTARG ;;
    p) archive=$OPTARG ;;
    c) conf=$OPTARG ;;
    k) key=$OPTARG ;;
    a) over="$over$OPTARG
" ;;
    e) oem=$OPTARG ;;
    i) kernel=$OPTARG ;;
    s) slot=$OPTARG ;;
    b) efi=1 ;;
    x) boot=$OPTARG ;;
    l) more=$OPTARG ;;
    r) root=$OPTARG ;;
    h) printf '%s\n' "$usage"; exit 0 ;;
    *) die "$usage" ;;
    esac
done
shift $((OPTIND - 1))
[ $# -eq 0 ] || die "unexpected argument '$1'
$usage"
[ -n "$disk$usr" ] || die "neither -o nor -u: nothing to make
$usage"
case $slot in '' | *[!0-9]*) die "not a number of MiB: -s '$slot'" ;; esac
case $more in *'|'* | *'&'* | *\\*) die "a kernel option cannot have |, & or \\ here: -l '$more'" ;; esac
case $version in *[!A-Za-z0-9.+_-]* | '') die "not a version: -V '$version'" ;; esac
for file in "$archive" ${conf:+"$conf"} ${key:+"$key"}; do [ -r "$file" ] || die "cannot read '$file'"; done
for file in "$disk" "$usr"; do [ -d "$(dirname "$file")" ] || die "no directory for '$file'"; done
printf %s "$over" | while read -r dir; do [ -d "$dir" ] || die "no directory '$dir'"; done
[ -z "$oem" ] || [ -d "$oem" ] || die "no directory '$oem'"
missing=
for tool in apt-get dpkg-deb mcopy mke2fs mkfs.vfat; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
[ -z "$missing" ] || die "not installed:$missing"

[ "$(id -u)" -eq 0 ] || die "needs root"
[ -n "$root" ] || root=$("$TOP/packaging/machines/build.sh")
[ -x "$root/usr/bin/python3.11" ] || die "'$root' is no Debian 12 root with python3"
work=$(mktemp -d "${TMPDIR:-/tmp}/coreos-image.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "unpacking $kernel"
kernel_dir=$(kernel_tree "$kernel")
busybox=$(package_tree busybox-static)/bin/busybox
say "making /usr of $version"
make_usr "$work/usr.img"
if [ -n "$disk" ]; then
    say "making $disk"
    make_selector
    make_disk "$disk"
    [ -z "$boot" ] || { mkdir -p "$boot"; cp "$work/selector" "$work/usr/boot/vmlinuz" "$boot/"; }
fi
if [ -n "$usr" ]; then
    cp --sparse=always "$work/usr.img" "$usr.new"
    mv "$usr.new" "$usr"
fi
