#!/bin/sh
# Stops with the remedy when PYTHON is absent or older than MIN_PYTHON.
set -eu
if ! command -v "$PYTHON" >/dev/null 2>&1; then
    echo "$PYTHON was not found. Install Python $MIN_PYTHON or newer, or name one: make PYTHON=/path/to/python3" >&2
    exit 1
fi
"$PYTHON" -c "
import sys
needed = tuple(map(int, '$MIN_PYTHON'.split('.')))
if sys.version_info < needed:
    found = '.'.join(map(str, sys.version_info[:3]))
    sys.exit(f'$PYTHON is Python {found}; $MIN_PYTHON or newer is needed. Name one: make PYTHON=/path/to/python$MIN_PYTHON')
"
