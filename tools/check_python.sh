#!/bin/sh
# Stops with the remedy when PYTHON is absent or older than MIN_PYTHON.
set -eu
if ! command -v "$PYTHON" >/dev/null 2>&1; then
    echo "$PYTHON was not found. Install Python $MIN_PYTHON or newer, or name one: make PYTHON=/path/to/python$MIN_PYTHON" >&2
    exit 1
fi
# Any Python, however old, must be able to read this line.
"$PYTHON" -c "import sys; sys.exit(sys.version_info[:2] < tuple(map(int, '$MIN_PYTHON'.split('.'))))" || {
    echo "$PYTHON is $("$PYTHON" --version 2>&1); $MIN_PYTHON or newer is needed." >&2
    echo "Name one: make PYTHON=/path/to/python$MIN_PYTHON" >&2
    exit 1
}
