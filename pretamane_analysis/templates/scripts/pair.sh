#!/usr/bin/env bash
# One of two hosts leads: its database takes writes, its services answer. The other one has a standby of the database and nothing else.
# Who leads is written in the bucket (lib/terms.sh), never guessed: a host that cannot read there starts no database.
#   pair.sh start          what follows from the last term: lead, or follow; a former leader is rewound first (the stack's unit)
#   pair.sh tend           look after the pair, and write what is measured of it (every ten seconds, a timer)
#   pair.sh promote        on the host that follows, when the other one is lost: lead. Refused where acknowledged changes may be missing
#                          here; --lose-data leads all the same
#   pair.sh hand-over      on the host that leads: let the other one lead, without losing anything; seconds of outage
#   pair.sh rejoin --clone a host whose copy cannot be rewound gets a new one; its old copy is deleted
#   pair.sh leads          exit code 0 where this host leads
#   pair.sh status         who leads, and how far the other one is
# shellcheck source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
: "${PAIR_HOST:?is missing in $HOST_FILE}" "${PAIR_PEER:?is missing in $HOST_FILE}" "${PAIR_PEER_ADDRESS:?is missing in $HOST_FILE}" "${BUCKET:?is missing in $HOST_FILE}"
: "${PAIR_PORT:=5432}" "${ALONE_SECONDS:=5}" "${ISOLATED_SECONDS:=0}" "${FENCE_SECONDS:=30}" "${SETTLE_SECONDS:=2}" "${PEER_SECONDS:=60}" "${POLL:=1}"
: "${MISSING_FILE:=$STATE_DIR/pair.missing}"
# shellcheck source=lib/terms.sh
. "$LIBRARY/terms.sh"

# The database of this host

sql() { compose exec -T "$PAIR_SERVICE" psql -XqAt -v ON_ERROR_STOP=1 -U "$PAIR_USER" -d postgres -c "$1" </dev/null; }

inside() { # VERB: a verb of lib/standby.sh beside the files of the database
    compose run --rm --no-deps -T --entrypoint sh "$PAIR_SERVICE" -s -- "$1" "$PAIR_PEER_ADDRESS" "$PAIR_PORT" "$PAIR_HOST" "/run/secrets/$PAIR_SECRET" <"$LIBRARY/standby.sh"
}

start_database() { compose up --detach --wait --wait-timeout "$START_SECONDS" --no-deps "$PAIR_SERVICE"; }
stop_database() { compose stop --timeout 60 "$PAIR_SERVICE"; }
receives() { running "$PAIR_SERVICE" && [ -n "$(sql "select 1 from pg_stat_wal_receiver where status = 'streaming'")" ]; }
leads_here() { running "$PAIR_SERVICE" && [ "$(sql 'select pg_is_in_recovery()')" = f ]; }

# Everything but the database: the edge first, which ends what it has begun.
stop_others() {
    local service others=()
    if [ -n "$EDGE_SERVICE" ] && running "$EDGE_SERVICE"; then compose stop --timeout "$DRAIN_SECONDS" "$EDGE_SERVICE"; fi
    while read -r service; do
        [ -z "$service" ] || [ "$service" = "$PAIR_SERVICE" ] || others+=("$service")
    done < <(docker ps --filter "label=com.docker.compose.project=$STACK" --format '{{.Label "com.docker.compose.service"}}')
    if [ "${#others[@]}" -gt 0 ]; then COMPOSE_PROFILES="$PROFILES,admin,blue,green" compose stop --timeout 30 "${others[@]}"; fi
}

# Leading

# Whose word a commit waits for: the other host's, or nobody's.
wait_for() { # HOST or nothing
    sql "alter system set synchronous_standby_names = '$1'"
    sql 'select pg_reload_conf()' >/dev/null
}

prepare_to_lead() {
    compose exec -T "$PAIR_SERVICE" psql -Xq -v ON_ERROR_STOP=1 -U "$PAIR_USER" -d postgres >/dev/null <<SQL
set synchronous_commit = local;
\\set password \`cat /run/secrets/$PAIR_SECRET\`
select 'create role replication login replication connection limit 6' where not exists (select from pg_roles where rolname = 'replication') \\gexec
select format('alter role replication password %L', :'password') \\gexec
grant execute on function pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean), pg_read_binary_file(text),
    pg_read_binary_file(text, bigint, bigint, boolean), pg_control_checkpoint() to replication;
select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = 'pair_$PAIR_PEER' and wal_status = 'lost';
select pg_create_physical_replication_slot('pair_$PAIR_PEER', true) where not exists (select from pg_replication_slots where slot_name = 'pair_$PAIR_PEER');
SQL
}

lead() {
    start_database
    if [ "$FOLLOWER" = - ]; then wait_for ""; else wait_for "$FOLLOWER"; fi
    if [ "$(sql 'select pg_is_in_recovery()')" = t ]; then
        [ "$(sql 'select pg_promote(true, 60)')" = t ] || die "the database does not take the lead"
        sql checkpoint # until then pg_rewind on the other host takes this for the old timeline
        log "promoted"
    fi
    prepare_to_lead
}

# Following

follow() {
    local state
    stop_others
    if leads_here; then stop_database; fi
    if ! running "$PAIR_SERVICE"; then
        state="$(inside state)"
        case "$state" in
            empty | half)
                await_peer
                log "copying the data of $PAIR_PEER"
                inside clone
                ;;
            leader)
                await_peer
                log "taking back what $PAIR_PEER does not have"
                inside rewind || die "this host's copy cannot be rewound: run pair.sh rejoin --clone, which deletes it and makes a new one"
                ;;
            *) inside follow ;;
        esac
    fi
    start_database
}

await_peer() {
    local end=$((SECONDS + PEER_SECONDS))
    until inside answers 2>/dev/null; do
        [ "$SECONDS" -lt "$end" ] || die "$PAIR_PEER leads, but its database does not answer; it is tried again"
        sleep "$POLL"
    done
}

# What this host would run if it led: a registry may not answer on that day.
ready_images() {
    local line service image
    COMPOSE_PROFILES="$PROFILES,$(active_color)" compose pull --quiet --ignore-buildable --policy missing || log "some images are not here yet"
    for line in "${BUILT[@]}"; do
        read -r service image <<<"$line"
        docker image inspect "$image" >/dev/null 2>&1 || PROJECT_DIR="$RELEASE/compose" compose build "$service" || log "$image is not built yet"
    done
}

converge() {
    rm -f "$MISSING_FILE"
    if [ "$LEADER" != "$PAIR_HOST" ]; then
        follow
        return
    fi
    local promoted=no
    if [ "$(inside state 2>/dev/null || true)" = standby ]; then promoted=yes; fi
    lead
    [ "${LEAD_ONLY:-no}" = no ] || return 0
    # Passwords may have changed since this host read them.
    if [ "$promoted" = yes ] && [ -x "$RELEASE/bootstrap/bootstrap.sh" ]; then
        "$RELEASE/bootstrap/bootstrap.sh" secrets || log "the secrets are those of the last start"
    fi
    up_all
    if [ "$promoted" = yes ]; then rebuild_derived; fi
}

start() {
    latest_term || die "the bucket gives no answer: nobody knows who leads, so no database is started"
    if [ "$NUMBER" -eq 0 ]; then
        [ "$PAIR_HOST" = "$PAIR_FIRST" ] || die "$PAIR_FIRST has not led yet; it is tried again"
        claim "$PAIR_HOST" - || die "the first term could not be written"
    fi
    converge
    if [ "$LEADER" != "$PAIR_HOST" ]; then ready_images; fi
}

promote() { # [--lose-data]
    latest_term || die "the bucket gives no answer: nobody knows who leads"
    [ "$LEADER" != "$PAIR_HOST" ] || die "this host leads already (pair.sh start makes it so)"
    # A leader that is cut off stops within this time, or notes that it leads alone: then nothing that it acknowledged is missing here.
    while true; do
        if receives; then
            rm -f "$MISSING_FILE"
            die "$PAIR_PEER is alive and sends its changes: run pair.sh hand-over there"
        fi
        [ "$(missing_seconds)" -lt "$FENCE_SECONDS" ] || break
        sleep "$POLL"
    done
    latest_term || die "the bucket gives no answer: nobody knows who leads"
    if [ "$FOLLOWER" != "$PAIR_HOST" ] && [ "${1:-}" != --lose-data ]; then
        die "in term $NUMBER $LEADER leads alone: changes that it acknowledged may be missing here. Bring it back, or say --lose-data"
    fi
    claim "$PAIR_HOST" - || die "another term was written, or none could be; nothing was changed"
    converge
}

hand_over() {
    latest_term || die "the bucket gives no answer"
    [ "$LEADER" = "$PAIR_HOST" ] || die "this host does not lead"
    [ "$FOLLOWER" = "$PAIR_PEER" ] || die "$PAIR_PEER does not have everything yet; see pair.sh status"
    [ "$(sql "select count(*) from pg_stat_replication where application_name = '$PAIR_PEER' and state = 'streaming'")" = 1 ] || die "$PAIR_PEER does not listen"
    stop_others
    stop_database # it ends when the other one has everything
    if ! claim "$PAIR_PEER" -; then
        converge
        die "the term could not be written; this host goes on"
    fi
    converge
}

# Tending

fence() { # WHY
    log "$1: this host stops taking writes"
    stop_database
    stop_others
}

# Seconds for which the other one has been missing.
missing_seconds() {
    [ -r "$MISSING_FILE" ] || put "$MISSING_FILE" <<<"$EPOCHSECONDS"
    echo $((EPOCHSECONDS - $(<"$MISSING_FILE")))
}

# The other one streams: soon it has everything, and from then on a commit waits for it.
engage() {
    local mark end=$((SECONDS + 5))
    [ "$STANDBY" != asynchronous ] && [ "$FOLLOWER" != "$PAIR_PEER" ] || return 0
    wait_for "$PAIR_PEER"
    sleep "$SETTLE_SECONDS" # until every session waits
    mark="$(sql 'select pg_current_wal_lsn()')"
    until [ "$(sql "select count(*) from pg_stat_replication where application_name = '$PAIR_PEER' and sync_state = 'sync' and flush_lsn >= '$mark'")" = 1 ]; do
        if [ "$SECONDS" -ge "$end" ]; then
            wait_for ""
            return 0
        fi
        sleep "$POLL"
    done
    claim "$PAIR_HOST" "$PAIR_PEER" || wait_for ""
}

# The other one is missing. Either it leads by now, or this host leads alone, or it waits: never two at a time.
alone() {
    local missing
    missing="$(missing_seconds)"
    if ! latest_term; then
        if [ "$FOLLOWER" = "$PAIR_PEER" ] && [ "$missing" -ge "$ISOLATED_SECONDS" ]; then fence "neither $PAIR_PEER nor the bucket answers, so $PAIR_PEER may lead"; fi
        return 0
    fi
    if [ "$LEADER" != "$PAIR_HOST" ]; then
        fence "$LEADER leads in term $NUMBER"
        converge
    elif [ "$FOLLOWER" = "$PAIR_PEER" ] && [ "$STANDBY" = preferred ] && [ "$missing" -ge "$ALONE_SECONDS" ] && claim "$PAIR_HOST" -; then
        wait_for ""
    fi
}

tend_leader() {
    local streaming lag behind kept sync
    IFS='|' read -r streaming lag behind sync < <(sql "select count(*), coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), flush_lsn)), 0)::bigint,
        coalesce(max(extract(epoch from replay_lag)), 0)::numeric(12, 3), count(*) filter (where sync_state = 'sync')
        from pg_stat_replication where application_name = '$PAIR_PEER' and state = 'streaming'")
    kept="$(sql "select coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)), 0)::bigint from pg_replication_slots where slot_name = 'pair_$PAIR_PEER'")"
    measured "$streaming" "$lag" "$behind" "$kept" "$sync"
    if [ "$streaming" = 1 ]; then
        rm -f "$MISSING_FILE"
        engage
    else
        alone
    fi
}

measured() { # STREAMING LAG SECONDS KEPT SYNCHRONOUS
    metrics pair <<METRICS
# HELP pretamane_pair_standby_streaming 1 while the other host of the pair receives the changes of the database, else 0.
# TYPE pretamane_pair_standby_streaming gauge
pretamane_pair_standby_streaming $1
# HELP pretamane_pair_lag_bytes Changes that the other host has not on its disk yet.
# TYPE pretamane_pair_lag_bytes gauge
pretamane_pair_lag_bytes $2
# HELP pretamane_pair_lag_seconds How late a change can be read on the other host.
# TYPE pretamane_pair_lag_seconds gauge
pretamane_pair_lag_seconds $3
# HELP pretamane_pair_slot_retained_bytes Changes that are kept on this host for the other one.
# TYPE pretamane_pair_slot_retained_bytes gauge
pretamane_pair_slot_retained_bytes $4
# HELP pretamane_pair_synchronous 1 while a commit waits until the other host has it, else 0.
# TYPE pretamane_pair_synchronous gauge
pretamane_pair_synchronous $5
# HELP pretamane_pair_term The number of the term in which this host leads.
# TYPE pretamane_pair_term counter
pretamane_pair_term $NUMBER
# HELP pretamane_pair_last_run_timestamp_seconds When the pair was last looked after.
# TYPE pretamane_pair_last_run_timestamp_seconds gauge
pretamane_pair_last_run_timestamp_seconds $EPOCHSECONDS
METRICS
}

tend() {
    known_term
    [ "$NUMBER" -gt 0 ] || return 0
    if [ "$LEADER" = "$PAIR_HOST" ]; then
        # One that was stopped because nobody answered begins again when it can know.
        if running "$PAIR_SERVICE"; then tend_leader; elif latest_term; then converge; fi
    elif receives; then
        rm -f "$MISSING_FILE"
    else
        missing_seconds >/dev/null
        if latest_term && { [ "$LEADER" = "$PAIR_HOST" ] || ! running "$PAIR_SERVICE"; }; then converge; fi
    fi
}

status_of_pair() {
    if ! latest_term; then log "the bucket gives no answer; this is what was last known"; fi
    echo "this host is $PAIR_HOST; in term $NUMBER ${LEADER:-nobody} leads, $FOLLOWER has everything"
    if leads_here; then sql "select application_name, state, sync_state, pg_wal_lsn_diff(pg_current_wal_lsn(), flush_lsn) || ' bytes behind' from pg_stat_replication"; fi
}

one_at_a_time() { # SECONDS: how long the other one may take
    mkdir -p "$STATE_DIR"
    exec {LOCK}>"$STATE_DIR/pair.lock"
    flock --wait "$1" "$LOCK" || {
        [ "$1" -gt 0 ] || exit 0
        die "another pair.sh is at work"
    }
    need docker aws timeout
    require_data
}

case "${1:-}" in
    start)
        one_at_a_time 600
        start
        ;;
    tend)
        one_at_a_time 0
        tend
        ;;
    promote)
        one_at_a_time 60
        promote "${2:-}"
        ;;
    hand-over)
        one_at_a_time 60
        hand_over
        ;;
    rejoin)
        [ "${2:-}" = --clone ] || die "say --clone: this host's copy of the data is deleted"
        one_at_a_time 60
        latest_term || die "the bucket gives no answer"
        [ "$LEADER" != "$PAIR_HOST" ] || die "this host leads; its copy is the one that counts"
        await_peer
        stop_others
        stop_database
        inside discard
        follow
        ;;
    leads)
        known_term
        [ "$LEADER" = "$PAIR_HOST" ]
        ;;
    status) status_of_pair ;;
    *) die "usage: pair.sh start|tend|promote [--lose-data]|hand-over|rejoin --clone|leads|status" ;;
esac
