#!/bin/bash
# What the public image's entry point does with an empty data folder, in its order; written anew, for the stand-in.
set -eu
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
    user="${POSTGRES_USER:-postgres}" database="${POSTGRES_DB:-${POSTGRES_USER:-postgres}}"
    mkdir -p "$PGDATA"
    chmod 700 "$PGDATA" || :
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
        initdb --username="$user" --pwfile="$POSTGRES_PASSWORD_FILE" --pgdata="$PGDATA" >/dev/null
        PGPASSWORD="$(cat "$POSTGRES_PASSWORD_FILE")"
        export PGPASSWORD
    else
        initdb --username="$user" --pgdata="$PGDATA" >/dev/null
    fi
    printf '\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"
    printf "\nlisten_addresses = '*'\n" >>"$PGDATA/postgresql.conf" # as in the image's sample
    # Reachable through its socket only, until it is ready: `pg_isready` without a host says yes to this one.
    pg_ctl -D "$PGDATA" -w -o "-c listen_addresses=''" start >/dev/null
    [ "$database" = postgres ] || psql -q -v ON_ERROR_STOP=1 -U "$user" -d postgres -c "CREATE DATABASE \"$database\""
    for each in /docker-entrypoint-initdb.d/*; do
        case "$each" in
            *.sh) if [ -x "$each" ]; then "$each"; else . "$each"; fi ;;
            *.sql) psql -v ON_ERROR_STOP=1 --no-password --no-psqlrc -U "$user" -d "$database" -f "$each" ;;
        esac
    done
    pg_ctl -D "$PGDATA" -m fast -w stop >/dev/null
    unset PGPASSWORD || :
    echo 'PostgreSQL init process complete; ready for start up.'
fi
exec "$@"
