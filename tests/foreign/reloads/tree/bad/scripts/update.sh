#!/bin/sh
set -e
git pull --ff-only
docker compose exec edge caddy reload --config /etc/caddy/Caddyfile
docker compose kill -s HUP alerts
