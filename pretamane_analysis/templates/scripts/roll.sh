#!/usr/bin/env bash
# One release on both hosts of a pair, one after the other, from the machine of whoever deploys: first the host that follows, then the
# one that leads, each through Session Manager and each healthy before the next. The leader changes colors as on one host, so nobody
# notices. A release that recreates the database (another version of it) is put on the standby first, which then takes the lead: seconds.
#   roll.sh BUNDLE SHA256            the bundle's address in the bucket (s3://…) and its sum
#   roll.sh --hand-over BUNDLE SHA256  let the other host lead before the former leader is touched
# HOSTS names the two instances; left out: what `terraform output` says.
# shellcheck source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

: "${ROLL_SECONDS:=1800}" "${POLL:=5}"
HAND_OVER=no
if [ "${1:-}" = --hand-over ]; then HAND_OVER=yes && shift; fi
[ $# -eq 2 ] || die "usage: roll.sh [--hand-over] BUNDLE SHA256"
BUNDLE="$1" SUM="$2"
[[ "$BUNDLE" =~ ^s3://[A-Za-z0-9./_-]+$ ]] || die "an address in the bucket is expected, such as s3://BUCKET/releases/SHA256.tar.gz"
[[ "$SUM" =~ ^[0-9a-f]{64}$ ]] || die "a SHA-256 in hexadecimal is expected"

# on HOST WORDS…: run a script of the release there; its exit code is this one's, its words are shown.
on() {
    local host="$1" id state=Pending end=$((SECONDS + ROLL_SECONDS))
    shift
    id="$(aws ssm send-command --instance-ids "$host" --document-name AWS-RunShellScript --timeout-seconds 600 --query Command.CommandId --output text \
        --parameters "$(printf '{"commands": ["/opt/%s/current/scripts/%s"], "executionTimeout": ["%s"]}' "$STACK" "$*" "$ROLL_SECONDS")")"
    while [[ "$state" =~ ^(Pending|InProgress|Delayed)$ ]]; do
        [ "$SECONDS" -lt "$end" ] || die "no answer of $host to $1"
        sleep "$POLL"
        state="$(aws ssm get-command-invocation --command-id "$id" --instance-id "$host" --query Status --output text 2>/dev/null || echo Pending)"
    done
    aws ssm get-command-invocation --command-id "$id" --instance-id "$host" --query '[StandardOutputContent, StandardErrorContent]' --output text >&2 || true
    [ "$state" = Success ]
}

leader_of() { # HOST…: the one that leads
    local host
    for host in "$@"; do
        if on "$host" pair.sh leads; then
            echo "$host"
            return 0
        fi
    done
    return 1
}

await_leader() { # HOST
    local end=$((SECONDS + 300))
    until on "$1" pair.sh leads; do
        [ "$SECONDS" -lt "$end" ] || die "$1 does not lead"
        sleep "$POLL"
    done
}

read -r -a hosts <<<"${HOSTS:-$(terraform -chdir="$RELEASE/terraform" output -raw instance_ids)}"
[ "${#hosts[@]}" -eq 2 ] || die "two hosts are expected: ${hosts[*]}"
leader="$(leader_of "${hosts[@]}")" || die "neither host leads; look at pair.sh status on both"
follower="${hosts[0]}"
if [ "$follower" = "$leader" ]; then follower="${hosts[1]}"; fi
log "$follower follows and is first"
on "$follower" deploy.sh --bundle "$BUNDLE" "$SUM" || die "$follower did not take the release; $leader was not touched"
if [ "$HAND_OVER" = yes ]; then
    on "$leader" pair.sh hand-over || die "$leader did not hand over"
    await_leader "$follower"
fi
on "$leader" deploy.sh --bundle "$BUNDLE" "$SUM" || die "$leader did not take the release; $follower has it"
log "$SUM is on both hosts"
