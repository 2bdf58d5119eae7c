#!/usr/bin/env bash
# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
# Puts the release before this one back into service, with the same care as a deploy. Jobs are not run: migrations only
# ever add, so that the release before works with what is there.
# shellcheck source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

[ -r "$STATE_DIR/previous" ] || die "there is no release before this one"
previous="$(<"$STATE_DIR/previous")"
[ -x "$previous/scripts/deploy.sh" ] || die "$previous is not here any more"
exec "$previous/scripts/deploy.sh" --no-jobs "$@"
