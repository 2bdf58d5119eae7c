#!/usr/bin/env bash
# The promise of README.md, kept to the letter: a root of this machine's distribution with nothing but the packages that README.md
# names, an ordinary user, a clone of HEAD under a path with a space, `make report`, `make test`; then the wheel alone, in an empty folder.
#
#   tools/bare_root.sh [PASSED]
#
# It needs root and mmdebstrap or debootstrap; without them it says so and is fine (with CI=true only without root). To the file PASSED it
# writes which tests passed, so that they need not run again where every tool is (tests/passed_before.py), to PASSED.python its Python
# and to PASSED.site the site that its tests have built.
#
# The mirror, the index of Python packages and the certificates are those of this machine, read when it runs. BARE_COMMANDS="make report"
# runs less; KEEP=1 leaves the root where it is and says where.
set -euo pipefail
here="$(cd "$(dirname "$0")/.." && pwd -P)"
# To the letter: the packages are those that README.md names.
# shellcheck disable=SC2016  # backquotes of Markdown
packages="$(sed -n 's/.*`apt-get install \(python3 [a-z0-9 -]*\)`.*/\1/p' "$here/README.md" | head -n 1 | tr ' ' ,)"
[ -n "$packages" ] || { echo "bare root: README.md names no packages"; exit 1; }
passed="${1:-}"
commands="${BARE_COMMANDS:-make report; make test}"

skipped() { echo "bare root: skipped, $1"; exit "${2:-0}"; }
[ "$(id -u)" -eq 0 ] || skipped "it needs root: sudo make bare"
command -v mmdebstrap >/dev/null || command -v debootstrap >/dev/null ||
    skipped "it needs mmdebstrap: apt-get install mmdebstrap" "$([ "${CI:-}" = true ] && echo 1 || echo 0)"
unshare --mount --pid --fork true 2>/dev/null || skipped "this machine lets root mount nothing"

root="$(mktemp -d)"
# shellcheck disable=SC2154  # the trap sets it
trap 'code=$?; if [ -n "${KEEP:-}" ]; then echo "bare root: $root"; else rm -rf --one-file-system "$root"; fi; exit "$code"' EXIT

lists=()  # Where this machine has its packages from; what others than the distribution have added is left out
for list in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list.d/ubuntu.sources; do
    if grep -qE '^(deb |URIs:)' "$list" 2>/dev/null; then lists+=("$list"); fi
done
# shellcheck disable=SC1091
. /etc/os-release
echo "== a bare root: ${PRETTY_NAME:-this distribution} with ${packages//,/ }"
if command -v mmdebstrap >/dev/null; then
    mmdebstrap --quiet --variant=minbase --include="$packages" --dpkgopt=path-exclude=/usr/share/doc/* --dpkgopt=path-exclude=/usr/share/man/* \
        --dpkgopt=path-exclude=/usr/share/locale/* "" - "${lists[@]}" | tar -C "$root" -x
else
    mirror="$(cat "${lists[@]}" | sed -nE 's/^URIs: *([^ ]+).*/\1/p; s/^deb +(\[[^]]*\] +)?([^ ]+) .*/\2/p' | head -n 1)"
    debootstrap --variant=minbase --include="$packages" "${VERSION_CODENAME:?}" "$root" "$mirror" >"$root.log" || { tail -n 20 "$root.log"; exit 1; }
fi
chmod 755 "$root"
chroot "$root" useradd --create-home --shell /bin/sh newcomer
home=/home/newcomer clone="/home/newcomer/a clone"
git clone --quiet --no-hardlinks "$here" "$root$clone"
cp "$here/tools/wheel_alone.sh" "$here/tools/install.sh" "$root$home/"
chroot "$root" chown -R newcomer:newcomer "$home"
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"

settings=("PASSED_TO=$home/passed")
# How this machine reaches the index of Python packages: pip's settings, and the certificates that it trusts. What they name is lent, not copied.
lent=()
while IFS='=' read -r key value; do
    value="${value#\'}" value="${value%\'}" name="${key##*.}"
    case "$name" in index-url|extra-index-url|trusted-host|find-links|constraint|default-timeout|proxy|compile) ;; *) continue ;; esac
    name="${name//-/_}"
    settings+=("PIP_${name^^}=$value")
    for each in $value; do
        each="${each#file://}"
        case "$name" in *index_url) each="$(dirname "$each")" ;; esac  # its pages point beside it
        if [ -e "$each" ]; then lent+=("$each"); fi
    done
done < <(python3 -m pip config list)
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    if [ -n "${!name:-}" ]; then settings+=("$name=${!name}"); fi
done
certificates="${PIP_CERT:-${SSL_CERT_FILE:-}}"
if [ -n "$certificates" ]; then
    install -D -m 644 "$certificates" "$root/usr/local/share/host/ca.crt"
    for name in PIP_CERT SSL_CERT_FILE REQUESTS_CA_BUNDLE; do settings+=("$name=/usr/local/share/host/ca.crt"); done
fi

# In a name space of its own, so that what is mounted and started goes with it.
cat >"$root$home/everything.sh" <<EVERYTHING
set -eu
cd "$clone"
step() { begun=\$(date +%s); echo "== in the bare root: \$*"; sh -c "\$*"; echo "== took \$((\$(date +%s) - begun)) s: \$*"; }
# The wheel has a clone and environments of its own and is tried beside all that comes after the first command.
wheel() {
    git clone --quiet . ../source
    python3 -m venv ../build
    ../build/bin/python -m pip wheel --quiet --no-deps --use-pep517 --wheel-dir ../dist ../source
    bash ../wheel_alone.sh python3 ../dist/*.whl ../alone
}
beside=
$(IFS=';'; for each in $commands; do
    printf 'step %q\n' "${each# }"
    [ -n "${first:-}" ] || printf '(wheel) >../wheel.log 2>&1 & beside=$!\n'
    first="begun"
done)
if [ -e report/index.html ]; then
    for each in cost drawing-ec2; do cmp "report/pictures/\$each.svg" "nbs/pictures/\$each.svg"; done
fi
[ -z "\$(git status --porcelain)" ] || { git status --short; echo "the commands changed the clone"; exit 1; }
echo "== in the bare root: the wheel alone"
wait "\$beside" || { cat ../wheel.log; exit 1; }
EVERYTHING
export root home
# shellcheck disable=SC2016  # the inner shell expands it
unshare --mount --pid --fork --kill-child --propagation private bash -euc '
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -sfn pts/ptmx "$root/dev/ptmx"
while [ "$#" -gt 0 ] && [ "$1" != -- ]; do
    if [ -d "$1" ]; then mkdir -p "$root$1"; else mkdir -p "$(dirname "$root$1")"; touch "$root$1"; fi
    mount --bind "$1" "$root$1"; mount -o remount,bind,ro "$root$1"; shift
done
shift
exec chroot --userspec=newcomer:newcomer "$root" env -i HOME="$home" USER=newcomer PATH=/usr/local/bin:/usr/bin:/bin "$@" sh "$home/everything.sh"
' bare "${lent[@]}" -- "${settings[@]}"
if [ -n "$passed" ] && [ -e "$root$home/passed" ]; then
    cp "$root$home/passed" "$passed"
    rm -rf "$passed.site"
    [ ! -d "$root$home/passed.site" ] || cp -r "$root$home/passed.site" "$passed.site" # built there; browsers look at it here
    chroot "$root" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' >"$passed.python"
fi
echo "== the bare root keeps README.md's promise"
