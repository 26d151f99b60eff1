#!/bin/sh
# Two slots for the system on one disk, here an image of it: what update_engine and the boot loader write
# when a new version comes, and when it fails.
set -eu
disk=$1
truncate -s 64M "$disk"
cgpt create "$disk"
cgpt add -i 3 -t coreos-rootfs -l USR-A -b 2048 -s 20480 -u 11111111-1111-4111-8111-111111111111 "$disk"
cgpt add -i 4 -t coreos-rootfs -l USR-B -b 24576 -s 20480 -u 22222222-2222-4222-8222-222222222222 "$disk"
bits() { for i in 3 4; do cgpt show -i "$i" "$disk" | grep -E 'Label|Attr'; done; }

echo "A runs and is good:"
cgpt add -i 3 -P 1 -S 1 "$disk"
bits
echo "a new version is in B, to be tried once:"
cgpt prioritize -i 4 "$disk"
cgpt add -i 4 -T 1 -S 0 "$disk"
bits
echo "the next boot takes $(cgpt next "$disk"), and its try is used up:"
bits
echo "it did not come up, so the boot after it takes $(cgpt next "$disk")"
cgpt add -i 4 -T 1 "$disk"
echo "tried again, $(cgpt next "$disk") comes up and is marked:"
cgpt add -i 4 -T 0 -S 1 "$disk"
bits
echo "from now on: $(cgpt next "$disk")"
