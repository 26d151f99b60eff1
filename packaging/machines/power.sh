#!/bin/sh
# power.sh cut N | on N: a power cut for machine N, or boots it again from its disk.
# power.sh pause N | resume N: freezes everything in machine N, or lets it go on.
# power.sh state N: prints on, or off once it has lost its power or has gone down by itself.
set -eu
# shellcheck source=packaging/machines/lib.sh
. "$(dirname "$0")/lib.sh"
[ $# -eq 2 ] || die "usage: power.sh cut|on|pause|resume|state N"
need_root
need_number "$2"
[ -d "$DIR/$2" ] || die "there is no machine $2"
case "$1" in
cut) cut_power "$2" ;;
on) make_bridge && boot_machine "$2" ;;
pause) freeze_machine "$2" FROZEN ;;
resume) freeze_machine "$2" THAWED ;;
state) if is_on "$2"; then echo on; else echo off; fi ;;
*) die "unknown action '$1' (cut, on, pause, resume, state)" ;;
esac
