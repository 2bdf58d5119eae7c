# What every script starts with: strict mode, the values of this stack, messages, locks, metrics, the container engine.
# shellcheck shell=bash
set -Eeuo pipefail
shopt -s inherit_errexit
umask 077

LIBRARY="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
RELEASE="$(cd "$LIBRARY/../.." && pwd -P)"
# shellcheck source=lib/stack.sh
. "$LIBRARY/stack.sh"

# What belongs to this host alone, written on its first boot: REGION, BUCKET. The compose file may name it too.
if [ -r "${HOST_FILE:=/etc/$STACK/host.conf}" ]; then
    set -a
    # shellcheck source=/dev/null
    . "$HOST_FILE"
    set +a
fi
: "${ROOT_DIR:=/opt/$STACK}" "${DATA_DIR:=/data}" "${STATE_DIR:=/var/lib/$STACK/state}" "${METRICS_DIR:=/var/lib/$STACK/metrics}"
: "${SECRETS_DIR:=/run/$STACK/secrets}"
export SECRETS_DIR

log() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

die() {
    log "$*"
    exit 1
}

# A step of a longer work, so that the journal says how far it came.
step() {
    # shellcheck disable=SC2034  # the scripts' last words name it
    STEP="$1"
    log "step $1"
}

need() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || die "$tool is not installed"
    done
}

# One at a time; the second does not wait. The lock ends with the process, however it ends. HELD_LOCK names one that the caller has.
lock() {
    [ "${HELD_LOCK:-}" != "$1" ] || return 0
    mkdir -p "$STATE_DIR"
    exec {LOCK}>"$STATE_DIR/$1.lock"
    flock -n "$LOCK" || {
        log "another $1 is at work; nothing was done"
        exit 75
    }
}

# Write stdin to a file that is whole or not there.
put() {
    cat >"$1.part.$$"
    chmod "${2:-600}" "$1.part.$$"
    mv -f "$1.part.$$" "$1"
}

# Prometheus's node exporter reads every *.prom file in this folder.
metrics() {
    mkdir -p "$METRICS_DIR"
    chmod 755 "$METRICS_DIR"
    put "$METRICS_DIR/$1.prom" 644
}

# Where the data volume is not mounted, its mount point is a folder on the root disk. (A unit's own view of the file system
# makes a mount point of every folder that it may write, so `mountpoint` would say yes.)
require_data() {
    [ -d "$DATA_DIR" ] || die "$DATA_DIR is not there"
    if [ "${DATA_ON_ROOT_DISK:-no}" = no ] && [ "$(stat -c %d "$DATA_DIR")" = "$(stat -c %d /)" ]; then die "$DATA_DIR is not mounted"; fi
}

archive() { python3 -B "$LIBRARY/archive.py" "$@"; }

# Compose reads the file of this release, but resolves what it mounts through the link to the current one: a path that
# stays the same over releases recreates no container.
compose() {
    docker compose --project-name "$STACK" --project-directory "${PROJECT_DIR:-$ROOT_DIR/current/compose}" \
        --file "$RELEASE/compose/compose.yaml" "$@"
}

# State and health of a service's container, such as `running Up 2 hours (healthy)`; empty where there is none.
status() {
    docker ps --all --filter "label=com.docker.compose.project=$STACK" --filter "label=com.docker.compose.service=$1" \
        --filter label=com.docker.compose.oneoff=False --format '{{.State}} {{.Status}}' | head -n 1
}

running() { [[ "$(status "$1")" == running* ]]; }
healthy() { [[ "$(status "$1")" == running*'(healthy)'* ]]; }

active_color() {
    local color=""
    [ ! -r "$STATE_DIR/color" ] || color="$(<"$STATE_DIR/color")"
    case "$color" in
        blue | green) echo "$color" ;;
        *) echo blue ;;
    esac
}

other_color() { if [ "$1" = blue ]; then echo green; else echo blue; fi; }

# The color that serves: for the scripts, and for the unit that starts the stack after a reboot.
record_color() {
    mkdir -p "$STATE_DIR"
    put "$STATE_DIR/compose.env" <<<"COMPOSE_PROFILES=$PROFILES,$1"
    put "$STATE_DIR/color" <<<"$1"
}

volume_folder() { docker volume inspect --format '{{.Mountpoint}}' "${STACK}_$1"; }

# A volume that is not there yet is made as Compose would make it.
made_volume() {
    if ! docker volume inspect "${STACK}_$1" >/dev/null 2>&1; then
        docker volume create --label "com.docker.compose.project=$STACK" --label "com.docker.compose.volume=$1" "${STACK}_$1" >/dev/null
    fi
    volume_folder "$1"
}

# Volumes belong to whom their service runs as: the engine gives a new one to root, and a backup may be older than the user. The folder
# itself comes last, so that one that belongs to the right user has all its files done.
own_volumes() {
    local line volume owner folder
    for line in "${OWNERS[@]}"; do
        read -r volume owner <<<"$line"
        folder="$(made_volume "$volume")"
        if [ "$(stat --format %u:%g "$folder")" != "$owner" ]; then
            log "volume $volume belongs to $owner from now on"
            find "$folder" -mindepth 1 -exec chown --no-dereference "$owner" {} +
            chown "$owner" "$folder"
        fi
    done
}

up_all() {
    own_volumes
    COMPOSE_PROFILES="$PROFILES,$(active_color)" compose up --detach --wait --wait-timeout "$START_SECONDS" --remove-orphans
}

# What is derived from the data, such as a search index, is made anew.
rebuild_derived() {
    local service command
    for service in "${!REBUILD[@]}"; do
        log "rebuild with $service"
        read -r -a command <<<"${REBUILD[$service]}"
        case " ${COLORED[*]} " in *" $service:"*) service+="-$(active_color)" ;; esac
        compose run --rm --no-deps -T "$service" "${command[@]}"
    done
}
