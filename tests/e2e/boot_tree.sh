#!/bin/sh
# boot_tree.sh: run by mmdebstrap in the tree of the host that boots. Docker's repository is not at hand: empty packages stand for those that the bootstrap
# pins, the engine itself is Debian's. What a machine has and a namespace has not is left out.
set -eu
chroot "$1" sh -eu -c '
for each in docker-ce=5:29.7.1 docker-ce-cli=5:29.7.1 containerd.io=2.2.0 docker-buildx-plugin=0.30.0 docker-compose-plugin=5.5.0; do
    mkdir -p /tmp/empty/DEBIAN
    printf "Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: the stage\nDescription: stands for the package of that name\n" "${each%%=*}" "${each#*=}" \
        >/tmp/empty/DEBIAN/control
    dpkg-deb --build /tmp/empty /tmp/empty.deb >/dev/null
    dpkg --force-conflicts --install /tmp/empty.deb >/dev/null
    rm -rf /tmp/empty /tmp/empty.deb
done
rm -f /etc/machine-id && : >/etc/machine-id
systemctl --quiet disable docker.service docker.socket
for each in systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service systemd-logind.service \
    getty.target console-getty.service systemd-modules-load.service; do ln -sf /dev/null "/etc/systemd/system/$each"; done'
