#!/bin/bash
# boot.sh TREE WORK: as host.sh, with systemd as PID 1 and cloud-init behind it. Control groups are this host's own (groups.sh, unshare).
#   TREE  a Debian tree with systemd, cloud-init and an engine in it, only read (it lies under an overlay)
#   WORK  a folder for what the host writes: its root disk's changes, and the data disk as one file
set -euo pipefail
tree="$1" work="$2" root="$2/root"

mount --make-rprivate /
mkdir -p "$work"/{upper,overlay,root}
mount -t overlay host -o "lowerdir=$tree,upperdir=$work/upper,workdir=$work/overlay" "$root"
mount -t proc proc "$root/proc"
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
mount -t tmpfs tmpfs "$root/run" -o mode=755
mount -t tmpfs tmpfs "$root/tmp" -o mode=1777
mount -t tmpfs tmpfs "$root/dev" -o mode=755
for node in null zero full random urandom tty; do cp -a "/dev/$node" "$root/dev/$node"; done
mkdir -p "$root/dev"/{pts,shm,disk/by-id}
mount -t devpts devpts "$root/dev/pts" -o newinstance,ptmxmode=0666,mode=0620
mount -t tmpfs shm "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin" && ln -s fd/1 "$root/dev/stdout" && ln -s fd/2 "$root/dev/stderr"
cp -a /dev/null "$root/dev/console" # a node of its own: who is given a console changes owner and mode

# The data disk under the name that EC2's rules of udev would give it.
disk="$(losetup --find --show "$work/data.img")"
cp -a "$disk" "$root/dev/"
ln -s "../../${disk##*/}" "$root/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol1"
mkdir -p "$root/data" "$root/outside" "$work/shared"
mount --bind "$work/shared" "$root/outside"
if grep -qs ' /data ' "$root/etc/fstab"; then mount -o noatime "$disk" "$root/data"; fi
hostname e2e
ip link set lo up
printf '127.0.0.1 localhost e2e\n' >"$root/etc/hosts"
: >"$root/etc/resolv.conf"

cd "$root"
mkdir -p .old
pivot_root . .old
cd /
umount -l /.old
mount --make-rshared /
echo 1 >/proc/sys/net/ipv4/ip_forward
echo ready >/outside/ready
exec env -i container=docker SYSTEMD_PROC_CMDLINE="systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1" /lib/systemd/systemd
