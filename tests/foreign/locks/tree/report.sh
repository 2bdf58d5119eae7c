#!/bin/sh
set -e
LOCKFILE=/tmp/report.lock
if [ -e "$LOCKFILE" ]; then
    exit 0
fi
touch "$LOCKFILE"
python3 make_report.py > /srv/www/report.html
rm -f "$LOCKFILE"
