# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
# shellcheck shell=bash
# Attempts that wait longer each time, with jitter so that two hosts do not knock in step.

# pause N: sleep before attempt N + 1; 1, 2, 4 … at most 32 times the base, times 0.5 to 1.5.
pause() {
    local shift=$(($1 - 1))
    if ((shift > 5)); then shift=5; fi
    sleep "$(awk -v base="${RETRY_BASE:-1}" -v n="$((1 << shift))" -v r="$RANDOM" 'BEGIN { printf "%.3f", base * n * (0.5 + r / 32768) }')"
}

# retry COMMAND …: up to RETRY_ATTEMPTS times. Not for shell functions that count on `set -e`: it is off in here.
retry() {
    local attempt code
    for ((attempt = 1; ; attempt++)); do
        code=0
        "$@" || code=$?
        if ((code == 0)); then return 0; fi
        if ((attempt >= ${RETRY_ATTEMPTS:-6})); then
            log "gave up on '$1' after $attempt attempts, exit code $code"
            return "$code"
        fi
        log "attempt $attempt of '$1' failed with exit code $code"
        pause "$attempt"
    done
}
