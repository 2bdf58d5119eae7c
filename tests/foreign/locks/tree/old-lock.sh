#!/bin/sh
PIDLOCK=/run/import.lock
if [ -f "$PIDLOCK" ] && kill -0 "$(cat "$PIDLOCK")"; then
    exit 1
fi
echo $$ > "$PIDLOCK"
import_all
rm "$PIDLOCK"
