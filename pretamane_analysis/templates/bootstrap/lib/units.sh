# shellcheck shell=bash
# The units of the release: installed, enabled, started. Those of an older release that this one no longer has go.

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
        if [[ -f "$unit" && "$name" == *.timer ]]; then systemctl start "$name"; fi
    done
    if [[ -f "$RELEASE/systemd/$STACK.service" ]]; then systemctl start "$STACK.service"; fi
    mark units
}
