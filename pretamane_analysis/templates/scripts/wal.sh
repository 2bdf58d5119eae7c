#!/usr/bin/env bash
# Sends the log of the database off this host, every few minutes, so that `restore.sh --to-time` can go back to any moment. Of a pair
# the host that leads sends; the other one keeps what it receives for two days, so that after a promotion nothing is missing.
# shellcheck source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/repository.sh
. "$LIBRARY/repository.sh"
# shellcheck source=lib/wal.sh
. "$LIBRARY/wal.sh"

finish() {
    local code=$? success=0 last=0 bytes=0 each
    trap - EXIT
    if [ "$code" -eq 0 ]; then
        success=1
        put "$STATE_DIR/wal.last" <<<"$STARTED" || code=1
    else
        log "failed with $code in step ${STEP:-start}"
    fi
    [ ! -r "$STATE_DIR/wal.last" ] || read -r last <"$STATE_DIR/wal.last"
    for each in "${ARCHIVED[@]}"; do
        bytes="$((bytes + $(du --summarize --bytes "$(archive_folder "$each" 2>/dev/null)" 2>/dev/null | cut -f 1 || echo 0)))"
    done
    metrics wal <<METRICS || code=1
# HELP pretamane_wal_last_run_success 1 when the log of the database last left this host, else 0.
# TYPE pretamane_wal_last_run_success gauge
pretamane_wal_last_run_success $success
# HELP pretamane_wal_last_success_timestamp_seconds Up to when everything that was committed is off this host; 0 before the first time.
# TYPE pretamane_wal_last_success_timestamp_seconds gauge
pretamane_wal_last_success_timestamp_seconds $last
# HELP pretamane_wal_archive_bytes Size of the log that is kept on this host, compressed.
# TYPE pretamane_wal_archive_bytes gauge
pretamane_wal_archive_bytes $bytes
METRICS
    exit "$code"
}

lock wal
STARTED=$EPOCHSECONDS
trap finish EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
step prepare
need docker restic python3 timeout
require_data
mkdir -p "$RESTIC_CACHE_DIR"
if [ -n "${PAIR_SERVICE:-}" ] && ! "$RELEASE/scripts/$PAIR_SCRIPT" leads; then
    step keep
    for service in "${ARCHIVED[@]}"; do
        # Segments, and what is named after them; the history of time lines stays.
        find "$(archive_folder "$service")" -name '????????????????????????*.gz' -mmin "+$((BASE_AGE / 30))" -delete
    done
    trap - EXIT
    exit 0
fi
step repository
# Only what was never opened: each look at the repository is a dozen requests, and this runs some hundred times a day.
[ -s "$STATE_DIR/repository" ] || alone exclusive open_repository create
step send
for service in "${ARCHIVED[@]}"; do
    alone shared ship "$service"
done
