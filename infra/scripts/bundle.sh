#!/usr/bin/env bash
# Made by `pretamane emit` from model dcae9b3d7672. Change the stack, not this file.
# Packs the tree into one archive, the same bytes each time, for Terraform to upload: bundle.sh OUTPUT.tar.gz [EXTRA …]
# In it are the files that stack.lock.json lists, without terraform/, and any EXTRA path of the tree: nothing else gets in
# by accident, such as a state file or a secret. Needs GNU tar and jq.
set -Eeuo pipefail
shopt -s inherit_errexit

OUTPUT="${1:?usage: bundle.sh OUTPUT.tar.gz [EXTRA ...]}"
shift
[[ "$OUTPUT" == /* ]] || OUTPUT="$PWD/$OUTPUT"
cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
export LC_ALL=C

TAR="$(command -v gtar || command -v tar)"
if ! "$TAR" --version | grep -q 'GNU tar'; then
    echo "bundle: GNU tar is needed (on macOS: brew install gnu-tar)" >&2
    exit 1
fi

# The lock file's hashes are those of the files: a change by hand is meant, or it is a mistake.
changed="$(jq -r '.files | to_entries[] | "\(.value)  \(.key)"' stack.lock.json | sha256sum --check --quiet 2>/dev/null || true)"
if [[ -n "$changed" && "${BUNDLE_EDITED:-}" != yes ]]; then
    printf 'bundle: changed after pretamane wrote them (BUNDLE_EDITED=yes packs them anyway):\n%s\n' "$changed" >&2
    exit 1
fi

next="$(mktemp -- "$OUTPUT.XXXXXX")"
trap 'rm -f -- "$next"' EXIT
{
    jq -j '.files | keys[] | select(startswith("terraform/") | not) | . + "\u0000"' stack.lock.json
    printf 'stack.lock.json\0'
    for extra in "$@"; do printf '%s\0' "$extra"; done
} | "$TAR" --create --null --verbatim-files-from --files-from - --sort=name --format=gnu --mtime=@0 \
    --owner=0 --group=0 --numeric-owner --mode=u+rwX,go+rX,go-w | gzip -n -9 >"$next"
mv -f -- "$next" "$OUTPUT"
sha256sum -- "$OUTPUT"
