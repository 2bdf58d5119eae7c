#!/bin/sh
# Python packages into an environment: with the uv that UV names, a sixth of pip's processor time, or where there is none or it fails, with pip.
#
#   tools/install.sh PYTHON ARGUMENTS…      PYTHON is the environment's; ARGUMENTS are those of pip install
#
# uv does not read pip's settings; what they say of indexes, constraints and certificates is handed on.
set -eu
python="$1"
shift
with_pip() { exec "$python" -m pip install --quiet "$@"; }
[ -x "${UV:-}" ] || with_pip "$@"
settings="$("$python" - <<'SETTINGS'
import shlex, subprocess, sys

NAMES = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS",
         "constraint": "UV_CONSTRAINT", "cert": "SSL_CERT_FILE"}
told = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True).stdout
for line in told.splitlines():
    key, _, value = line.partition("=")
    if name := NAMES.get(key.rpartition(".")[2]):
        print(f"export {name}={shlex.quote(' '.join(value.strip(chr(39)).split()))}")
SETTINGS
)"
if (
    eval "$settings"
    export UV_INDEX_STRATEGY=unsafe-best-match # as pip chooses: the newest that fits, of all indexes
    for argument; do # an argument of pip alone
        shift
        [ "$argument" = --use-pep517 ] || set -- "$@" "$argument"
    done
    exec "$UV" pip install --quiet --python "$python" "$@"
); then exit 0; fi
echo "uv did not install this; pip tries" >&2
with_pip "$@"
