#!/usr/bin/env bash
# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
# Looks at every container of the stack and says which are not well: in the journal, and as metrics. It restarts nothing:
# the engine restarts what ends, and restarting what is only slow makes an outage of a slowdown.
# shellcheck source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

need docker
lock healthwatch
found="$(docker ps --all --filter "label=com.docker.compose.project=$STACK" --filter label=com.docker.compose.oneoff=False \
    --format '{{.Label "com.docker.compose.service"}} {{.State}} {{.Status}}' | sort)"

declare -A STATE=()
while read -r service state status; do
    [ -n "$service" ] || continue
    case "$state $status" in
        running*'(unhealthy)'*) STATE[$service]="0 unhealthy" ;;
        running*'(health: starting)'*) STATE[$service]="1 starting" ;;
        running*) STATE[$service]="1 running" ;;
        "exited Exited (0)"*) STATE[$service]="1 completed" ;;
        *) STATE[$service]="0 ${state:-missing}" ;;
    esac
done <<<"$found"

# A job that completed is well; a service that completed is gone. The color that waits is not expected.
unwell=0 lines=""
expected=("${LONG_RUNNING[@]}")
for service in "${COLORED[@]}"; do
    expected+=("${service%%:*}-$(active_color)")
done
for service in "${expected[@]}"; do
    read -r well state <<<"${STATE[$service]:-0 missing}"
    [ "$state" != completed ] || well=0
    if [ "$well" -eq 0 ]; then
        unwell=$((unwell + 1))
        log "$service is $state"
    fi
    lines+="pretamane_service_healthy{service=\"$service\"} $well"$'\n'
done

# Bytes over the wire, by the interface that the default route leaves by. The exporter of the host's metrics is in a container and sees
# that container's network.
: "${PROC_NET:=/proc/net}"
wire="$(awk '$2 == "00000000" { print $1; exit }' "$PROC_NET/route")"
network=""
while read -r received sent; do
    network="# HELP pretamane_host_network_receive_bytes_total Bytes that came in over the wire.
# TYPE pretamane_host_network_receive_bytes_total counter
pretamane_host_network_receive_bytes_total{device=\"$wire\"} $received
# HELP pretamane_host_network_transmit_bytes_total Bytes that went out over the wire.
# TYPE pretamane_host_network_transmit_bytes_total counter
pretamane_host_network_transmit_bytes_total{device=\"$wire\"} $sent
"
done < <(awk -v name="$wire:" '$1 == name { print $2, $10 }' "$PROC_NET/dev")

metrics healthwatch <<METRICS
# HELP pretamane_service_healthy 1 when the container of a service runs and is not unhealthy, else 0.
# TYPE pretamane_service_healthy gauge
${lines}${network}# HELP pretamane_healthwatch_last_run_timestamp_seconds When the containers were last looked at.
# TYPE pretamane_healthwatch_last_run_timestamp_seconds gauge
pretamane_healthwatch_last_run_timestamp_seconds $EPOCHSECONDS
METRICS
[ "$unwell" -eq 0 ] || die "$unwell of ${#expected[@]} services are not well"
