#!/bin/bash
set -eu
mkdir /var/lock/index.lock || exit 1
trap 'rmdir /var/lock/index.lock' EXIT
make_index /srv/search
