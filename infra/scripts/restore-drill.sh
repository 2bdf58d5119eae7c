#!/usr/bin/env bash
# Made by `pretamane emit` from model be67e1fd1095. Change the stack, not this file.
# Proves that the last backup can be restored: reads a part of the whole repository, fetches the snapshot, holds every file
# against the manifest, restores the databases into a server that lives only for this, and compares them row by row.
# shellcheck source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/repository.sh
. "$LIBRARY/repository.sh"

STAGING="$DATA_DIR/backup/drill" SCRATCH="$STACK-drill" MADE=0
: "${DRILL_PARTS:=8}" "${DRILL_MAX_AGE:=129600}"

finish() {
    local code=$? now=$EPOCHSECONDS success=0 last=0
    trap - EXIT
    docker rm --force --volumes "$SCRATCH" >/dev/null 2>&1 || true
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

fetch() {
    restic restore --quiet --host "$STACK" --target "$STAGING" latest
    FOUND="$(dirname "$(find "$STAGING" -name manifest.json -not -path '*/volumes/*' | head -n 1)")"
    [ -f "$FOUND/manifest.json" ] || die "there is no manifest in the snapshot"
    MADE="$(date -d "$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["made"])' "$FOUND/manifest.json")" +%s)"
    [ "$((EPOCHSECONDS - MADE))" -le "$DRILL_MAX_AGE" ] || die "the last backup is older than $DRILL_MAX_AGE s"
    archive faults "$FOUND"
}

# The server's own image, with no network and no way in but this script.
start_scratch() {
    local service="$1" tries
    docker rm --force --volumes "$SCRATCH" >/dev/null 2>&1 || true
    docker run --detach --name "$SCRATCH" --network none --memory "${DATABASE_MEMORY[$service]}" --pids-limit 256 \
        --security-opt no-new-privileges:true --env POSTGRES_HOST_AUTH_METHOD=trust --env POSTGRES_USER="${DATABASE_USER[$service]}" \
        "${DATABASE_IMAGE[$service]}" >/dev/null
    DATABASE_EXEC=(docker exec -i "$SCRATCH")
    # The image starts the server twice; only the second listens on TCP.
    for ((tries = 0; tries < 120; tries++)); do
        ! docker exec "$SCRATCH" pg_isready --quiet --host 127.0.0.1 -U "${DATABASE_USER[$service]}" || return 0
        sleep 0.5
    done
    die "the scratch server of $service does not start"
}

drill_databases() {
    local service volume
    while read -r -u 3 service volume; do
        start_scratch "$service"
        database restore "$service" "$FOUND/databases/$service"
        database compare "$service" "$FOUND/databases/$service"
    done 3< <(each dump)
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
read_part
step fetch
fetch
step databases
drill_databases
log "the backup of $(date -u -d "@$MADE" +%FT%TZ) can be restored"
