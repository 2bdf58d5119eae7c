# Made by `pretamane emit` from model f9300f925f86. Change the stack, not this file.
# shellcheck shell=bash
# The units of the release: installed, enabled, started. Files of an older release that this one no longer has go.

step_units() {
    local unit name changed=""
    require_data
    folder 0755 "$ROOT/etc/systemd/system"
    for unit in "$ROOT/etc/systemd/system/$STACK"*.{service,timer}; do
        if [[ -f "$unit" && ! -f "$RELEASE/systemd/${unit##*/}" ]]; then
            systemctl disable --now "${unit##*/}"
            rm -f -- "$unit"
            changed+=gone
        fi
    done
    for unit in "$RELEASE/systemd"/*.{service,timer}; do
        [[ -f "$unit" ]] || continue
        changed+="$(put_file "$unit" "$ROOT/etc/systemd/system/${unit##*/}" 0644)"
    done
    [[ -z "$changed" ]] || systemctl daemon-reload
    for unit in "$RELEASE/systemd"/*.{service,timer}; do
        name="${unit##*/}"
        if [[ -f "$unit" ]] && grep -q '^\[Install\]' "$unit"; then systemctl enable "$name"; fi
        if [[ -f "$unit" && "$name" == *.timer ]]; then systemctl start "$name"; fi
    done
    if [[ -f "$RELEASE/systemd/$STACK.service" ]]; then systemctl start "$STACK.service"; fi
    mark units
}
