# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
# shellcheck shell=bash
# Files are written beside their place and renamed, and only where something differs: a second run changes nothing.

# put_file SOURCE TARGET MODE [UID]: content, mode and owner of TARGET become these. The lock says that nobody else writes,
# so that the file beside it can have one name, and what a killed run left is overwritten.
put_file() {
    local source="$1" target="$2" mode="$3" owner="${4:-$EUID}" next="${2%/*}/.next"
    if [[ -f "$target" && ! -L "$target" && "$(stat -c '%a %u' -- "$target")" == "${mode#0} $owner" ]] && cmp -s -- "$source" "$target"; then
        return 0
    fi
    cat -- "$source" >"$next" && chmod -- "$mode" "$next" && { [[ "$owner" == "$EUID" ]] || chown -- "$owner" "$next"; } && mv -fT -- "$next" "$target"
}

# put_text TARGET MODE: as put_file, from standard input.
put_text() { cat >"$WORK/text" && put_file "$WORK/text" "$1" "$2"; }

# folder MODE PATH …: each exists with this mode.
folder() {
    local mode="$1" path
    shift
    for path in "$@"; do
        [[ -d "$path" ]] || mkdir -p -- "$path" || return 1
        [[ "$(stat -c %a -- "$path")" == "${mode#0}" ]] || chmod -- "$mode" "$path" || return 1
    done
}
