#!/usr/bin/env bash
# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
# Proves that the last backup can be restored: reads a part of the whole repository, fetches the snapshot, holds every file
# against the manifest, restores the databases into a server that lives only for this, and compares them row by row.
# shellcheck source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/repository.sh
. "$LIBRARY/repository.sh"

STAGING="$DATA_DIR/backup/drill" SCRATCH="$STACK-drill" MADE=0
# shellcheck source=lib/wal.sh
if [ "${#ARCHIVED[@]}" -gt 0 ]; then . "$LIBRARY/wal.sh"; fi
: "${DRILL_PARTS:=8}" "${DRILL_MAX_AGE:=129600}"

finish() {
    local code=$? now=$EPOCHSECONDS success=0 last=0
    trap - EXIT
    remove_scratch
    rm -rf "$STAGING"
    if [ "$code" -eq 0 ]; then
        success=1
        put "$STATE_DIR/drill.last" <<<"$now"
    else
        log "failed with $code in step ${STEP:-start}"
    fi
    [ ! -r "$STATE_DIR/drill.last" ] || read -r last <"$STATE_DIR/drill.last"
    metrics drill <<METRICS || code=1
# HELP pretamane_drill_last_run_success 1 when the last drill restored what the backup held, else 0.
# TYPE pretamane_drill_last_run_success gauge
pretamane_drill_last_run_success $success
# HELP pretamane_drill_last_run_timestamp_seconds When the last drill ended, whatever its result.
# TYPE pretamane_drill_last_run_timestamp_seconds gauge
pretamane_drill_last_run_timestamp_seconds $now
# HELP pretamane_drill_last_success_timestamp_seconds When the last successful drill ended; 0 before the first.
# TYPE pretamane_drill_last_success_timestamp_seconds gauge
pretamane_drill_last_success_timestamp_seconds $last
# HELP pretamane_drill_duration_seconds How long the last drill took.
# TYPE pretamane_drill_duration_seconds gauge
pretamane_drill_duration_seconds $((now - STARTED))
# HELP pretamane_drill_snapshot_timestamp_seconds When the backup was made that the last drill restored; 0 when it fetched none.
# TYPE pretamane_drill_snapshot_timestamp_seconds gauge
pretamane_drill_snapshot_timestamp_seconds $MADE
METRICS
    exit "$code"
}

# A different part each day, so that all of the repository is read within so many days of drills.
read_part() { restic check --quiet --read-data-subset "$((EPOCHSECONDS / 86400 % DRILL_PARTS + 1))/$DRILL_PARTS" >&2; }

# What is mirrored, such as the objects of users, may be most of it: that is read from the repository as a stream and needs no room.
fetch() {
    local service volume mirrored=() excluded=() found
    while read -r service volume; do
        mirrored+=("$volume") excluded+=(--exclude "/volumes/$volume")
    done < <(each mirror)
    SNAPSHOT="$(restic snapshots --host "$STACK" --latest 1 --json | python3 -c 'import json, sys
print(max(json.load(sys.stdin), key=lambda each: each["time"])["id"])')" || die "the repository holds no backup"
    found="$(snapshot_bytes "$SNAPSHOT" "${mirrored[@]}")"
    require_room "$((${found% *} + ${found#* }))"
    restic restore --quiet --target "$STAGING" "${excluded[@]}" "$SNAPSHOT"
    FOUND="$(dirname "$(find "$STAGING" -name manifest.json -not -path '*/volumes/*' | head -n 1)")"
    [ -f "$FOUND/manifest.json" ] || die "there is no manifest in the snapshot"
    MADE="$(date -d "$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["made"])' "$FOUND/manifest.json")" +%s)"
    [ "$((EPOCHSECONDS - MADE))" -le "$DRILL_MAX_AGE" ] || die "the last backup is older than $DRILL_MAX_AGE s"
    archive faults "$FOUND" "${mirrored[@]}"
    for volume in "${mirrored[@]}"; do
        restic dump --quiet --archive tar "$SNAPSHOT" "${FOUND#"$STAGING"}/volumes/$volume" | archive streamed "$FOUND" "$volume"
    done
    rm -rf "$FOUND/volumes"
}

drill_databases() {
    local service volume
    while read -r -u 3 service volume; do
        start_scratch "$service"
        database restore "$service" "$FOUND/databases/$service"
        database compare "$service" "$FOUND/databases/$service"
    done 3< <(each dump)
}

# From the copy of the server's files along its log to the end: everything that had left this host when the log was last sent.
drill_log() {
    local service sent gap
    for service in "${ARCHIVED[@]}"; do
        sent="$(last_sent "$service")"
        if [ "${sent:-0}" -le "$MADE" ]; then # the backup is minutes old
            alone shared ship "$service"
            sent="$(last_sent "$service")"
        fi
        replay "$service" "" "$EPOCHSECONDS"
        gap="$(log_gap "$service")"
        [ -z "$gap" ] || die "$gap"
        log "the log of $service leads to $(log_end "$service")"
    done
}

lock drill
STARTED=$EPOCHSECONDS
trap finish EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
step prepare
need docker restic python3 timeout
require_data
open_repository existing
rm -rf "$STAGING"
mkdir -p "$STAGING"
step read
alone exclusive read_part
step fetch
fetch
step databases
drill_databases
if [ "${#ARCHIVED[@]}" -gt 0 ]; then
    step log
    drill_log
fi
log "the backup of $(date -u -d "@$MADE" +%FT%TZ) can be restored"
