#!/bin/bash
set -euo pipefail
docker compose pull
for color in blue green; do
    docker compose up -d --wait --force-recreate "$color"
done
