# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
# shellcheck shell=bash
# The data disk. It is formatted only when nothing at all is on it, and found again by its UUID.

# data_device: the device of the volume, which may be attached a minute after the boot.
data_device() {
    local place="$ROOT/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${DATA_VOLUME_ID//-/}"
    [[ -e "$place" ]] || return 1
    readlink -f -- "$place"
}

# signature DEVICE: what low-level probing finds, as KEY=value lines; empty where it finds nothing, or cannot read at all.
signature() {
    local code=0
    blkid -p -o export -- "$1" || code=$?
    # 2: nothing was found. All else, such as 8 (more than one thing was found), is no leave to format.
    ((code == 0 || code == 2)) || die "cannot tell what is on $1 (blkid: exit code $code); nothing was written to it"
}

# blank DEVICE: a volume that was never written to reads as zeros. The probe alone proves nothing: it says the same of a
# device that it cannot read. A format of our own that was killed may be begun again.
blank() {
    cmp -s -n 1048576 -- "$1" /dev/zero || [[ "$(cat -- "$STATE/disk.formatting" 2>/dev/null || :)" == "$DATA_VOLUME_ID" ]]
}

value_of() { sed -n "s/^$1=//p" <<<"$2" | head -n 1; }

mounted() { mountpoint -q -- "$DATA"; }

# require_data: nothing may write into the empty folder under an absent disk.
require_data() {
    mounted || die "the data disk is not mounted at /data; run 'bootstrap.sh disk' and read its message"
}

# fstab UUID TYPE: the one line for /data. nofail: without the disk the host still boots, so that somebody can look.
fstab() {
    local file="$ROOT/etc/fstab"
    folder 0755 "$ROOT/etc"
    { [[ ! -f "$file" ]] || awk '$2 != "/data"' "$file"
        printf 'UUID=%s /data %s defaults,noatime,nofail,x-systemd.device-timeout=90s 0 2\n' "$1" "$2"; } | put_text "$file" 0644
}

# adopt_release: where deploy.sh left a newer release on the disk of the host before this one, go on with that. Terraform names another
# bundle than that host began with: then that is the newer wish.
adopt_release() {
    local kept="$DATA/$STACK/release" first name place
    [[ -n "${FIRST_RELEASE:-}" && "${RELEASE##*/}" == "$FIRST_RELEASE" && -f "$kept/names" ]] || return 0
    read -r first name <"$kept/names"
    [[ "$first" == "$FIRST_RELEASE" && "$name" =~ ^[0-9a-f]{64}$ && "$name" != "$FIRST_RELEASE" ]] || return 0
    if ! python3 -B "$RELEASE/scripts/lib/archive.py" unlocked "$kept/tree"; then
        warn "the release $name on the data disk is not what its lock says; going on with $FIRST_RELEASE"
        return 0
    fi
    place="$ROOT/opt/$STACK/releases/$name"
    log "the host before this one had release $name: going on with it"
    rm -rf -- "$place.part"
    [[ -d "$place" ]] || { cp -a -- "$kept/tree" "$place.part" && mv -T -- "$place.part" "$place"; }
    ln -sfnT "releases/$name" "$ROOT/opt/$STACK/.next.current"
    mv -fT "$ROOT/opt/$STACK/.next.current" "$ROOT/opt/$STACK/current"
    tidy
    flock --unlock "$LOCK"
    exec bash "$place/bootstrap/bootstrap.sh"
}

step_disk() {
    local device found type uuid
    : "${DATA_VOLUME_ID:?is missing in $CONFIGURATION}"
    device="$(RETRY_ATTEMPTS="${DISK_ATTEMPTS:-14}" retry data_device)" || die "volume $DATA_VOLUME_ID is not attached to this instance"
    found="$(signature "$device")"
    if [[ -z "$found" ]]; then
        blank "$device" || die "volume $DATA_VOLUME_ID holds something unknown, or cannot be read; nothing was written to it"
        log "volume $DATA_VOLUME_ID is empty: making a file system"
        printf '%s\n' "$DATA_VOLUME_ID" | put_text "$STATE/disk.formatting" 0600
        mkfs.ext4 -q -L data -- "$device"
        found="$(signature "$device")"
    fi
    type="$(value_of TYPE "$found")"
    uuid="$(value_of UUID "$found")"
    [[ "$type" == ext4 && -n "$uuid" ]] || die "volume $DATA_VOLUME_ID holds something that is no ext4 file system (${type:-$(value_of PTTYPE "$found")}); nothing was written to it"
    fstab "$uuid" "$type"
    systemctl daemon-reload
    folder 0755 "$DATA"
    mounted || mount -- "$DATA"
    require_data
    [[ "$(findmnt --noheadings --output UUID --mountpoint "$DATA")" == "$uuid" ]] || die "another disk than $DATA_VOLUME_ID is mounted at /data"
    resize2fs "$device" >/dev/null 2>&1 || warn "the file system did not grow to the size of its volume"
    folder 0711 "$DATA/docker" "$DATA/$STACK"
    rm -f -- "$STATE/disk.formatting"
    mark disk
}
