#!/usr/bin/env bash
# Brings a backup back: roles and databases, then volumes, then what is built from them. Only into an empty target; with
# --force what is there is moved aside first, never deleted.
#   restore.sh [--force] [--snapshot ID]
#   restore.sh [--force] --to-time TIME    the databases alone, as they were at that moment, such as '2026-11-29 12:00:00+00'; `latest`:
#                                          as far as their log goes. Volumes stay as they are.
#              --accept-gap                with `latest`: as far as the log can be followed although later segments of it are there
# Exit codes: 0 restored; 3 the log has a gap, which is told, and nothing was touched; 75 another backup or restore is at work; any other: failed.
# shellcheck source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/repository.sh
. "$LIBRARY/repository.sh"
# shellcheck source=lib/wal.sh
if [ "${#ARCHIVED[@]}" -gt 0 ]; then . "$LIBRARY/wal.sh"; fi

STAGING="$DATA_DIR/backup/restore" FORCE=no ACCEPT_GAP=no SNAPSHOT=latest TO_TIME="" STAMP="$(date -u +%Y%m%d%H%M%S)"
ASIDE="$DATA_DIR/backup/replaced-$STAMP"

finish() {
    local code=$?
    trap - EXIT
    remove_scratch
    rm -rf "$STAGING"
    [[ "$code" =~ ^(0|3)$ ]] || log "failed with $code in step ${STEP:-start}; run it again with --force when the cause is mended"
    exit "$code"
}

# What is fetched, the databases that are restored beside what is there, and where it is kept their log of that. To a moment go the
# databases alone, so no volume is fetched then; the server that goes there needs for a time what the restored one needs later.
fetch() {
    local found elsewhere=() excluded=()
    rm -rf "$STAGING"
    mkdir -p "$STAGING"
    if [ -n "$TO_TIME" ]; then elsewhere=('*') excluded=(--exclude /volumes); fi
    found="$(snapshot_bytes "$SNAPSHOT" "${elsewhere[@]}")"
    require_room "$((${found% *} + ${found#* } * (${#ARCHIVED[@]} > 0 ? 2 : 1)))"
    restic restore --quiet --host "$STACK" --target "$STAGING" "${excluded[@]}" "$SNAPSHOT"
    FOUND="$(dirname "$(find "$STAGING" -name manifest.json -not -path '*/volumes/*' | head -n 1)")"
    [ -f "$FOUND/manifest.json" ] || die "there is no manifest in the snapshot"
    archive faults "$FOUND" "${elsewhere[@]}"
}

# A moment in seconds since 1970, and as PostgreSQL reads it.
read_time() {
    [ "${#ARCHIVED[@]}" -gt 0 ] || die "no log of a database is archived here, so there is no going back to a moment"
    if [ "$TO_TIME" = latest ]; then
        SECOND="$EPOCHSECONDS" MOMENT=""
    else
        SECOND="$(date -d "$TO_TIME" +%s)" || die "$TO_TIME is no time that date understands"
        MOMENT="$(date -u -d "$TO_TIME" '+%F %T.%6N+00')"
        [ "$SECOND" -le "$EPOCHSECONDS" ] || die "$MOMENT is not over yet"
    fi
}

# While all goes on: what is not off the host yet goes first, where the server runs; then a server of its own goes to the moment.
rewind_databases() {
    local service volume
    for service in "${ARCHIVED[@]}"; do
        if running "$service" && ! alone shared ship "$service"; then log "the last minutes of $service could not be sent"; fi
    done
    SNAPSHOT="$(backup_before "$SECOND")"
    fetch
    while read -r -u 3 service volume; do
        case " ${ARCHIVED[*]} " in
            *" $service "*) rewind "$service" "$MOMENT" "$SECOND" ;;
            *) die "the log of $service is not archived" ;;
        esac
    done 3< <(each dump)
}

# An engine may have written its own files already; rows of the application or objects of users stop the restore.
require_empty() {
    local service volume folder
    while read -r -u 3 service volume; do
        in_service "$service"
        database occupied "$service" || die "the database of $service is not empty (--force moves it aside)"
    done 3< <(each dump)
    [ -z "$TO_TIME" ] || return 0
    while read -r -u 3 service volume; do
        folder="$(made_volume "$volume")"
        archive occupied "$folder" || die "volume $volume is not empty (--force moves its files aside)"
    done 3< <(each mirror)
}

restore_databases() {
    local service volume pair aside=""
    [ "$FORCE" = no ] || aside="_before_restore_$STAMP"
    while read -r -u 3 service volume; do
        in_service "$service"
        database restore "$service" "$FOUND/databases/$service" --aside "$aside"
        database compare "$service" "$FOUND/databases/$service"
        # The dump holds the passwords of its day; this host may have newer ones. A role that the dump has not is made elsewhere.
        for pair in ${DATABASE_SECRETS[$service]}; do
            "${DATABASE_EXEC[@]}" psql -Xq -v ON_ERROR_STOP=1 -U "${DATABASE_USER[$service]}" -d template1 <<SQL
\\set password \`cat /run/secrets/${pair##*:}\`
select format('alter role %I password %L', rolname, :'password') from pg_roles where rolname = '${pair%%:*}' \\gexec
SQL
        done
    done 3< <(each dump)
}

# Of a service with two colors, both, of each replica: none of them is called what the service is called.
stop_service() {
    local each found=()
    for each in "${COLORED[@]%%:*}"; do
        if [[ "$each" =~ ^"$1"(-[0-9]+)?$ ]]; then found+=("$each-blue" "$each-green"); fi
    done
    compose stop --timeout 60 "${found[@]:-$1}"
}

restore_volumes() {
    local kind service volume folder
    for kind in mirror copy; do
        while read -r -u 3 service volume; do
            [ -d "$FOUND/volumes/$volume" ] || die "the backup holds no volume $volume"
            folder="$(made_volume "$volume")"
            stop_service "$service"
            if [ -n "$(ls -A "$folder")" ]; then
                mkdir -p "$ASIDE/$volume"
                archive put "$folder" "$ASIDE/$volume"
            fi
            archive put "$FOUND/volumes/$volume" "$folder"
        done 3< <(each "$kind")
    done
}

while [ $# -gt 0 ]; do
    case "$1" in
        --force) FORCE=yes ;;
        --accept-gap) ACCEPT_GAP=yes ;;
        --snapshot) SNAPSHOT="${2:?--snapshot needs an id}" && shift ;;
        --to-time) TO_TIME="${2:?--to-time needs a time}" && shift ;;
        *) die "usage: restore.sh [--force] [--snapshot ID | --to-time TIME [--accept-gap]]" ;;
    esac
    shift
done

[ -z "$TO_TIME" ] || read_time
lock backup
trap finish EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
step prepare
need docker restic python3 timeout
require_data
if [ -n "${PAIR_SERVICE:-}" ] && ! "$RELEASE/scripts/$PAIR_SCRIPT" leads; then die "this host follows: restore on the one that leads"; fi
open_repository existing
if [ -z "$TO_TIME" ]; then
    step fetch
    fetch
else
    step rewind
    rewind_databases
fi
step stop
if [ "${#APPLICATIONS[@]}" -gt 0 ]; then compose stop --timeout 60 "${APPLICATIONS[@]}"; fi
own_volumes
if [ "${#STORES[@]}" -gt 0 ]; then compose up --detach --wait --wait-timeout "$START_SECONDS" --no-deps "${STORES[@]}"; fi
step empty
if [ "$FORCE" = no ]; then require_empty; fi
step databases
restore_databases
if [ -z "$TO_TIME" ]; then
    step volumes
    restore_volumes
fi
step start
up_all
step rebuild
rebuild_derived
log "restored; what was replaced is in ${ASIDE}, if anything was"
if [ "${#ARCHIVED[@]}" -gt 0 ]; then log "make a backup now: the log of a new server begins with it"; fi
