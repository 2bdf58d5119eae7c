#!/bin/sh
# An object store with the settings of MinIO's: objects and signatures by rclone, its own routes by Caddy in front.
set -eu
password="$(cat "$MINIO_ROOT_PASSWORD_FILE")"
/usr/lib/stand-in/rclone serve s3 /data --addr 127.0.0.1:9100 --auth-key "$MINIO_ROOT_USER,$password" --config /tmp/rclone.conf --cache-dir /tmp/rclone --vfs-cache-mode off --dir-cache-time 100ms --log-level ERROR &
export HOME=/tmp XDG_CONFIG_HOME=/tmp XDG_DATA_HOME=/tmp
cat >/tmp/Caddyfile <<END
{
	admin off
	auto_https off
	persist_config off
}
:9001 {
	respond "<title>console</title>"
}
:9000 {
	respond /minio/health/* 200
	reverse_proxy 127.0.0.1:9100
}
END
exec /usr/lib/stand-in/caddy run --config /tmp/Caddyfile --adapter caddyfile
