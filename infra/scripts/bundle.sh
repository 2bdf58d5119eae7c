#!/usr/bin/env bash
# Made by `pretamane emit` from model c66efaf1f136. Change the stack, not this file.
# Packs the tree into one archive, the same bytes each time, for Terraform to upload: bundle.sh OUTPUT.tar.gz [EXTRA …]
# In it are the files that stack.lock.json lists, without terraform/, and any EXTRA path of the tree: nothing else gets in
# by accident, such as a state file or a secret. Needs Python 3 and GNU tar.
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

if ! command -v python3 >/dev/null; then
    echo "bundle: python3 is needed" >&2
    exit 1
fi

# The lock file's hashes are those of the files: a change by hand is meant, or it is a mistake.
changed="$(
    python3 -I - <<'PYTHON'
import hashlib
import json
import pathlib

for path, written in json.loads(pathlib.Path("stack.lock.json").read_bytes())["files"].items():
    file = pathlib.Path(path)
    if not file.is_file():
        print(f"{path}: is missing")
    elif hashlib.sha256(file.read_bytes()).hexdigest() != written:
        print(f"{path}: was edited")
PYTHON
)"
if [[ -n "$changed" && "${BUNDLE_EDITED:-}" != yes ]]; then
    printf 'bundle: changed after pretamane wrote them (BUNDLE_EDITED=yes packs them anyway):\n%s\n' "$changed" >&2
    exit 1
fi

next="$(mktemp -- "$OUTPUT.XXXXXX")"
locked="$(mktemp -d)"
trap 'rm -rf -- "$next" "$locked"' EXIT

# The lock that goes along says what is packed, so that the host can tell the release from a damaged one; `edited` names what was changed.
python3 -I - "$locked/stack.lock.json" <<'PYTHON'
import hashlib
import json
import pathlib
import sys

text = pathlib.Path("stack.lock.json").read_text(encoding="utf-8")
lock, edited = json.loads(text), []
for path, written in lock["files"].items():
    if pathlib.Path(path).is_file() and (found := hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()) != written:
        lock["files"][path] = found
        edited.append(path)
pathlib.Path(sys.argv[1]).write_text(json.dumps({"edited": edited, **lock}, indent=2) + "\n" if edited else text, encoding="utf-8")
PYTHON
{
    python3 -I -c 'import json; [print(path, end="\0") for path in json.load(open("stack.lock.json", "rb"))["files"] if not path.startswith("terraform/")]'
    for extra in "$@"; do printf '%s\0' "$extra"; done
} | "$TAR" --create --null --verbatim-files-from --files-from - --directory "$locked" stack.lock.json --sort=name --format=gnu --mtime=@0 \
    --owner=0 --group=0 --numeric-owner --mode=u+rwX,go+rX,go-w | gzip -n -9 >"$next"
mv -f -- "$next" "$OUTPUT"
sha256sum -- "$OUTPUT"
