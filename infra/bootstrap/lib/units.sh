# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
# shellcheck shell=bash
# The units of the release: installed and enabled, at last started. Those of an older release that it no longer has go.

step_units() {
    local unit name places="$ROOT/etc/systemd/system"
    require_data
    folder 0755 "$places"
    for unit in "$places/$STACK"*.{service,timer}; do
        if [[ -f "$unit" && ! -f "$RELEASE/systemd/${unit##*/}" ]]; then
            systemctl disable --now "${unit##*/}"
            rm -f -- "$unit"
        fi
    done
    for unit in "$RELEASE/systemd"/*.{service,timer}; do
        if [[ -f "$unit" ]]; then put_file "$unit" "$places/${unit##*/}" 0644; fi
    done
    systemctl daemon-reload
    for unit in "$RELEASE/systemd"/*.{service,timer}; do
        name="${unit##*/}"
        if [[ -f "$unit" ]] && grep -q '^\[Install\]' "$unit"; then systemctl enable "$name"; fi
    done
    mark units
}

# start_units: the last of all, and without the lock, because the stack's unit waits for one that runs this very script.
start_units() {
    local unit
    require_data
    tidy
    flock --unlock "$LOCK"
    for unit in "$RELEASE/systemd"/*.timer "$RELEASE/systemd/$STACK.service"; do
        if [[ -f "$unit" ]]; then systemctl start "${unit##*/}"; fi
    done
}
