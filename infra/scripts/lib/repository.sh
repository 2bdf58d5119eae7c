# Made by `pretamane emit` from model be67e1fd1095. Change the stack, not this file.
# The restic repository, the database and the volumes, for backup, restore and drill.
# shellcheck shell=bash disable=SC2153  # values of stack.sh

: "${STAGING:=$DATA_DIR/backup/staging}" "${REPOSITORY_SECONDS:=120}"
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

volume_folder() { docker volume inspect --format '{{.Mountpoint}}' "${STACK}_$1"; }

# The plan's lines of one kind: `each mirror` prints `service volume`.
each() {
    local kind service volume
    for line in "${BACKUP_PLAN[@]}"; do
        read -r kind service volume <<<"$line"
        [ "$kind" != "$1" ] || echo "$service $volume"
    done
}
