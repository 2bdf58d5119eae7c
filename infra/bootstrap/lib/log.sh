# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
# shellcheck shell=bash
# Messages: to standard error, which cloud-init and journald keep. No message holds a secret's value.

log() { printf '%s %s: %s\n' "$(TZ=UTC printf '%(%Y-%m-%dT%H:%M:%SZ)T' -1)" "${PROGRAM:-bootstrap}" "$*" >&2; }

warn() { log "warning: $*"; }

die() {
    log "error: $*"
    exit 1
}

# For `trap 'on_error "$?" "$LINENO"' ERR`: says where, never what the command's values were.
on_error() { log "stopped in step '${STEP:-start}', line $2 of ${BASH_SOURCE[1]##*/}, exit code $1; running it again continues"; }
