# Made by `pretamane emit` from model f9300f925f86. Change the stack, not this file.
# shellcheck shell=bash
# Files are written beside their place and renamed, and only where something differs: a second run changes nothing.

# put_file SOURCE TARGET MODE [UID]: content, mode and owner of TARGET become these; prints 'changed' when they were not.
put_file() {
    local source="$1" target="$2" mode="$3" owner="${4:-}" next
    if [[ -f "$target" && ! -L "$target" ]] && cmp -s -- "$source" "$target" && [[ "$(stat -c %a -- "$target")" == "${mode#0}" ]] &&
        { [[ -z "$owner" ]] || [[ "$(stat -c %u -- "$target")" == "$owner" ]]; }; then
        return 0
    fi
    rm -f -- "${target%/*}"/.next.* # of a run that was killed; the lock says that there is no other
    next="$(mktemp -- "${target%/*}/.next.XXXXXX")" || return 1
    if ! { cat -- "$source" >"$next" && chmod -- "$mode" "$next" && { [[ -z "$owner" ]] || chown -- "$owner" "$next"; } && mv -fT -- "$next" "$target"; }; then
        rm -f -- "$next"
        return 1
    fi
    echo changed
}

# put_text TARGET MODE: as put_file, from standard input.
put_text() {
    local text code=0
    text="$(mktemp -- "$WORK/text.XXXXXX")" || return 1
    cat >"$text" && put_file "$text" "$1" "$2" || code=$?
    rm -f -- "$text"
    return "$code"
}

# folder MODE PATH …: each exists with this mode.
folder() {
    local mode="$1" path
    shift
    for path in "$@"; do
        [[ -d "$path" ]] || mkdir -p -- "$path" || return 1
        [[ "$(stat -c %a -- "$path")" == "${mode#0}" ]] || chmod -- "$mode" "$path" || return 1
    done
}
