#!/usr/bin/env bash
# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
# Puts a release into service without a failed request: the idle color starts beside the one that serves, proves itself to
# the engine and to the edge, takes one request in sixteen and then all of them while the other one stands by and the error
# ratio is watched, and only then does the old color end. Whatever fails before that gives the old color back. Killed at any point, it is run again and
# finds its way.
#   deploy.sh                       this release again: fresh containers of what is installed
#   deploy.sh --bundle FILE SHA256  a new release from a bundle (a file or an s3:// address)
#   --no-jobs                       skip migrations and the like (rollback.sh does)
#   --colors                        only change the color, such as for a secret that got another value (rotate-secret.sh does)
#   --allow-restarts                go on although the edge or a store must be recreated, which is an outage
# shellcheck source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

: "${HEALTH_SECONDS:=$START_SECONDS}" "${EDGE_SECONDS:=60}" "${EDGE_RENEWS:=10}" "${POLL:=1}" "${KEEP_RELEASES:=5}" "${MIN_FREE_MIB:=1024}"
JOBS_TOO=yes REST_TOO=yes RESTARTS=no POINT=before TRAFFIC=no NEW="" OLD=""

# Fetch, verify, unpack; a bundle that does not have the sum that was asked for is never opened. What is unpacked is for the users of
# the containers to read, and an archive without folders has them made with this umask.
install_bundle() (
    umask 022
    file="$1" sum="$2" folder="$ROOT_DIR/releases/$2"
    [[ "$sum" =~ ^[0-9a-f]{64}$ ]] || die "a SHA-256 in hexadecimal is expected"
    if [ ! -d "$folder" ]; then
        mkdir -p "$ROOT_DIR/releases"
        if [[ "$file" == s3://* ]]; then
            aws s3 cp --only-show-errors "$file" "$folder.tar.gz"
            file="$folder.tar.gz"
        fi
        sha256sum --check --status <<<"$sum  $file" || die "$file does not have the SHA-256 $sum"
        rm -rf "$folder.part"
        mkdir -m 755 "$folder.part"
        tar -xzf "$file" --no-same-owner -C "$folder.part"
        mv -T "$folder.part" "$folder"
        rm -f "$folder.tar.gz"
    fi
    echo "$folder"
)

colored() {
    local service
    for service in "${COLORED[@]}"; do
        echo "${service%%:*}-$1"
    done
}

every() { # CHECK COLOR: whether it holds for all services of a color
    local service
    for service in $(colored "$2"); do
        "$1" "$service" || return 1
    done
}

some() { # CHECK COLOR: whether it holds for any service of a color
    local service
    for service in $(colored "$2"); do
        if "$1" "$service"; then return 0; fi
    done
    return 1
}

until_true() { # SECONDS WHAT COMMAND...
    local end=$((SECONDS + $1)) what="$2"
    shift 2
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || die "$what: not within the time"
        sleep "$POLL"
    done
}

edge_metrics() { compose exec -T "$EDGE_SERVICE" wget -q -O - "http://127.0.0.1:$EDGE_METRICS_PORT/metrics" </dev/null; }

# Whether the edge's network leads to a color that says it is ready.
reached() {
    local service
    for service in "${COLORED[@]}"; do
        compose exec -T "$EDGE_SERVICE" wget -q -O /dev/null "http://${service%%:*}-$1:${service##*:}/readyz" </dev/null || return 1
    done
}

# The edge's own view, from its active health checks; Caddy renews the metric every 10 s.
seen_by_edge() {
    local found service
    found="$(edge_metrics)" || return 1
    for service in "${COLORED[@]}"; do
        awk -v name="${service%%:*}-$1:${service##*:}" 'index($1, "caddy_reverse_proxy_upstreams_healthy{") == 1 &&
            index($1, "upstream=\"" name "\"") { seen = $2 } END { exit seen != 1 }' <<<"$found" || return 1
    done
}

# Requests of users, and how many of them ended with 5xx. Caddy counts a request in each handler that it passes; EDGE_HANDLER sees each once.
edge_counts() {
    local found
    found="$(edge_metrics)" || return 1
    awk -v handler="handler=\"$EDGE_HANDLER\"" '/^caddy_http_request_duration_seconds_count\{/ && /server="public"/ && index($1, handler) {
            total += $2
            if ($1 ~ /code="5[0-9][0-9]"/) bad += $2
        }
        END { print total + 0, bad + 0 }' <<<"$found"
}

# Of two colors that are ready the edge sends requests to this one: all of them, or some, one of sixteen. It looks for two files at
# each request, so the word is obeyed at once. Where it cannot be told it is not running, and sends nobody anything.
prefer() { # COLOR all|some
    local words
    [ -n "$EDGE_SERVICE" ] || return 0
    case "$1 $2" in
        "green all") words="touch some most" ;;
        "green some") words="touch some && rm -f most" ;;
        "blue some") words="touch most && rm -f some" ;;
        "blue all") words="rm -f some most" ;;
    esac
    compose exec -T "$EDGE_SERVICE" sh -c "mkdir -p $EDGE_CHOICE && cd $EDGE_CHOICE && $words" </dev/null
}

watch_errors() { # SECONDS
    local end=$((SECONDS + $1)) total bad total_before bad_before
    read -r total_before bad_before < <(edge_counts) || die "the edge gives no metrics"
    while [ "$SECONDS" -lt "$end" ]; do
        sleep "$POLL"
        every healthy "$NEW" || die "$NEW became unhealthy under traffic"
        read -r total bad < <(edge_counts) || continue # the next look may succeed
        bad=$((bad - bad_before)) total=$((total - total_before))
        if [ "$bad" -ge "$BAKE_MIN_ERRORS" ] && [ $((bad * 1000)) -gt $((total * BAKE_MAX_PERMILLE)) ]; then
            die "$bad of $total requests failed since $NEW takes traffic"
        fi
    done
}

# First a few users, then all: what fails for everybody is seen before everybody has it.
bake() {
    prefer "$NEW" some
    watch_errors $((BAKE_SECONDS / 4))
    prefer "$NEW" all
    watch_errors $((BAKE_SECONDS - BAKE_SECONDS / 4))
}

# The running edge gets a release's configuration and is not restarted. It refuses what is invalid and keeps what it has;
# where nothing differs it does nothing. The program that runs reads the files itself: no other one need be started for that,
# such as what its image's name may mean by now, or for which a full disk has no room.
load_edge() { # RELEASE
    local adapted
    if [ -z "$EDGE_SERVICE" ] || ! running "$EDGE_SERVICE"; then return 0; fi
    tar -c -C "$1/$(dirname "$EDGE_CONFIG")" . | compose exec -T "$EDGE_SERVICE" sh -c "rm -rf $EDGE_NEXT && mkdir -p $EDGE_NEXT && tar -x -f - -C $EDGE_NEXT" || return 1
    adapted="$(compose exec -T "$EDGE_SERVICE" caddy adapt --config "$EDGE_NEXT/$(basename "$EDGE_CONFIG")" </dev/null)" || return 1
    compose exec -T "$EDGE_SERVICE" caddy reload --config - <<<"$adapted"
}

# Until the edge would send requests to a color. What its metrics say is as old as EDGE_RENEWS seconds.
await_edge() { # COLOR
    local since=$SECONDS
    [ -n "$EDGE_SERVICE" ] || return 0
    until_true "$EDGE_SECONDS" "$1 reached from the edge" reached "$1"
    while [ $((SECONDS - since)) -lt "$EDGE_RENEWS" ]; do sleep "$POLL"; done
    until_true "$EDGE_SECONDS" "$1 seen by the edge" seen_by_edge "$1"
}

drop() { # COLOR: what runs drains on SIGTERM and ends by itself
    local services
    mapfile -t services < <(colored "$1")
    compose stop --timeout "$DRAIN_SECONDS" "${services[@]}"
    compose rm --force "${services[@]}" >/dev/null
}

# The old color answers again. It never left: the edge is told to prefer it, and does so from the next request on.
give_back() {
    log "back to $OLD"
    prefer "$OLD" all || log "the edge takes no word"
    load_edge "$(current)" || log "the edge keeps the configuration of $(basename "$RELEASE")"
    if [ "$TRAFFIC" = no ] || (await_edge "$OLD"); then
        drop "$NEW" || log "$NEW could not be stopped"
    else
        prefer "$NEW" all || true
        log "the edge does not see $OLD; $NEW goes on"
    fi
}

finish() {
    local code=$? now=$EPOCHSECONDS success=0
    trap - EXIT
    if [ "$code" -eq 0 ]; then
        success=1
    else
        log "failed with $code in step ${STEP:-start}"
        if [ "$POINT" = started ]; then give_back; fi
        if [ "$POINT" != switched ]; then images_of "$(current)" || log "the image of the release in service has no name any more"; fi
    fi
    metrics deploy <<METRICS || code=1
# HELP pretamane_deploy_last_run_success 1 when the last deploy put its release into service, else 0.
# TYPE pretamane_deploy_last_run_success gauge
pretamane_deploy_last_run_success $success
# HELP pretamane_deploy_last_run_timestamp_seconds When the last deploy ended, whatever its result.
# TYPE pretamane_deploy_last_run_timestamp_seconds gauge
pretamane_deploy_last_run_timestamp_seconds $now
# HELP pretamane_deploy_duration_seconds How long the last deploy took.
# TYPE pretamane_deploy_duration_seconds gauge
pretamane_deploy_duration_seconds $((now - STARTED))
METRICS
    exit "$code"
}

current() { readlink -e "$ROOT_DIR/current" || echo "$RELEASE"; }

# What is true, whatever a deploy that was killed wrote: the color that serves, and nothing else beside it.
settle() {
    OLD="$(active_color)" NEW="$(other_color "$OLD")"
    [ "${#COLORED[@]}" -gt 0 ] || return 0
    if ! every running "$OLD" && every healthy "$NEW"; then
        log "$NEW serves already"
        record_color "$NEW"
        OLD="$NEW" NEW="$(other_color "$NEW")"
    fi
    images_of "$(current)"
    load_edge "$(current)"
    if [ -z "$EDGE_SERVICE" ] || running "$EDGE_SERVICE"; then prefer "$OLD" all; fi
    if every running "$OLD" && some running "$NEW"; then await_edge "$OLD"; fi
    drop "$NEW"
}

# The edge and the stores have no second color: recreating one of them is an outage, and not this script's to decide.
require_no_restart() {
    local found service recreated=""
    [ "$RESTARTS" = no ] || return 0
    for service in "${STEADY[@]}"; do
        running "$service" || continue
        found="$(compose --dry-run up --detach --no-deps --no-build "$service" 2>&1)"
        if grep -qi recreate <<<"$found"; then recreated+=" $service"; fi
    done
    [ -z "$recreated" ] || die "this release recreates$recreated, which is an outage; say --allow-restarts to have it"
}

# Before anything is touched: a full disk has no room for what put it right either.
require_room() {
    local free
    require_data
    free="$(df --output=avail --block-size=1M "$DATA_DIR" | tail -n 1)"
    [ "$free" -ge "$MIN_FREE_MIB" ] || die "$free MiB are free on $DATA_DIR, $MIN_FREE_MIB are needed"
}

preflight() {
    local memory
    archive unlocked "$RELEASE" || die "the release is not what its lock file says"
    memory="$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)"
    [ "$memory" -ge "$COLOR_MIB" ] || die "$memory MiB of memory are free, the second color needs $COLOR_MIB"
    compose config --quiet
    if [ -n "$EDGE_SERVICE" ] && ! healthy "$EDGE_SERVICE"; then die "the edge is not healthy; mend that first"; fi
}

kept_image() { echo "${1%%:*}:release-$(basename "$2" | cut -c 1-12)"; } # IMAGE RELEASE

# What the containers are started from is the image of the release that is in service, also after one that failed was built.
images_of() { # RELEASE
    local line service image kept
    for line in "${BUILT[@]}"; do
        read -r service image <<<"$line"
        kept="$(kept_image "$image" "$1")"
        if docker image inspect "$kept" >/dev/null 2>&1; then docker tag "$kept" "$image"; fi
    done
}

# An image that is built here is kept under the release's name too, so that a rollback starts the very same one.
images() {
    local line service image kept before
    for line in "${BUILT[@]}"; do
        read -r service image <<<"$line"
        before="$(kept_image "$image" "$(current)")"
        if docker image inspect "$image" >/dev/null 2>&1 && ! docker image inspect "$before" >/dev/null 2>&1; then docker tag "$image" "$before"; fi
        kept="$(kept_image "$image" "$RELEASE")"
        if docker image inspect "$kept" >/dev/null 2>&1; then
            docker tag "$kept" "$image"
        else
            PROJECT_DIR="$RELEASE/compose" compose build "$service"
            docker tag "$image" "$kept"
        fi
    done
    # What is here stays as it is: a tag that was moved since is no release of ours.
    COMPOSE_PROFILES="$PROFILES,$NEW" compose pull --quiet --ignore-buildable --policy missing
}

jobs() {
    local job
    [ "$JOBS_TOO" = yes ] || return 0
    for job in "${JOBS[@]}"; do
        log "job $job"
        compose run --rm --no-deps -T "$job" </dev/null
    done
}

# The rest of the stack, and what only read its configuration when it started.
settle_rest() {
    local line service folder
    for line in "${CONFIGURED[@]}"; do
        read -r service folder <<<"$line"
        if running "$service" && ! diff -rq "$1/$folder" "$RELEASE/$folder" >/dev/null 2>&1; then
            COMPOSE_PROFILES="$PROFILES" compose up --detach --no-deps --force-recreate "$service"
        fi
    done
    up_all
}

# A new host takes over the data disk. It starts with the release that Terraform names, and goes on to the one that is kept here when
# that name is still the one from which this host began.
keep_release() {
    local place="$DATA_DIR/$STACK/release"
    [ -n "${FIRST_RELEASE:-}" ] || return 0
    rm -rf "$place.part"
    mkdir -p "$place.part"
    cp -a "$RELEASE" "$place.part/tree"
    put "$place.part/names" <<<"$FIRST_RELEASE $(basename "$RELEASE")"
    rm -rf "$place"
    mv -T "$place.part" "$place"
}

prune() {
    local folder kept=0
    find "$ROOT_DIR/releases" -mindepth 1 -maxdepth 1 -type d -printf '%T@ %p\n' 2>/dev/null | sort -rn | cut -d ' ' -f 2- | while read -r folder; do
        case "$folder" in "$RELEASE" | "$(cat "$STATE_DIR/previous" 2>/dev/null)" | *.part) continue ;; esac
        kept=$((kept + 1))
        [ "$kept" -le "$KEEP_RELEASES" ] || rm -rf "$folder"
    done
}

record_release() {
    step record
    previous="$(current)"
    if [ "$(readlink -e "$ROOT_DIR/current" || true)" != "$RELEASE" ]; then
        if [ "$previous" != "$RELEASE" ]; then put "$STATE_DIR/previous" <<<"$previous"; fi
        ln -sfn "$RELEASE" "$ROOT_DIR/current.part"
        mv -fT "$ROOT_DIR/current.part" "$ROOT_DIR/current"
    fi
    keep_release
}

# The host of a pair that follows: the release is ready there when it must lead, and its database goes on with it. Only the pair's own
# script starts a database: this host may have led, and not know yet that it does no longer.
stand_by() {
    archive unlocked "$RELEASE" || die "the release is not what its lock file says"
    NEW="$(active_color)"
    step secrets
    if [ -x "$RELEASE/bootstrap/bootstrap.sh" ]; then "$RELEASE/bootstrap/bootstrap.sh" secrets; fi
    step images
    images
    record_release
    step database
    "$RELEASE/scripts/$PAIR_SCRIPT" start
    prune
    log "$(basename "$RELEASE") stands by"
}

BUNDLE=() ARGUMENTS=()
while [ $# -gt 0 ]; do
    case "$1" in
        --bundle) BUNDLE=("${2:?--bundle needs a file}" "${3:?--bundle needs a SHA-256}") && shift 2 ;;
        --no-jobs) JOBS_TOO=no && ARGUMENTS+=("$1") ;;
        --colors) JOBS_TOO=no REST_TOO=no && ARGUMENTS+=("$1") ;;
        --allow-restarts) RESTARTS=yes && ARGUMENTS+=("$1") ;;
        *) die "usage: deploy.sh [--bundle FILE SHA256] [--no-jobs] [--colors] [--allow-restarts]" ;;
    esac
    shift
done
if [ "${#BUNDLE[@]}" -gt 0 ]; then
    folder="$(install_bundle "${BUNDLE[@]}")"
    exec "$folder/scripts/deploy.sh" "${ARGUMENTS[@]}"
fi

lock deploy
STARTED=$EPOCHSECONDS
trap finish EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
need docker python3 flock awk
step room
require_room
if [ -n "${PAIR_SERVICE:-}" ] && ! "$RELEASE/scripts/$PAIR_SCRIPT" leads; then
    stand_by
    exit 0
fi
step settle
settle
log "$OLD serves, $NEW starts from $(basename "$RELEASE")"
step preflight
preflight
step secrets
if [ "$REST_TOO" = yes ] && [ -x "$RELEASE/bootstrap/bootstrap.sh" ]; then "$RELEASE/bootstrap/bootstrap.sh" secrets; fi
if [ "$REST_TOO" = yes ]; then
    step images
    images
    # Only now: what would be recreated depends on the images that are here.
    require_no_restart
fi
step jobs
jobs
if [ "${#COLORED[@]}" -gt 0 ]; then
    mapfile -t starting < <(colored "$NEW")
    POINT=started
    step start
    compose up --detach --no-deps "${starting[@]}"
    step healthy
    until_true "$HEALTH_SECONDS" "$NEW healthy" every healthy "$NEW"
    step edge
    load_edge "$RELEASE"
    await_edge "$NEW"
    step bake
    if some running "$OLD"; then TRAFFIC=yes; fi
    if [ -n "$EDGE_SERVICE" ]; then bake; fi
    POINT=switched
    step drain
    record_color "$NEW"
    drop "$OLD"
fi
if [ "$REST_TOO" = no ]; then
    log "$NEW serves"
    exit 0
fi
record_release
step rest
settle_rest "$previous"
prune
log "$(basename "$RELEASE") is in service"
