# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
# shellcheck shell=bash
# Secrets: found in the Parameter Store, or made once and stored there before anybody uses them. No value is ever in a
# variable, an argument or a message: values move between files in memory that only root reads.

# shellcheck source=/dev/null
source "$BOOTSTRAP/lib/aws.sh"

OUTAGE="" # the name of the error, once the Parameter Store gives no answer to rely on

# What the manifest says of each secret, and the lists of all and of each source.
declare -A LENGTH=() OPTIONAL=() BASE=() KIND=() DATA_OF=() CONSUMERS=()
NAMES=() PROVIDED=() GENERATED=() DERIVED=()

read_manifest() {
    local name source length optional base kind data service uid file
    jq -r '.secrets[] | [.name, .source, .length, .optional, .derived_from, .rotation.kind, (.owner.volumes // [] | join(" "))]
        | map(tostring) | join("|")' "$MANIFEST" >"$WORK/manifest"
    while IFS='|' read -r name source length optional base kind data; do
        NAMES+=("$name")
        case "$source" in
            provided) PROVIDED+=("$name") ;;
            generated) GENERATED+=("$name") ;;
            derived) DERIVED+=("$name") ;;
            *) die "secret $name comes from '$source', which is unknown" ;;
        esac
        LENGTH[$name]="$length" OPTIONAL[$name]="$optional" BASE[$name]="$base" KIND[$name]="$kind" DATA_OF[$name]="$data" CONSUMERS[$name]=""
    done <"$WORK/manifest"
    ((${#NAMES[@]})) || die "$MANIFEST names no secret"
    jq -r '.secrets[] | .name as $name | .consumers[] | [$name, .service, .uid, .file] | map(tostring) | join("|")' "$MANIFEST" >"$WORK/manifest"
    while IFS='|' read -r name service uid file; do CONSUMERS[$name]+="$service $uid $file"$'\n'; done <"$WORK/manifest"
}

# generate LENGTH: letters and digits only, so that a value survives URLs, sed, SQL and shells.
generate() {
    local found
    head -c "$(($1 * 16))" /dev/urandom | tr -dc 'A-Za-z0-9' >"$WORK/random"
    head -c "$1" "$WORK/random"
    found="$(stat -c %s -- "$WORK/random")"
    rm -f -- "$WORK/random"
    ((found >= $1))
}

# used_by_data NAME: prints where data depends on a value of this secret that was issued before.
used_by_data() {
    local each
    if [[ -e "$ISSUED/$1" ]]; then
        printf 'it was issued before (%s)' "${ISSUED#"$ROOT"}/$1"
        return
    fi
    for each in ${DATA_OF[$1]}; do
        if [[ -n "$(find "$VOLUMES/$each/_data" -mindepth 1 -maxdepth 1 -print -quit 2>/dev/null)" ]]; then
            printf 'volume %s has data' "$each"
            return
        fi
    done
}

# make_secret NAME: a value for a secret that the Parameter Store says it does not have.
make_secret() {
    local value="$WORK/values/$1" code=0
    if [[ -s "$CACHE/$1" ]]; then
        warn "secret $1 is gone from the Parameter Store; this host's copy is put back"
        cat -- "$CACHE/$1" >"$value"
    else
        generate "${LENGTH[$1]}" >"$value"
    fi
    write_parameter "$1" "$value" || code=$?
    if ((code == 0)); then
        log "secret $1 is stored"
    elif [[ "$AWS_ERROR" == ParameterAlreadyExists ]]; then
        log "secret $1 was stored by another host a moment ago; its value is used"
        read_parameter "$1" "$value" || die "secret $1 cannot be read ($AWS_ERROR)"
    else
        die "secret $1 cannot be stored ($AWS_ERROR), so it is not used either"
    fi
}

# find_secret NAME FILE: 0 found; 1 the Parameter Store says that it has no such secret; 2 there is no answer to rely on.
find_secret() {
    if [[ -s "$2" ]]; then return 0; fi
    if [[ -n "$OUTAGE" ]]; then return 2; fi
    # It was not listed. Storing a new value overwrites nothing, so only what would stop the start is asked for by its name.
    if [[ -z "$(missing_secret "$1")" ]]; then return 1; fi
    if read_parameter "$1" "$2"; then return 0; fi
    rm -f -- "$2"
    if [[ "$AWS_ERROR" == ParameterNotFound ]]; then return 1; fi
    OUTAGE="$AWS_ERROR"
    return 2
}

# from_cache NAME FILE: this host's copy, for when there is no answer.
from_cache() {
    [[ -s "$CACHE/$1" ]] || return 1
    cat -- "$CACHE/$1" >"$2"
}

# missing_secret NAME: why a secret that is absent must not be made, empty where it may be.
missing_secret() {
    local reason
    if [[ " ${PROVIDED[*]} " == *" $1 "* ]]; then
        printf 'secret %s is not made here; put it with: aws ssm put-parameter --region %s --type SecureString --name %s --value file://FILE\n' "$1" "$REGION" "$(parameter "$1")"
    elif [[ ! -s "$CACHE/$1" && " ${ISSUE[*]:-} " != *" $1 "* ]]; then
        reason="$(used_by_data "$1")"
        [[ -z "$reason" ]] || printf 'secret %s is gone from the Parameter Store (%s) but %s; put the old value back, or, if nothing depends on it, run: bootstrap.sh --issue %s secrets\n' "$1" "$(parameter "$1")" "$reason" "$1"
    fi
}

# collect: every secret as a file in $WORK/values, made where it may be. Nothing is made while any other one is in doubt.
collect() {
    local name code why problems=() make=()
    for name in "${PROVIDED[@]}" "${GENERATED[@]}"; do
        code=0
        find_secret "$name" "$WORK/values/$name" || code=$?
        if ((code == 1)) && [[ "${OPTIONAL[$name]}" != true ]]; then
            why="$(missing_secret "$name")"
            if [[ -n "$why" ]]; then problems+=("$why"); else make+=("$name"); fi
        elif ((code == 2)) && ! from_cache "$name" "$WORK/values/$name"; then
            problems+=("secret $name: the Parameter Store gives no answer ($OUTAGE) and this host has no copy")
        fi
    done
    if ((${#problems[@]})); then
        for why in "${problems[@]}"; do log "error: $why"; done
        die "${#problems[@]} secrets are missing; none was made"
    fi
    for name in "${make[@]}"; do make_secret "$name"; done
}

# derive NAME: the bcrypt hash of the secret that it is derived from. A hash that still fits is kept, so that nothing changes.
derive() {
    local password="$WORK/values/${BASE[$1]}" hash="$WORK/values/$1" known="$WORK/known"
    if [[ -s "$CACHE/$1" ]]; then
        { printf 'admin:' && cat -- "$CACHE/$1"; } >"$known"
        if htpasswd -v -i "$known" admin <"$password" 2>/dev/null; then
            cat -- "$CACHE/$1" >"$hash"
            return 0
        fi
    fi
    # The password is drawn, so guessing it is hopeless at any cost; a high one would only let wrong guesses keep the edge from its users.
    htpasswd -n -i -B -C 5 admin <"$password" | sed -n 's/^admin://p' | tr -d '\n' >"$hash"
    [[ "$(stat -c %s -- "$hash")" == 60 ]] || die "no hash could be made for $1"
}

# deliver NAME …: this host's copy, and one file for each consumer, which only the user of its container reads.
deliver() {
    local name service uid file
    folder 0711 "$SECRETS"
    folder 0700 "$CACHE" "$ISSUED"
    for name in "$@"; do
        [[ -s "$WORK/values/$name" ]] || continue # optional, and nobody gave it
        [[ -e "$ISSUED/$name" ]] || : >"$ISSUED/$name"
        if [[ "$PROGRAM" == bootstrap && "${KIND[$name]}" == postgres-role && -s "$CACHE/$name" ]] && ! cmp -s -- "$CACHE/$name" "$WORK/values/$name"; then
            warn "secret $name differs from the one last used here; unless rotate-secret.sh changed it, the database still has the old one"
        fi
        put_file "$WORK/values/$name" "$CACHE/$name" 0600
        while read -r service uid file; do
            [[ -n "$file" ]] || continue
            folder 0711 "$SECRETS/$service"
            put_file "$WORK/values/$name" "$SECRETS/$file" 0400 "$uid"
        done <<<"${CONSUMERS[$name]}"
    done
}

step_secrets() {
    local name
    require_data
    read_manifest
    folder 0700 "$WORK/values"
    if ! read_parameters "$WORK/values"; then
        OUTAGE="$AWS_ERROR"
        rm -f -- "$WORK/values"/*
        warn "the Parameter Store gives no answer ($OUTAGE): this host's copies are used where there are any"
    fi
    collect
    for name in "${DERIVED[@]}"; do derive "$name"; done
    deliver "${NAMES[@]}"
    for name in "$ROOT/var/lib/$STACK/rotation"/*; do
        [[ ! -e "$name" ]] || warn "the rotation of ${name##*/} did not end; when the services run: rotate-secret.sh --recover ${name##*/}"
    done
    mark secrets
}
