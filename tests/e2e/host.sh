#!/bin/bash
# host.sh TREE WORK: becomes PID 1 of a host of its own. Started by engine.py under `unshare` with new mount, network, PID, IPC and
# UTS namespaces: nothing here is seen outside, and when this process ends the kernel ends all that runs on the host.
#   TREE  a Debian tree with an engine in it, only read (it lies under an overlay)
#   WORK  a folder for what the host writes: its root disk's changes, and the data disk as one file
set -euo pipefail
tree="$1" work="$2" root="$2/root"

# shellcheck source=tests/e2e/places.sh
. "$(dirname "$0")/places.sh"
overlaid
mount -t sysfs sysfs "$root/sys"
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
devices

# The data disk, with an end: what fills it up does not fill the machine's. It outlives the host, as a disk outlives a reboot.
if [ ! -e "$work/data.img" ]; then
    truncate -s 12G "$work/data.img"
    mkfs.ext4 -q -F -L data -E lazy_itable_init=1,lazy_journal_init=1 "$work/data.img"
fi
shared
mount -o loop,noatime "$work/data.img" "$root/data"
entered

# Whoever wants the engine started or stopped says so in /outside; this process also reaps what has lost its parent.
while :; do
    dockerd --cgroup-parent "/$(cat /outside/group)" >>/outside/dockerd.log 2>&1 &
    engine=$!
    echo "$engine" >/outside/dockerd.pid
    wait "$engine" || true
    sleep 0.2
done
