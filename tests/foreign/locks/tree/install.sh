#!/bin/sh
# A mark, not a lock: the second start has nothing to do.
if [ -f /data/installed.lock ]; then
    exit 0
fi
create_tables
touch /data/installed.lock
touch yarn.lock
mkdir -p /var/lock/app
