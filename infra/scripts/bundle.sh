#!/usr/bin/env bash
# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
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

# A tag can be moved to other content, a digest cannot. BUNDLE_DIGESTS=yes asks the registry once for each image whose digest is not yet in
# digests.json and keeps the answers there: commit that file, and every bundle has the same images until you delete a line of it. What is
# in it is packed whether or not somebody asks. Asking needs docker with buildx.
if [[ "${BUNDLE_DIGESTS:-}" == yes ]]; then
    python3 -I - <<'PYTHON'
import json
import pathlib
import re
import subprocess
import sys

paths = [path for path in json.loads(pathlib.Path("stack.lock.json").read_bytes())["files"] if path == "compose/compose.yaml" or path.endswith("/Dockerfile")]
text = "\n".join(pathlib.Path(path).read_text(encoding="utf-8") for path in paths)
images = {each for each in re.findall(r"^ *(?:image:|FROM) *([^\s'\"]+:[^\s'\"]+)", text, re.MULTILINE) if "@" not in each and not each.startswith("localhost/")}
file = pathlib.Path("digests.json")
known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
for image in sorted(images - set(known)):
    asked = ["docker", "buildx", "imagetools", "inspect", image, "--format", "{{.Manifest.Digest}}"]
    done = subprocess.run(asked, capture_output=True, text=True)
    if done.returncode or not re.fullmatch(r"sha256:[0-9a-f]{64}", done.stdout.strip()):
        sys.exit(f"bundle: no digest of {image}: {(done.stderr or done.stdout).strip()}")
    known[image] = done.stdout.strip()
file.write_text(json.dumps({image: known[image] for image in sorted(images)}, indent=2) + "\n", encoding="utf-8")
PYTHON
fi

next="$(mktemp -- "$OUTPUT.XXXXXX")"
packed="$(mktemp -d)"
trap 'rm -rf -- "$next" "$packed"' EXIT

# What is packed: the files, images with their digests where these are known, and a lock that says so, by which the host can tell the
# release from a damaged one; `edited` names what was changed by hand, `pinned` what got digests.
python3 -I - "$packed" "$@" <<'PYTHON'
import hashlib
import json
import pathlib
import re
import shutil
import sys

packed, text = pathlib.Path(sys.argv[1]), pathlib.Path("stack.lock.json").read_text(encoding="utf-8")
lock, edited, pinned = json.loads(text), [], []
digests = json.loads(pathlib.Path("digests.json").read_text(encoding="utf-8")) if pathlib.Path("digests.json").is_file() else {}
names = "|".join(re.escape(each) for each in sorted(digests, key=len, reverse=True))
image = re.compile(rf"(?<![\w./:@-])({names})(?![\w.@:-])") if digests else None
for path, written in lock["files"].items():
    file, copy = pathlib.Path(path), packed / path
    if not file.is_file():
        continue
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != written:
        edited.append(path)
    if image and (path in ("compose/compose.yaml", "scripts/lib/stack.sh") or path.endswith("/Dockerfile")):
        exact = image.sub(lambda found: f"{found[1]}@{digests[found[1]]}", content.decode()).encode()
        if exact != content:
            pinned.append(path)
        content = exact
    lock["files"][path] = hashlib.sha256(content).hexdigest()
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(content)
    shutil.copymode(file, copy)
for extra in map(pathlib.Path, sys.argv[2:]):
    (packed / extra).parent.mkdir(parents=True, exist_ok=True)
    (shutil.copytree if extra.is_dir() else shutil.copy)(extra, packed / extra)
said = {name: paths for name, paths in (("edited", edited), ("pinned", pinned)) if paths}
(packed / "stack.lock.json").write_text(json.dumps({**said, **lock}, indent=2) + "\n" if said else text, encoding="utf-8")
PYTHON
{
    python3 -I -c 'import json; [print(path, end="\0") for path in json.load(open("stack.lock.json", "rb"))["files"] if not path.startswith("terraform/")]'
    for extra in "$@"; do printf '%s\0' "$extra"; done
    printf 'stack.lock.json\0'
} | "$TAR" --create --null --verbatim-files-from --directory "$packed" --files-from - --sort=name --format=gnu --mtime=@0 \
    --owner=0 --group=0 --numeric-owner --mode=u+rwX,go+rX,go-w | gzip -n -9 >"$next"
mv -f -- "$next" "$OUTPUT"
sha256sum -- "$OUTPUT"
