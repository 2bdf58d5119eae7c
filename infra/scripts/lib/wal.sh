# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
# The log of PostgreSQL: the copy of the server's files that it continues, the way off this host, and the way back to a moment.
# The server writes each segment of its log, compressed, into a volume of its own (archive_command); wal.sh sends that volume to the
# repository. It holds the log since the last backup that is older than a day, so that one snapshot is enough for any moment of that day.
# Of a pair each server writes its own archive, also what it receives. Where both have sent a segment of one name, the later snapshot's counts:
# an earlier leader's may end with what the new one never had. PostgreSQL itself goes along the history of time lines, never beside it.
# shellcheck shell=bash disable=SC2153,SC2154  # values of stack.sh and of the scripts

: "${SEGMENT_SECONDS:=60}" "${BASE_AGE:=93600}"

archive_folder() { volume_folder "$1-archive"; }
wal_host() { echo "$STACK-$1-wal"; }

# One query, as the superuser; its answer.
query() { "${DATABASE_EXEC[@]}" psql -XqAt -v ON_ERROR_STOP=1 -U "${DATABASE_USER[$1]}" -d template1 -c "$2" </dev/null; }

# The server's files, while it goes on, beside the dump: `base.tar`, and in `base` which server it is and where its log begins.
save_base() {
    local folder="$STAGING/databases/$1" first system
    in_service "$1"
    [ "$(query "$1" "select count(*) from pg_tablespace where spcname !~ '^pg_'")" = 0 ] ||
        die "$1 has tablespaces: a copy of its files would be without them. Drop them, or let operations.archive_every be off"
    "${DATABASE_EXEC[@]}" pg_basebackup -U "${DATABASE_USER[$1]}" --pgdata=- --format=tar --wal-method=none --checkpoint=fast \
        --no-manifest </dev/null >"$folder/base.tar"
    first="$(tar --extract --to-stdout --file "$folder/base.tar" backup_label | sed -n 's/^START WAL LOCATION: .*(file \([0-9A-F]*\))$/\1/p')"
    system="$(query "$1" 'select system_identifier from pg_control_system()')"
    [ -n "$first" ] && [ -n "$system" ] || die "the copy of $1 does not say where its log begins"
    echo "$STARTED $system $first" >"$folder/base"
}

# After a backup that succeeded: the log before the last one that is older than a day (BASE_AGE) is needed here no longer.
forget_wal() {
    local service made system first known start file name
    for service in "${ARCHIVED[@]}"; do
        start=""
        read -r _ system _ <"$STAGING/databases/$service/base"
        touch "$STATE_DIR/bases.$service"
        # Those of a server that was here before say nothing of this one.
        known="$(awk -v server="$system" '$2 "" == server ""' "$STATE_DIR/bases.$service" "$STAGING/databases/$service/base")"
        while read -r made system first; do
            if [ -z "$start" ] || [ "$((STARTED - made))" -ge "$BASE_AGE" ]; then start="$first"; fi
        done <<<"$known"
        awk -v start="$start" '$3 "" >= start ""' <<<"$known" | put "$STATE_DIR/bases.$service"
        for file in "$(archive_folder "$service")"/*.gz; do
            name="$(basename "$file" .gz)"
            # Segments, and what is named after them; the history of time lines stays.
            if [[ "$name" =~ ^[0-9A-F]{24} && "${name:8:16}" < "${start:8:16}" ]]; then rm -f -- "$file"; fi
        done
        restic forget --quiet --host "$(wal_host "$service")" --group-by host --keep-within-hourly "${KEEP_DAILY}d"
    done
}

# All that is committed now, into the repository: a record that ends it, a new segment, and the wait until that one is in the archive.
ship() {
    local segment tries folder
    in_service "$1"
    folder="$(archive_folder "$1")"
    query "$1" "select pg_logical_emit_message(true, 'wal.sh', now()::text)" >/dev/null
    segment="$(query "$1" 'select pg_walfile_name(pg_switch_wal())')"
    for ((tries = 0; tries < SEGMENT_SECONDS * 5; tries++)); do
        [ ! -e "$folder/$segment.gz" ] || break
        sleep 0.2
    done
    [ -e "$folder/$segment.gz" ] || die "$1 has not archived $segment within $SEGMENT_SECONDS s: $(query "$1" \
        "select 'failed ' || failed_count || ' times, last ' || coalesce(last_failed_wal, 'never') from pg_stat_archiver")"
    (cd "$folder" && restic backup --quiet --host "$(wal_host "$1")" --tag "$STACK" --ignore-ctime --exclude '*.part' .)
}

# Seconds since 1970 and id of each snapshot of a host, oldest first.
snapshots_of() {
    restic snapshots --host "$1" --json | python3 -c 'import json, sys
from datetime import datetime
for each in sorted(json.load(sys.stdin) or [], key=lambda each: each["time"]):
    whole, _, zone = each["time"].partition(".")
    print(int(datetime.fromisoformat(whole[:19] + "+00:00").timestamp()) if each["time"].endswith("Z") else
          int(datetime.fromisoformat(whole[:19] + each["time"][-6:]).timestamp()), each["short_id"])'
}

# The last backup that was begun before a moment (seconds since 1970).
backup_before() {
    local time id found=""
    while read -r time id; do
        if [ -n "$id" ] && [ "$time" -lt "$1" ]; then found="$id"; fi
    done < <(snapshots_of "$STACK")
    [ -n "$found" ] || die "no backup is older than $(date -u -d "@$1" +%FT%TZ)"
    echo "$found"
}

# The log from a segment on until after a moment, unpacked into a folder: the first snapshot after the moment, and those before it for
# as long as the beginning is missing.
fetch_wal() { # service, moment, first segment, folder
    local time id chosen=() each
    while read -r time id; do
        [ -n "$id" ] || continue
        chosen=("$id" "${chosen[@]}")
        if [ "$time" -gt "$2" ]; then break; fi
    done < <(snapshots_of "$(wal_host "$1")")
    [ "${#chosen[@]}" -gt 0 ] || die "the repository holds no log of $1"
    for each in "${chosen[@]}"; do
        [ ! -e "$4/$3.gz" ] || break
        restic restore --quiet --target "$STAGING/segments" "$each"
        find "$STAGING/segments" -name '*.gz' -exec mv -n -t "$4" {} +
        rm -rf "$STAGING/segments"
    done
    [ -e "$4/$3.gz" ] || die "the repository holds no log of $1 from $3 on"
}

# A server that lives only for this ($SCRATCH) continues the copy of its files that a backup ($FOUND) holds up to a moment.
replay() { # service, moment as PostgreSQL writes it (empty: as far as the log goes), and in seconds since 1970
    local service="$1" saved="$FOUND/databases/$1" work="$STAGING/replay" first
    [ -f "$saved/base.tar" ] || die "the backup holds no copy of the files of $service: its log was not archived then"
    rm -rf "$work"
    mkdir -p "$work/data" "$work/log"
    tar --extract --preserve-permissions --numeric-owner --file "$saved/base.tar" --directory "$work/data"
    read -r _ _ first <"$saved/base"
    fetch_wal "$service" "$3" "$first" "$work/log"
    {
        # shellcheck disable=SC2016  # PostgreSQL fills in what begins with a percent sign
        echo "restore_command = 'gzip -dc \"/log/%f.gz\" >\"%p\"'"
        [ -z "$2" ] || echo "recovery_target_time = '$2'"
        echo "recovery_target_action = promote"
        echo "hot_standby = off"
    } >>"$work/data/postgresql.auto.conf"
    touch "$work/data/recovery.signal"
    chmod 700 "$work" "$work/data" "$work/log"
    chown -R "${DATABASE_OWNER[$service]}" "$work"
    start_scratch "$service" --env PGDATA=/replay --volume "$work/data:/replay" --volume "$work/log:/log:ro"
}

# The databases of a server as they were at a moment: a dump of that server takes the place of the one in the backup.
rewind() { # as replay
    local saved="$FOUND/databases/$1"
    replay "$@"
    find "$saved" -type f ! -name base ! -name base.tar -delete
    database dump "$1" "$saved"
    remove_scratch
    rm -rf "$STAGING/replay"
}
