"""What can be told without running anything."""
from __future__ import annotations

import subprocess
import sys


def test_ruff_finds_nothing(root):
    """Unused names, shadowed names, doubtful constructs, by the rules of ruff.toml; notebooks too"""
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", "."], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
