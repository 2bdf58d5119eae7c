#!/bin/sh
# tree.sh: run by mmdebstrap in the tree of the host. Unpacks, beside the host's own packages, what the stand-ins are made of.
set -eu
chroot "$1" sh -eu -c '
mkdir -p /pool/programs /pool/database /pool/debs && cd /pool/debs && chmod 755 .
apt-get -qq -o APT::Sandbox::User=root download prometheus prometheus-alertmanager prometheus-blackbox-exporter prometheus-node-exporter \
    prometheus-postgres-exporter caddy docker-registry busybox-static
for deb in *.deb; do dpkg-deb -x "$deb" /pool/programs; done
mkdir -p /pool/postgres/partial
apt-get -qq -y --no-install-recommends --download-only -o APT::Sandbox::User=root -o Dir::Cache::archives=/pool/postgres install postgresql-17 postgresql-client-17 >/dev/null
for deb in /pool/postgres/*.deb; do case "$deb" in *llvm* | *libperl* | *perl-modules*) ;; *) dpkg-deb -x "$deb" /pool/database ;; esac; done
rm -rf /pool/debs /pool/postgres /pool/*/usr/share/doc /pool/*/usr/share/man /pool/*/usr/share/locale'
