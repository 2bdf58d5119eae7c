# Who leads, as the bucket knows it. Each term is an object that can be written once (`--if-none-match`): number, who leads, who may
# follow (`-`: nobody else has everything). Whoever writes the next number has it, and the other one reads so; two hosts cannot both.
# shellcheck shell=bash

export HOME="${HOME:-/root}" AWS_PAGER="" AWS_REGION="${REGION:-}" AWS_DEFAULT_REGION="${REGION:-}"
: "${TERMS:=pair}" "${TERM_FILE:=$STATE_DIR/pair.term}"

# The term that this host knows: NUMBER, LEADER, FOLLOWER.
known_term() {
    # shellcheck disable=SC2034  # for those who ask
    NUMBER=0 LEADER="" FOLLOWER=- WORD=""
    # shellcheck disable=SC2034
    [ ! -r "$TERM_FILE" ] || read -r NUMBER LEADER FOLLOWER WORD <"$TERM_FILE"
}

bucket() { AWS_MAX_ATTEMPTS=2 timeout 20 aws --cli-connect-timeout 3 --cli-read-timeout 5 "$@"; }

term_key() { printf '%s/%09d' "$TERMS" "$1"; }

# The last term there is, kept for when the bucket does not answer. 1: it does not.
latest_term() {
    local found
    known_term
    found="$(bucket s3api list-objects-v2 --bucket "$BUCKET" --prefix "$TERMS/" --start-after "$(term_key "$NUMBER")" --query 'Contents[].Key' --output text)" || return 1
    [ -n "$found" ] && [ "$found" != None ] || return 0
    found="$(bucket s3 cp --only-show-errors "s3://$BUCKET/${found##*[[:space:]]}" -)" || return 1
    mkdir -p "$STATE_DIR"
    put "$TERM_FILE" <<<"$found"
    known_term
}

# claim LEADER FOLLOWER: the term after the one that is known. 1: somebody else was faster, or nobody knows; then nothing may follow from
# it. An answer that was lost is asked for: the word tells this host's own claim from another's.
claim() {
    local next=$((NUMBER + 1)) word="$PAIR_HOST-$EPOCHSECONDS-$RANDOM$RANDOM" body
    body="$(mktemp)"
    printf '%s %s %s %s\n' "$next" "$1" "$2" "$word" >"$body"
    bucket s3api put-object --bucket "$BUCKET" --key "$(term_key "$next")" --body "$body" --if-none-match '*' >/dev/null || log "term $next was not written at once"
    rm -f "$body"
    latest_term || return 1
    [ "$NUMBER $WORD" = "$next $word" ] || return 1
    log "term $next: $1 leads, $2 follows"
}
