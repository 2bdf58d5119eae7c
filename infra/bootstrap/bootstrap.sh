#!/usr/bin/env bash
# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
# Makes a fresh host into one that runs the stack. Every step may run again at any time and then changes nothing.
#
#   bootstrap.sh                      all steps: packages disk docker secrets units
#   bootstrap.sh secrets              one step, such as the secrets after every boot: /run is empty then
#   bootstrap.sh --issue NAME secrets a secret that is new in the stack, though its service has data already
set -Eeuo pipefail
shopt -s inherit_errexit

export PROGRAM="bootstrap"
RELEASE="$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=/dev/null
source "$RELEASE/bootstrap/lib/start.sh"
for part in disk packages secrets units; do
    # shellcheck source=/dev/null
    source "$RELEASE/bootstrap/lib/$part.sh"
done

STEPS=()
ISSUE=()
while (($#)); do
    case "$1" in
        --issue)
            ISSUE+=("${2:?a secret is expected after --issue}")
            shift
            ;;
        packages | disk | docker | secrets | units) STEPS+=("$1") ;;
        *) die "there is no step '$1'; there are: packages disk docker secrets units" ;;
    esac
    shift
done
if ((${#STEPS[@]} == 0)); then STEPS=(packages disk docker secrets units); fi

start
for each in "${STEPS[@]}"; do
    step "$each"
    "step_$each"
    if [[ "$each" == disk && " ${STEPS[*]} " == *" units "* ]]; then adopt_release; fi
done
if [[ " ${STEPS[*]} " == *" units "* ]]; then
    step start
    start_units
fi
log "done"
