# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
# The restic repository, the database and the volumes, for backup, restore and drill.
# shellcheck shell=bash disable=SC2153  # values of stack.sh

: "${STAGING:=$DATA_DIR/backup/staging}" "${REPOSITORY_SECONDS:=120}" "${ALONE_SECONDS:=7200}"
: "${SCRATCH:=$STACK-scratch}" "${SCRATCH_SECONDS:=3600}" "${SPARE_MIB:=1024}"
: "${RESTIC_PASSWORD_FILE:=$SECRETS_DIR/host/$BACKUP_KEY}" "${RESTIC_CACHE_DIR:=$DATA_DIR/backup/cache}"
: "${RESTIC_REPOSITORY:=s3:https://s3.${REGION:-}.amazonaws.com/${BUCKET:-}/backups}"
export RESTIC_PASSWORD_FILE RESTIC_CACHE_DIR RESTIC_REPOSITORY

# The repository's id. Without an answer in time, or with the wrong key: an error.
repository_id() {
    local found
    found="$(timeout "$REPOSITORY_SECONDS" restic cat config)" || return 1
    sed -n 's/.*"id": *"\([0-9a-f]*\)".*/\1/p' <<<"$found"
}

# The repository that this host used before, or the first. One that vanished is not quietly replaced by an empty one.
open_repository() { # create|existing
    [[ "$RESTIC_REPOSITORY" != *.amazonaws.com//* ]] || die "BUCKET is not set in $HOST_FILE"
    [ -s "$RESTIC_PASSWORD_FILE" ] || die "$RESTIC_PASSWORD_FILE is not there"
    local id known=""
    [ ! -r "$STATE_DIR/repository" ] || known="$(<"$STATE_DIR/repository")"
    if ! id="$(repository_id)"; then
        if [ "$1" != create ] || [ -n "$known" ]; then die "the repository $RESTIC_REPOSITORY cannot be opened"; fi
        timeout "$REPOSITORY_SECONDS" restic init >/dev/null || die "the repository $RESTIC_REPOSITORY cannot be opened or made"
        id="$(repository_id)"
    fi
    [ -z "$known" ] || [ "$known" = "$id" ] || die "the repository is $id, but this host wrote to $known before; look, then remove $STATE_DIR/repository"
    put "$STATE_DIR/repository" <<<"$id"
    restic unlock --quiet # only locks of processes that are gone
}

# Pruning and checking want the repository for themselves (exclusive); the log of a database waits for them rather than fail.
alone() { # exclusive|shared, a command
    local how="$1"
    shift
    (
        flock "--$how" --wait "$ALONE_SECONDS" 9 || die "the repository is in use by another task of this host"
        "$@"
    ) 9>"$STATE_DIR/repository.lock"
}

# A full disk stops all that writes on this host, so what a task needs for a time is asked for before it begins.
require_room() { # bytes
    local free
    free="$(df --output=avail --block-size=1 "$DATA_DIR" | tail -n 1)"
    [ "$((free - $1))" -ge "$((SPARE_MIB << 20))" ] ||
        die "$((free >> 20)) MiB are free on $DATA_DIR; this needs $(($1 >> 20)) for a time, and $SPARE_MIB to spare"
}

# Bytes of the volumes whose service is saved in one way; a file that vanishes meanwhile is no fault.
bytes_of() { # kind
    local service volume bytes=0 found
    while read -r service volume; do
        found="$(du --summarize --bytes "$(volume_folder "$volume")" 2>/dev/null | cut -f 1)" || true
        bytes="$((bytes + ${found:-0}))"
    done < <(each "$1")
    echo "$bytes"
}

# What is in a snapshot, without its volumes that are named (* for all): bytes that fetching it needs, and bytes of its databases once
# they are restored.
snapshot_bytes() { # snapshot, volumes
    local snapshot="$1"
    shift
    restic dump --quiet --host "$STACK" "$snapshot" /manifest.json | archive bytes "$@"
}

# What `retain` keeps: the last of each of so many days, weeks and months.
retain() {
    restic forget --quiet --host "$STACK" --group-by host --keep-daily "$KEEP_DAILY" --keep-weekly "$KEEP_WEEKLY" \
        --keep-monthly "$KEEP_MONTHLY" --prune
}

# Run a verb of database.py on a service's server.
database() {
    local verb="$1" service="$2"
    shift 2
    python3 -B "$LIBRARY/database.py" "$verb" "$@" --user "${DATABASE_USER[$service]}" -- "${DATABASE_EXEC[@]}"
}

in_service() {
    DATABASE_EXEC=(docker compose --project-name "$STACK" --project-directory "$ROOT_DIR/current/compose"
        --file "$RELEASE/compose/compose.yaml" exec -T "$1")
}

# A server that lives only for a task, with the server's own image, no network and no way in but the scripts.
start_scratch() { # service, further options
    local service="$1" end="$((EPOCHSECONDS + SCRATCH_SECONDS))"
    shift
    remove_scratch
    docker run --detach --name "$SCRATCH" --network none --memory "${DATABASE_MEMORY[$service]}" --pids-limit 256 \
        --security-opt no-new-privileges:true ${DATABASE_OWNER[$service]:+--user "${DATABASE_OWNER[$service]}"} \
        --env POSTGRES_HOST_AUTH_METHOD=trust --env POSTGRES_USER="${DATABASE_USER[$service]}" "$@" "${DATABASE_IMAGE[$service]}" >/dev/null
    DATABASE_EXEC=(docker exec -i "$SCRATCH")
    # The image starts the server twice; only the second listens on TCP.
    until docker exec "$SCRATCH" pg_isready --quiet --host 127.0.0.1 -U "${DATABASE_USER[$service]}" 2>/dev/null; do
        if [ "$EPOCHSECONDS" -gt "$end" ] || [ "$(docker inspect --format '{{.State.Running}}' "$SCRATCH")" != true ]; then
            docker logs --tail 8 "$SCRATCH" >&2 || true
            die "the scratch server of $service does not start"
        fi
        sleep 0.5
    done
}

remove_scratch() { docker rm --force --volumes "$SCRATCH" >/dev/null 2>&1 || true; }

# The plan's lines of one kind: `each mirror` prints `service volume`.
each() {
    local kind service volume
    for line in "${BACKUP_PLAN[@]}"; do
        read -r kind service volume <<<"$line"
        [ "$kind" != "$1" ] || echo "$service $volume"
    done
}
