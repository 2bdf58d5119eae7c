#!/bin/sh
# Prometheus and Caddy read their folders again; Alertmanager has one file, so its container is made anew.
set -e
git pull --ff-only
docker compose exec edge caddy reload --config /etc/caddy/Caddyfile
curl --fail -X POST http://localhost:9090/-/reload
docker compose restart alerts
