#!/bin/bash
if ! (set -o noclobber; echo $$ > /run/mail.lock) 2>/dev/null; then
    exit 1
fi
fetchmail --silent
