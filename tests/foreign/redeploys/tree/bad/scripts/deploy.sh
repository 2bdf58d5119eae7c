#!/bin/bash
set -euo pipefail
git pull --ff-only
docker compose pull
docker compose restart worker
docker compose up -d --force-recreate app
