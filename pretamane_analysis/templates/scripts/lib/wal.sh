# The log of PostgreSQL: the copy of the server's files that it continues, the way off this host, and the way back to a moment.
# The server writes each segment of its log, compressed, into a volume of its own (archive_command); wal.sh sends that volume to the
# repository. It holds the log since the last backup that is older than a day, so that one snapshot is enough for any moment of that day.
# Of a pair each server writes its own archive, also what it receives. Where both have sent a segment of one name, the later snapshot's counts:
# an earlier leader's may end with what the new one never had. PostgreSQL itself goes along the history of time lines, never beside it.
# shellcheck shell=bash disable=SC2153,SC2154  # values of stack.sh and of the scripts

: "${SEGMENT_SECONDS:=60}" "${BASE_AGE:=93600}"

archive_folder() { volume_folder "$1-archive"; }
wal_host() { echo "$STACK-$1-wal"; }

# Which server it is: a copy of its files and its log have the same number, also on both hosts of a pair; one that is made anew has another.
server_of() { query "$1" 'select system_identifier from pg_control_system()'; }

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
    system="$(server_of "$1")"
    [ -n "$first" ] && [ -n "$system" ] || die "the copy of $1 does not say where its log begins"
    echo "$STARTED $system $first" >"$folder/base"
}

# After a backup that succeeded: the log before the last one that is older than a day (BASE_AGE) is needed here no longer.
forget_wal() {
    local service made system first known start file name old
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
        # Of each server for itself: the last hour of one that was lost is worth more than the first of the next one.
        restic forget --quiet --host "$(wal_host "$service")" --group-by host,tags --keep-within-hourly "${KEEP_DAILY}d"
        mapfile -t old < <(snapshots_of "$(wal_host "$service")" | awk -v first="$((EPOCHSECONDS - KEEP_DAILY * 86400))" '$1 < first { print $2 }')
        if [ "${#old[@]}" -gt 0 ]; then restic forget --quiet "${old[@]}"; fi
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
    (cd "$folder" && restic backup --quiet --host "$(wal_host "$1")" --tag "$STACK" --tag "server-$(server_of "$1")" --ignore-ctime --exclude '*.part' .)
}

# Seconds since 1970 and id of each snapshot of a host, oldest first; with a server, only those of its log, and older ones that do not say.
snapshots_of() { # host, server
    restic snapshots --host "$1" --json | python3 -c 'import json, sys
from datetime import datetime
for each in sorted(json.load(sys.stdin) or [], key=lambda each: each["time"]):
    servers = [tag for tag in each.get("tags") or () if tag.startswith("server-")]
    if sys.argv[1] and servers and servers != ["server-" + sys.argv[1]]:
        continue
    whole, _, zone = each["time"].partition(".")
    print(int(datetime.fromisoformat(whole[:19] + "+00:00").timestamp()) if each["time"].endswith("Z") else
          int(datetime.fromisoformat(whole[:19] + each["time"][-6:]).timestamp()), each["short_id"])' "${2:-}"
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

# When the log that continues the backup ($FOUND) was last sent.
last_sent() {
    local server
    read -r _ server _ <"$FOUND/databases/$1/base"
    snapshots_of "$(wal_host "$1")" "$server" | tail -n 1 | cut -d ' ' -f 1
}

segments_in() { find "$1" -maxdepth 1 -name '????????????????????????.gz' -printf '%.24f\n' | sort; }

# The first place in the log, from a segment on, that no segment is there for although later ones are; empty where there is none. The last two
# parts of a segment's name say its place, whatever its time line; it holds 16 MiB.
hole() { # folder, first segment
    local place at next=$((16#${2:8:8} * 256 + 16#${2:16:8}))
    while read -r place; do
        at=$((16#${place:0:8} * 256 + 16#${place:8:8}))
        if [ "$at" -gt "$next" ]; then
            printf '%08X%08X\n' $((next / 256)) $((next % 256))
            return 0
        fi
        if [ "$at" -eq "$next" ]; then next=$((at + 1)); fi
    done < <(segments_in "$1" | cut -c 9-24 | sort -u)
}

# The log from a segment on until after a moment, unpacked into a folder: the first snapshot after the moment, and those before it, back
# to the copy of the server's files, for as long as something is missing.
fetch_wal() { # service, moment, first segment, folder, when the copy was made, server
    local time id chosen=() each size missing
    while read -r time id; do
        if [ -z "$id" ] || [ "$time" -le "$5" ]; then continue; fi
        chosen=("$id" "${chosen[@]}")
        if [ "$time" -gt "$2" ]; then break; fi
    done < <(snapshots_of "$(wal_host "$1")" "$6")
    [ "${#chosen[@]}" -gt 0 ] || die "the repository holds no log of $1"
    for each in "${chosen[@]}"; do
        missing="$(hole "$4" "$3")"
        if [ -e "$4/$3.gz" ] && [ -z "$missing" ]; then break; fi
        size="$(restic stats --json --mode restore-size "$each" | sed -n 's/.*"total_size":\([0-9]*\).*/\1/p')"
        require_room "$size"
        restic restore --quiet --target "$STAGING/segments" "$each"
        find "$STAGING/segments" -name '*.gz' -exec mv -n -t "$4" {} +
        rm -rf "$STAGING/segments"
    done
    [ -e "$4/$3.gz" ] || die "the repository holds no log of $1 from $3 on"
    missing="$(hole "$4" "$3")"
    [ -z "$missing" ] || log "segment $missing of the log of $1 is in no snapshot"
}

# A server that lives only for this ($SCRATCH) continues the copy of its files that a backup ($FOUND) holds up to a moment.
replay() { # service, moment as PostgreSQL writes it (empty: as far as the log goes), and in seconds since 1970
    local service="$1" saved="$FOUND/databases/$1" work="$STAGING/replay" first made server
    [ -f "$saved/base.tar" ] || die "the backup holds no copy of the files of $service: its log was not archived then"
    rm -rf "$work"
    mkdir -p "$work/data" "$work/log"
    tar --extract --preserve-permissions --numeric-owner --file "$saved/base.tar" --directory "$work/data"
    read -r made server first <"$saved/base"
    fetch_wal "$service" "$3" "$first" "$work/log" "$made" "$server"
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

# The last commit that a replay brought, as people read it.
log_end() { query "$1" "select coalesce(to_char(pg_last_xact_replay_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), 'its beginning')"; }

# What a replay to the end of the log could not follow, in words; empty where it followed all. The server stops without a word where a
# segment is missing. It has begun a time line since, whose history says which segment was the last; later ones that are there, of that time
# line or a younger one, were not read. And what is sent ends with a commit of that moment.
log_gap() { # service
    local last beyond sent reached
    last="$(query "$1" "with history as (select pg_read_file('pg_wal/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || '.history') as text),
        at as (select regexp_match(text, '(\\d+)\\t([0-9A-F]+/[0-9A-F]+)[^\\n]*\\n*\$') as found from history)
        select upper(lpad(to_hex(found[1]::int), 8, '0')) || substr(pg_walfile_name(found[2]::pg_lsn), 9) from at")"
    reached="$(query "$1" 'select coalesce(floor(extract(epoch from pg_last_xact_replay_timestamp())), 0)')"
    [ "${#last}" -eq 24 ] && [ -n "$reached" ] || die "the server does not say where the log of $1 ended"
    sent="$(last_sent "$1")"
    beyond="$(segments_in "$STAGING/replay/log" | awk -v last="$last" '$0 "" > last ""')"
    if [ -n "$beyond" ]; then
        echo "the log of $1 has a gap after segment $last: $(wc -l <<<"$beyond") later ones, up to $(tail -n 1 <<<"$beyond"), cannot be" \
            "reached. It ends with the last commit before $(log_end "$1"); all that was committed from then to $(date -u -d "@$sent" +%FT%TZ) is lost"
    elif [ "$reached" -lt "$((sent - SEGMENT_SECONDS))" ]; then
        echo "the log of $1 ends at $(log_end "$1"), but was sent at $(date -u -d "@$sent" +%FT%TZ): what was committed in between is lost"
    fi
}

# The databases of a server as they were at a moment: a dump of that server takes the place of the one in the backup.
rewind() { # as replay
    local saved="$FOUND/databases/$1" gap
    replay "$@"
    if [ -z "$2" ]; then
        gap="$(log_gap "$1")"
        if [ -n "$gap" ] && [ "$ACCEPT_GAP" = no ]; then
            log "$gap. Nothing was touched; --accept-gap goes that far"
            exit 3
        fi
        log "${gap:-the log of $1 leads to $(log_end "$1")}"
    fi
    find "$saved" -type f ! -name base ! -name base.tar -delete
    database dump "$1" "$saved"
    remove_scratch
    rm -rf "$STAGING/replay"
}
