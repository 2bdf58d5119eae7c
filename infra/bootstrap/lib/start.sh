# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
# shellcheck shell=bash
# What every script here starts with: settings, places, one at a time, a private folder in memory.
# cloud-init sets neither HOME nor a useful folder, and its PATH lacks that of snaps.

export HOME="${HOME:-/root}" LC_ALL=C.UTF-8 AWS_PAGER="" AWS_RETRY_MODE=standard AWS_MAX_ATTEMPTS="${AWS_MAX_ATTEMPTS:-2}"
export PATH="${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
umask 077
cd /

ROOT="${PRETAMANE_ROOT:-}" # tests put a folder in front of every place on the host
BOOTSTRAP="${RELEASE:?}/bootstrap"
MANIFEST="$BOOTSTRAP/secrets.manifest.json"
# shellcheck source=/dev/null
source "$BOOTSTRAP/settings.sh"
CONFIGURATION="$ROOT/etc/${STACK:?}/host.conf"
if [[ -f "$CONFIGURATION" ]]; then
    set -a # the compose file may name what belongs to this host alone
    # shellcheck source=/dev/null
    source "$CONFIGURATION"
    set +a
fi
: "${ENVIRONMENT:?is missing in $CONFIGURATION}" "${REGION:?is missing in $CONFIGURATION}"
export AWS_REGION="$REGION" AWS_DEFAULT_REGION="$REGION"

DATA="$ROOT/data"
STATE="$ROOT/var/lib/$STACK/state"
CACHE="$ROOT/var/lib/$STACK/secrets"
ISSUED="$DATA/$STACK/issued"
SECRETS="$ROOT/run/$STACK/secrets"
VOLUMES="$DATA/docker/volumes"
WORK=""
export MANIFEST DATA STATE CACHE ISSUED SECRETS VOLUMES

for part in log retry files; do
    # shellcheck source=/dev/null
    source "$BOOTSTRAP/lib/$part.sh"
done

tidy() { [[ -z "$WORK" ]] || rm -rf -- "$WORK"; }

# start: take the lock, make the private folder. Both are in memory, so nothing is left after a crash and a restart.
start() {
    folder 0755 "$ROOT/run/$STACK" "$ROOT/var/lib/$STACK"
    folder 0700 "$STATE"
    exec {LOCK}>>"$ROOT/run/$STACK/bootstrap.lock"
    flock --wait "${LOCK_SECONDS:-600}" "$LOCK" || die "another bootstrap, rotation or deployment has held the lock for ${LOCK_SECONDS:-600} seconds"
    trap 'on_error "$?" "$LINENO"' ERR
    trap tidy EXIT
    rm -rf -- "$ROOT/run/$STACK"/work.*
    WORK="$(mktemp -d -- "$ROOT/run/$STACK/work.XXXXXX")"
}

step() {
    STEP="$1"
    log "step $STEP"
}

# mark STEP: this release has done the step.
mark() { printf '%s\n' "${RELEASE##*/}" | put_text "$STATE/$1" 0600; }
