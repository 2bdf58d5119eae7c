#!/bin/bash
# host.sh TREE WORK: becomes PID 1 of a host of its own. Started by engine.py under `unshare` with new mount, network, PID, IPC and
# UTS namespaces: nothing here is seen outside, and when this process ends the kernel ends all that runs on the host.
#   TREE  a Debian tree with an engine in it, only read (it lies under an overlay)
#   WORK  a folder for what the host writes: its root disk's changes, and the data disk as one file
set -euo pipefail
tree="$1" work="$2" root="$2/root"

mount --make-rprivate /
mkdir -p "$work"/{upper,overlay,root}
mount -t overlay host -o "lowerdir=$tree,upperdir=$work/upper,workdir=$work/overlay" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run" -o mode=755
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/dev" -o mode=755
for node in null zero full random urandom tty; do cp -a "/dev/$node" "$root/dev/$node"; done
mkdir "$root/dev"/{pts,shm}
mount -t devpts devpts "$root/dev/pts" -o newinstance,ptmxmode=0666,mode=0620
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin" && ln -s fd/1 "$root/dev/stdout" && ln -s fd/2 "$root/dev/stderr"
mount -t tmpfs shm "$root/dev/shm"

# The data disk, with an end: what fills it up does not fill the machine's. It outlives the host, as a disk outlives a reboot.
if [ ! -e "$work/data.img" ]; then
    truncate -s 12G "$work/data.img"
    mkfs.ext4 -q -F -L data -E lazy_itable_init=1,lazy_journal_init=1 "$work/data.img"
fi
mkdir -p "$root/data" "$root/outside"
mount -o loop,noatime "$work/data.img" "$root/data"
mkdir -p "$work/shared"
mount --bind "$work/shared" "$root/outside"
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
# Whoever wants the engine started or stopped says so in /outside; this process also reaps what has lost its parent.
while :; do
    dockerd --cgroup-parent "/$(cat /outside/group)" >>/outside/dockerd.log 2>&1 &
    engine=$!
    echo "$engine" >/outside/dockerd.pid
    wait "$engine" || true
    sleep 0.2
done
