#!/bin/sh
set -eu
# every piece goes into one file: docker compose -f all.yaml up
yq eval-all ". as $item ireduce ({}; . * $item)" pieces/*/compose.yaml > all.yaml
