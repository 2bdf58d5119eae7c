# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
# What the scripts need to know of the stack. Durations are seconds, sizes MiB.
# shellcheck shell=bash disable=SC2034

STACK=pretamane
PROFILES=obs,tunnel # those that run, without the color

# What is saved and how: kind, service, volume.
BACKUP_PLAN=('dump postgresql postgres-data' 'mirror minio minio-data' 'copy grafana grafana-data' 'copy fastapi-app logs-data')
LEFT_OUT='meilisearch-data:derived uploads-data:none processed-data:derived prometheus-data:none loki-data:none alertmanager-data:none alloy-data:none pgadmin-data:none'
declare -A DATABASE_USER=([postgresql]=postgres)
declare -A DATABASE_SECRETS=([postgresql]='postgres:postgres_superuser_password pretamane:postgres_password monitoring:postgres_monitoring_password') # role:secret, by service
declare -A DATABASE_IMAGE=([postgresql]=postgres:17.11)
declare -A DATABASE_MEMORY=([postgresql]=768m)
declare -A DATABASE_OWNER=([postgresql]=999:999)
ARCHIVED=(postgresql) # servers whose log is kept
OWNERS=('meilisearch-data 1000:1000' 'minio-data 1000:1000' 'postgresql-archive 999:999') # volume, user and group
declare -A REBUILD=([fastapi-app]='python -m app.reindex')
BACKUP_KEY=restic_password
KEEP_DAILY=7 KEEP_WEEKLY=5 KEEP_MONTHLY=12
APPLICATIONS=(fastapi-app-blue fastapi-app-green) # stopped while data is restored
STORES=(postgresql minio grafana) # started for a restore

COLORED=(fastapi-app:8000) # service:port, each twice: -blue and -green
COLOR_MIB=512
BUILT=('fastapi-app-blue localhost/pretamane/fastapi-app:0.1.0') # service image
JOBS=(migrate bucket-init)
STEADY=(caddy postgresql meilisearch minio cloudflared) # recreating one of these is an outage
CONFIGURED=('prometheus prometheus' 'alertmanager alertmanager' 'grafana grafana' 'loki loki' 'alloy alloy' 'blackbox-exporter blackbox') # service, folder of its configuration
LONG_RUNNING=(caddy postgresql meilisearch minio cloudflared prometheus alertmanager grafana loki alloy node-exporter blackbox-exporter postgres-exporter)
EDGE_SERVICE=caddy
EDGE_METRICS_PORT=2020
EDGE_HANDLER=request_body # counts each request of a user once
EDGE_CHOICE=/run/caddy/second-first # where the edge looks which color it prefers
EDGE_CONFIG=caddy/Caddyfile # of a release
EDGE_NEXT=/run/caddy/next # where the edge reads it from
: "${START_SECONDS:=300}" "${BAKE_SECONDS:=60}" "${DRAIN_SECONDS:=60}"
: "${BAKE_MIN_ERRORS:=5}" "${BAKE_MAX_PERMILLE:=20}"
