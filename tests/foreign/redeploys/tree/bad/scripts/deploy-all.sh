#!/bin/bash
# docker compose down removes the network, too
set -euo pipefail
stop() {
    docker compose down
}
docker compose -f compose.yaml down
docker compose -f compose.yaml up -d
