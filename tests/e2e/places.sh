#!/bin/bash
# Read by host.sh and boot.sh, which set tree, work and root: what both kinds of host have.
# shellcheck disable=SC2154,SC2164  # they set them, and `set -e`

overlaid() { # its root disk: the tree, and what is written over it
    mount --make-rprivate /
    mkdir -p "$work"/{upper,overlay,root}
    mount -t overlay host -o "lowerdir=$tree,upperdir=$work/upper,workdir=$work/overlay" "$root"
    mount -t proc proc "$root/proc"
}

devices() {
    mount -t tmpfs tmpfs "$root/run" -o mode=755
    mount -t tmpfs tmpfs "$root/tmp" -o mode=1777
    mount -t tmpfs tmpfs "$root/dev" -o mode=755
    for node in null zero full random urandom tty; do cp -a "/dev/$node" "$root/dev/$node"; done
    mkdir "$root/dev"/{pts,shm}
    mount -t devpts devpts "$root/dev/pts" -o newinstance,ptmxmode=0666,mode=0620
    mount -t tmpfs shm "$root/dev/shm"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    ln -s fd/0 "$root/dev/stdin" && ln -s fd/1 "$root/dev/stdout" && ln -s fd/2 "$root/dev/stderr"
}

shared() { # a folder that is seen from outside
    mkdir -p "$root/data" "$root/outside" "$work/shared"
    mount --bind "$work/shared" "$root/outside"
}

entered() { # from here on nothing of the machine is seen
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
}
