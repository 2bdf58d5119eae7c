#!/bin/sh
# For the night of maintenance, not for a release.
docker compose down
docker compose up -d
