#!/usr/bin/env bash
# Saves everything that cannot be built again, off this host, while all services go on: databases as dumps of one moment,
# volumes as copies, with a manifest that a restore can be held against. Any part that fails makes the whole fail.
#   backup.sh               make one backup and drop those that the policy no longer keeps
#   backup.sh --print-key   show the key of the repository, on a terminal only; keep it away from this host
# shellcheck source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/repository.sh
. "$LIBRARY/repository.sh"
# shellcheck source=lib/wal.sh
if [ "${#ARCHIVED[@]}" -gt 0 ]; then . "$LIBRARY/wal.sh"; fi

SNAPSHOT="" ADDED=0 BYTES=0

finish() {
    local code=$? now=$EPOCHSECONDS success=0
    trap - EXIT
    rm -rf "$STAGING" || code=1
    if [ "$code" -eq 0 ]; then
        success=1
        put "$STATE_DIR/backup.last" <<<"$now $BYTES" || code=1
    else
        log "failed with $code in step ${STEP:-start}"
        [ -z "$SNAPSHOT" ] || [ "$STEP" = retain ] || restic forget --quiet "$SNAPSHOT" || true
    fi
    local last=0 bytes=0
    [ ! -r "$STATE_DIR/backup.last" ] || read -r last bytes <"$STATE_DIR/backup.last"
    metrics backup <<METRICS || code=1
# HELP pretamane_backup_last_run_success 1 when the last backup succeeded in every part, else 0.
# TYPE pretamane_backup_last_run_success gauge
pretamane_backup_last_run_success $success
# HELP pretamane_backup_last_run_timestamp_seconds When the last backup ended, whatever its result.
# TYPE pretamane_backup_last_run_timestamp_seconds gauge
pretamane_backup_last_run_timestamp_seconds $now
# HELP pretamane_backup_last_success_timestamp_seconds When the last successful backup ended; 0 before the first.
# TYPE pretamane_backup_last_success_timestamp_seconds gauge
pretamane_backup_last_success_timestamp_seconds $last
# HELP pretamane_backup_duration_seconds How long the last backup took.
# TYPE pretamane_backup_duration_seconds gauge
pretamane_backup_duration_seconds $((now - STARTED))
# HELP pretamane_backup_bytes Size of what the last successful backup holds, before deduplication.
# TYPE pretamane_backup_bytes gauge
pretamane_backup_bytes $bytes
# HELP pretamane_backup_added_bytes What the last backup added to the repository.
# TYPE pretamane_backup_added_bytes gauge
pretamane_backup_added_bytes $ADDED
METRICS
    exit "$code"
}

save_databases() {
    local service volume
    while read -r -u 3 service volume; do
        log "database of $service"
        mkdir -p "$STAGING/databases/$service"
        in_service "$service"
        database dump "$service" "$STAGING/databases/$service"
        case " ${ARCHIVED[*]} " in *" $service "*) save_base "$service" ;; esac
    done 3< <(each dump)
}

# After the databases: every object that a row of the dump names was there before the row.
save_volumes() {
    local kind="$1" service volume folder
    while read -r -u 3 service volume; do
        log "volume $volume"
        folder="$(volume_folder "$volume")"
        [ -d "$folder" ] || die "volume $volume has no folder"
        mkdir -p "$STAGING/volumes"
        archive "$kind" "$folder" "$STAGING/volumes/$volume"
    done 3< <(each "$kind")
}

# The id, the size and what was added, from restic's own summary. It makes a snapshot even of what it could not read (3).
send() {
    local code=0 report="$RESTIC_CACHE_DIR/report.json"
    (cd "$STAGING" && restic backup --host "$STACK" --tag "$STACK" --ignore-ctime --json "$@" .) >"$report" || code=$?
    read -r SNAPSHOT ADDED BYTES < <(tail -n 1 "$report" | python3 -c 'import json, sys
found = json.loads(sys.stdin.readline() or "{}")
print(found.get("snapshot_id", "none"), found.get("data_added", 0), found.get("total_bytes_processed", 0))')
    [ "$SNAPSHOT" != none ] || SNAPSHOT=""
    if [ "$code" -ne 0 ] || [ -z "$SNAPSHOT" ]; then die "restic backup ended with $code"; fi
}

print_key() {
    [ -t 1 ] || die "the key is shown on a terminal only"
    cat "$RESTIC_PASSWORD_FILE"
    exit 0
}

if [ "${1:-}" = --print-key ]; then print_key; fi

lock backup
STARTED=$EPOCHSECONDS
trap finish EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
step prepare
need docker restic python3 timeout
require_data
rm -rf "$STAGING"
mkdir -p "$STAGING" "$RESTIC_CACHE_DIR"
step room
# A dump of each database, a copy of its files where its log is kept, and copies of volumes; what is mirrored is linked.
require_room "$(($(bytes_of dump) * (${#ARCHIVED[@]} > 0 ? 2 : 1) + $(bytes_of copy)))"
step repository
alone exclusive open_repository create
step databases
save_databases
step mirror
save_volumes mirror
step copy
save_volumes copy
step manifest
archive manifest "$STAGING" "$STATE_DIR/backup.hashes" "$(printf '{"stack": "%s", "release": "%s", "restic": "%s", "left_out": "%s", "database_bytes": %s}' \
    "$STACK" "$(basename "$RELEASE")" "$(restic version)" "$LEFT_OUT" "$(bytes_of dump)")"
step send
send "$@"
step retain
if [ "${#ARCHIVED[@]}" -gt 0 ]; then alone exclusive forget_wal; fi
alone exclusive retain
log "snapshot $SNAPSHOT holds $BYTES bytes, $ADDED of them new"
