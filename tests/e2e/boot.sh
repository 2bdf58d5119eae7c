#!/bin/bash
# boot.sh TREE WORK: as host.sh, with systemd as PID 1 and cloud-init behind it. Control groups are this host's own (groups.sh, unshare).
#   TREE  a Debian tree with systemd, cloud-init and an engine in it, only read (it lies under an overlay)
#   WORK  a folder for what the host writes: its root disk's changes, and the data disk as one file
set -euo pipefail
tree="$1" work="$2" root="$2/root"

# shellcheck source=tests/e2e/places.sh
. "$(dirname "$0")/places.sh"
overlaid
# Without udev there are no units of devices. Where /sys is read-only systemd knows that, and leaves disks in fstab to who made the place.
mount -t sysfs sysfs "$root/sys" -o ro
mount -t tmpfs tmpfs "$root/sys/fs/cgroup" -o mode=755
while IFS=: read -r _ names _; do
    [ -n "$names" ] || continue
    folder="$root/sys/fs/cgroup/${names#name=}"
    mkdir -p "$folder"
    case "$names" in
        name=*) mount -t cgroup -o "none,$names" cgroup "$folder" ;;
        *) mount -t cgroup -o "$names" cgroup "$folder" ;;
    esac
done </proc/self/cgroup
devices
cp -a /dev/null "$root/dev/console" # a node of its own: who is given a console changes owner and mode

# The data disk under the name that EC2's rules of udev would give it.
disk="$(losetup --find --show "$work/data.img")"
cp -a "$disk" "$root/dev/"
mkdir -p "$root/dev/disk/by-id"
ln -s "../../${disk##*/}" "$root/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol1"
shared
if grep -qs ' /data ' "$root/etc/fstab"; then mount -o noatime "$disk" "$root/data"; fi
entered
exec env -i container=docker SYSTEMD_PROC_CMDLINE="systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1" /lib/systemd/systemd
