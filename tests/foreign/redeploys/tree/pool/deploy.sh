#!/bin/sh
set -e
docker compose pull
docker compose up -d --wait --force-recreate shop-a
docker compose up -d --wait --force-recreate shop-b
