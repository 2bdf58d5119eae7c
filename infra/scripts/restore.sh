#!/usr/bin/env bash
# Made by `pretamane emit` from model be67e1fd1095. Change the stack, not this file.
# Brings a backup back: roles and databases, then volumes, then what is built from them. Only into an empty target; with
# --force what is there is moved aside first, never deleted.
#   restore.sh [--force] [--snapshot ID]
# shellcheck source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/repository.sh
. "$LIBRARY/repository.sh"

STAGING="$DATA_DIR/backup/restore" FORCE=no SNAPSHOT=latest STAMP="$(date -u +%Y%m%d%H%M%S)"
ASIDE="$DATA_DIR/backup/replaced-$STAMP"

finish() {
    local code=$?
    trap - EXIT
    rm -rf "$STAGING"
    [ "$code" -eq 0 ] || log "failed with $code in step ${STEP:-start}; run it again with --force when the cause is mended"
    exit "$code"
}

fetch() {
    rm -rf "$STAGING"
    mkdir -p "$STAGING"
    restic restore --quiet --host "$STACK" --target "$STAGING" "$SNAPSHOT"
    FOUND="$(dirname "$(find "$STAGING" -name manifest.json -not -path '*/volumes/*' | head -n 1)")"
    [ -f "$FOUND/manifest.json" ] || die "there is no manifest in the snapshot"
    archive faults "$FOUND"
}

# An engine may have written its own files already; rows of the application or objects of users stop the restore.
require_empty() {
    local service volume folder
    while read -r -u 3 service volume; do
        in_service "$service"
        database occupied "$service" || die "the database of $service is not empty (--force moves it aside)"
    done 3< <(each dump)
    while read -r -u 3 service volume; do
        folder="$(volume_folder "$volume")"
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
            folder="$(volume_folder "$volume")"
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
        --snapshot) SNAPSHOT="${2:?--snapshot needs an id}" && shift ;;
        *) die "usage: restore.sh [--force] [--snapshot ID]" ;;
    esac
    shift
done

lock backup
trap finish EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
step prepare
need docker restic python3 timeout
require_data
open_repository existing
step fetch
fetch
step stop
if [ "${#APPLICATIONS[@]}" -gt 0 ]; then compose stop --timeout 60 "${APPLICATIONS[@]}"; fi
if [ "${#STORES[@]}" -gt 0 ]; then compose up --detach --wait --wait-timeout "$START_SECONDS" --no-deps "${STORES[@]}"; fi
step empty
if [ "$FORCE" = no ]; then require_empty; fi
step databases
restore_databases
step volumes
restore_volumes
step start
up_all
step rebuild
rebuild_derived
log "restored; what was replaced is in ${ASIDE}, if anything was"
