# shellcheck shell=sh
# Runs where the database's files are, while its server is stopped: sh -s -- VERB PEER PORT HOST SECRET
#   state    empty, half (a copy that did not end), standby, or leader (it led when it stopped)
#   answers  whether the other one's server is there and leads
#   discard  delete this one's data
#   clone    a copy of the other one's data, into an empty folder
#   rewind   take back what this one wrote and the other one does not have
#   follow   be its standby from the next start on
set -eu
umask 077
verb="$1" peer="$2" port="$3" host="$4" secret="$5"
PGPASSWORD="$(cat "$secret")" PGCONNECT_TIMEOUT=5
export PGPASSWORD PGCONNECT_TIMEOUT LC_ALL=C
server="host=$peer port=$port user=replication application_name=$host sslmode=prefer"

state() {
    if [ ! -e "$PGDATA/PG_VERSION" ]; then
        echo empty
    elif [ ! -e "$PGDATA/global/pg_control" ]; then
        echo half # the copy's last file
    elif [ -e "$PGDATA/standby.signal" ]; then
        echo standby
    else
        echo leader
    fi
}

# A password file, because what PostgreSQL is told by `primary_conninfo` every superuser can read.
follow() {
    conf="$PGDATA/postgresql.auto.conf"
    printf '*:*:*:replication:%s\n' "$(printf %s "$PGPASSWORD" | sed 's/[\\:]/\\&/g')" >"$PGDATA/pair.pass"
    touch "$conf"
    grep -Ev '^(primary_conninfo|primary_slot_name|synchronous_standby_names) *=' "$conf" >"$conf.next" || true
    printf "primary_conninfo = '%s passfile=%s'\nprimary_slot_name = 'pair_%s'\n" "$server" "$PGDATA/pair.pass" "$host" >>"$conf.next"
    mv -f "$conf.next" "$conf"
    rm -rf "$PGDATA"/pg_replslot/*
    touch "$PGDATA/standby.signal"
}

# Segments that came with the copy count as archived, which they are on the other host alone: this one's archive wants them too.
archive_again() {
    for each in "$PGDATA"/pg_wal/archive_status/*.done; do
        [ ! -e "$each" ] || mv -f "$each" "${each%.done}.ready"
    done
}

case "$verb" in
    state) state ;;
    answers)
        # It leads, and has written down in which timeline: from one that has not, nothing can be taken back.
        [ "$(psql -XqAt -d "$server dbname=postgres" -c "select case when pg_is_in_recovery() then false else timeline_id =
            ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int end from pg_control_checkpoint()")" = t ]
        ;;
    clone)
        case "$(state)" in
            empty) ;;
            half) find "$PGDATA" -mindepth 1 -delete ;;
            *) echo "there is data already" >&2 && exit 3 ;;
        esac
        chmod 700 "$PGDATA" 2>/dev/null || true
        pg_basebackup -D "$PGDATA" -d "$server" --slot="pair_$host" --wal-method=stream --checkpoint=fast --no-password
        archive_again
        follow
        ;;
    discard) find "$PGDATA" -mindepth 1 -delete ;;
    rewind)
        # It ends a crash by a server of its own, which knows nothing of the container's command line: told as the last one was.
        pg_controldata "$PGDATA" | sed -n -e 's/max_prepared_xacts/max_prepared_transactions/' -e 's/max_locks_per_xact/max_locks_per_transaction/' \
            -e 's/^\(wal_level\|wal_log_hints\|max_[a-z_]*\) setting: */\1 = /p' >>"$PGDATA/postgresql.auto.conf"
        pg_rewind -D "$PGDATA" --source-server="$server dbname=postgres"
        archive_again
        follow
        ;;
    follow) follow ;;
    *) exit 64 ;;
esac
