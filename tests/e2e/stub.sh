#!/usr/lib/stand-in/busybox sh
# The programs of stubs.py under their own names. Questions of health are many and get little of the processor: busybox asks them.
ask() { exec /usr/lib/stand-in/busybox wget -q -O /dev/null "$1"; }
name="${0##*/}"
case "$name $*" in
    "loki -health"*) ask http://127.0.0.1:3100/ready ;;
    "cloudflared "*" ready") ask http://127.0.0.1:2000/ready ;;
    "mc "*) ask http://127.0.0.1:9000/minio/health/ready ;;
    "curl "*) for last; do :; done && ask "$last" ;;
esac
STAND_IN="$name" exec /usr/lib/stand-in/bin/python /usr/lib/stand-in/stubs.py "$@"
