#!/usr/bin/env bash
# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
# Gives a secret a new value everywhere, proves that it works, or puts the old one back everywhere.
#
#   rotate-secret.sh NAME             a value that is made here
#   rotate-secret.sh NAME <FILE       a value that somebody else made, such as the tunnel's token
#   rotate-secret.sh --recover NAME   ends a rotation that was killed: the old value works again
#
# Exit code 0: the new value is in use. 1: the old one is. 2: neither is certain; run --recover when the cause is mended.
set -Eeuo pipefail
shopt -s inherit_errexit

export PROGRAM="rotate-secret"
RELEASE="$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=/dev/null
source "$RELEASE/bootstrap/lib/start.sh"
for part in disk secrets; do
    # shellcheck source=/dev/null
    source "$RELEASE/bootstrap/lib/$part.sh"
done

RECOVER=""
if [[ "${1:-}" == --recover ]]; then
    RECOVER=yes
    shift
fi
NAME="${1:?usage: rotate-secret.sh [--recover] NAME}"
# Both values until the end, on the encrypted root disk and for root only: a host that dies halfway must know the old one.
JOURNAL="$ROOT/var/lib/$STACK/rotation/$NAME"

# As the stack's unit says it, so that a container that is made again is the same but for its secret.
compose() {
    local folder="$ROOT/opt/$STACK/current/compose"
    docker compose --project-name "$STACK" --project-directory "$folder" --file "$folder/compose.yaml" --profile '*' "$@"
}

# told FIELD: what the manifest says of this secret's rotation.
told() { jq -r --arg name "$NAME" --arg field "$1" '.secrets[] | select(.name == $name) | .rotation[$field] // empty' "$MANIFEST"; }

# alter_role FILE: the role's password in the database becomes this one.
alter_role() {
    { printf "ALTER ROLE :\"role\" PASSWORD '" && python3 -I "$BOOTSTRAP/lib/scram.py" <"$1" | tr -d '\n' && printf "';\n"; } |
        compose exec -T "$SERVICE" psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set "role=$ROLE" --username "$SUPERUSER" --dbname "$DATABASE" >&2
}

# login FILE: 0 the database lets the role in with this password; 1 it says that the password is wrong; 2 no answer.
# Over the network by the service's name, because inside its container 127.0.0.1 asks for no password.
login() {
    local code=0
    # shellcheck disable=SC2016  # for the shell in the container
    compose exec -T "$SERVICE" sh -c 'IFS= read -r PGPASSWORD || :; export PGPASSWORD PGCONNECT_TIMEOUT=5
        exec psql --no-psqlrc --quiet --tuples-only --no-password --host "$0" --username "$1" --dbname "$2" --command "SELECT 1"' \
        "$SERVICE" "$ROLE" "$DATABASE" <"$1" >/dev/null 2>"$WORK/login.message" || code=$?
    if ((code == 0)); then return 0; fi
    if grep -q 'password authentication failed' "$WORK/login.message"; then return 1; fi
    log "the database gives no answer: $(tail -n 1 "$WORK/login.message")"
    return 2
}

# expect_login CODE FILE WHAT
expect_login() {
    local code=0
    login "$2" || code=$?
    ((code == $1)) || die "$3"
}

# change_inside FILE: what the service itself keeps of the secret.
change_inside() {
    case "${KIND[$NAME]}" in
        postgres-role) alter_role "$1" ;;
        grafana-admin) compose exec -T "$SERVICE" grafana cli --homepath /usr/share/grafana admin reset-admin-password --password-from-stdin <"$1" >&2 ;;
        *) ;;
    esac
}

# is_color CONTAINER: whether the consumers are its two colors.
is_color() {
    [[ "$1" == *-blue || "$1" == *-green ]] && grep -qxF -- "${1%-*}-blue" "$WORK/consumers" && grep -qxF -- "${1%-*}-green" "$WORK/consumers"
}

# restart_consumers: one after the other, each healthy before the next. A restart alone would keep the old file: what a container mounts
# is decided when it is made. Where there are two colors the idle one starts with the new value and takes over, as in a deployment.
restart_consumers() {
    local container running colors=""
    running="$(compose ps --services --status running)"
    consumers >"$WORK/consumers"
    while IFS= read -r container; do
        if ! grep -qxF -- "$container" <<<"$running"; then continue; fi
        if is_color "$container"; then
            colors=yes
            continue
        fi
        compose up --detach --no-deps --force-recreate --wait --wait-timeout "${WAIT_SECONDS:-180}" "$container" >&2
    done <"$WORK/consumers"
    [[ -z "$colors" ]] || change_color
}

# change_color: the deployment's own care, without what else it does; its lock is held here.
change_color() {
    HELD_LOCK=deploy ROOT_DIR="$ROOT/opt/$STACK" DATA_DIR="$DATA" STATE_DIR="$STATE" METRICS_DIR="$ROOT/var/lib/$STACK/metrics" SECRETS_DIR="$SECRETS" \
        HOST_FILE="$CONFIGURATION" BAKE_SECONDS="${ROTATION_BAKE_SECONDS:-10}" "$RELEASE/scripts/deploy.sh" --colors >&2
}

# consumers: the containers that read this secret or one that derives from it, one a line.
consumers() {
    jq -r --arg name "$NAME" --arg owner "$SERVICE" '.secrets[] | select(.name == $name or .derived_from == $name)
        | .consumers[] | select(.service != $owner) | .containers[]' "$MANIFEST" | sort -u
}

# spread FILE: into this host's files, its copy, what derives from it, and to who reads it.
spread() {
    local each
    folder 0700 "$WORK/values"
    cat -- "$1" >"$WORK/values/$NAME"
    deliver "$NAME"
    for each in "${DERIVED[@]}"; do
        [[ "${BASE[$each]}" == "$NAME" ]] || continue
        derive "$each"
        deliver "$each"
    done
    restart_consumers
}

# prepare: both values, and proof that the old one works, before anything changes.
prepare() {
    local next="${JOURNAL%/*}/.next"
    read_parameter "$NAME" "$WORK/old" || die "the old value of $NAME cannot be read ($AWS_ERROR); nothing was changed"
    if [[ "${KIND[$NAME]}" == provided ]]; then
        tr -d '\n' >"$WORK/new"
        [[ -s "$WORK/new" ]] || die "$NAME is not made here: give its new value on standard input; nothing was changed"
    else
        generate "${LENGTH[$NAME]}" >"$WORK/new"
    fi
    if [[ "${KIND[$NAME]}" == postgres-role ]]; then
        expect_login 0 "$WORK/old" "the value of $NAME in the Parameter Store is not the one of the database; nothing was changed"
        expect_login 1 "$WORK/new" "the database lets anybody in, so that no rotation could be proved; nothing was changed"
    fi
    folder 0700 "${JOURNAL%/*}"
    rm -rf -- "$next"
    mkdir -- "$next"
    cat -- "$WORK/old" >"$next/old"
    cat -- "$WORK/new" >"$next/new"
    mv -T -- "$next" "$JOURNAL"
}

forward() {
    change_inside "$JOURNAL/new"
    write_parameter "$NAME" "$JOURNAL/new" --overwrite || die "the new value of $NAME cannot be stored ($AWS_ERROR)"
    spread "$JOURNAL/new"
    if [[ "${KIND[$NAME]}" == postgres-role ]]; then
        expect_login 0 "$JOURNAL/new" "the new value of $NAME does not work"
        expect_login 1 "$JOURNAL/old" "the old value of $NAME still works"
    fi
}

backward() {
    change_inside "$JOURNAL/old"
    # Asked first: where nothing was stored nothing needs to be, though writing may be what failed.
    read_parameter "$NAME" "$WORK/stored" || die "the Parameter Store gives no answer ($AWS_ERROR)"
    if ! cmp -s -- "$WORK/stored" "$JOURNAL/old"; then
        write_parameter "$NAME" "$JOURNAL/old" --overwrite || die "the old value of $NAME cannot be stored ($AWS_ERROR)"
    fi
    spread "$JOURNAL/old"
    if [[ "${KIND[$NAME]}" == postgres-role ]]; then expect_login 0 "$JOURNAL/old" "the old value of $NAME does not work"; fi
}

# attempt FUNCTION: in a shell of its own, which the first failure ends; its exit code is then in CODE.
# Never within `if` or `||`: bash would ignore failures in all that is called from there.
attempt() {
    set +e
    trap - ERR
    (
        set -e
        trap - EXIT
        trap 'on_error "$?" "$LINENO"' ERR
        "$1"
    )
    CODE=$?
    trap 'on_error "$?" "$LINENO"' ERR
    set -e
}

roll_back() {
    step "back to the old value"
    attempt backward
    if ((CODE == 0)); then
        rm -rf -- "$JOURNAL"
        log "secret $NAME has its old value everywhere"
        return 0
    fi
    log "error: not everything has the old value of $NAME back; mend the cause above, then run: rotate-secret.sh --recover $NAME"
    exit 2
}

start
exec {DEPLOYMENT}>>"$STATE/deploy.lock"
flock --nonblock "$DEPLOYMENT" || die "a deployment is at work; nothing was changed"
require_data
read_manifest
[[ "${KIND[$NAME]:-derived}" != derived ]] || die "there is no secret '$NAME' to rotate; there are: ${GENERATED[*]} ${PROVIDED[*]}"
SERVICE="$(told service)"
SUPERUSER="$(told superuser)"
ROLE="$(told role)"
DATABASE="$(told database)"
[[ "${KIND[$NAME]}" != manual ]] || die "$NAME is kept by $SERVICE itself: change it there, then store it with: aws ssm put-parameter --overwrite"
if [[ -d "$JOURNAL" ]]; then
    log "a rotation of $NAME did not end: it is taken back first"
    roll_back
fi
[[ -z "$RECOVER" ]] || exit 0

step "prepare"
prepare
step "the new value"
attempt forward
if ((CODE == 0)); then
    rm -rf -- "$JOURNAL"
    log "secret $NAME has its new value everywhere"
else
    roll_back
    exit 1
fi
